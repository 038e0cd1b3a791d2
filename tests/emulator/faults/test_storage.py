"""Storage faults: late or missing results, blobs that exist already, expired signatures."""

from __future__ import annotations

import uuid

import pytest
from azure.core.exceptions import ClientAuthenticationError, ResourceExistsError, ResourceNotFoundError
from azure.quantum import Workspace

from tests.conftest import Emulator
from tests.emulator.faults.fault_helpers import run_job, set_fault, wait_until_ended
from tests.emulator.http_helpers import Caller, Reply, blob_call


def test_a_result_can_be_late(service: Emulator, workspace: Workspace) -> None:
    job = wait_until_ended(run_job(workspace))
    set_fault(service, "blob-missing", seconds=30, job=job.id)
    other = wait_until_ended(run_job(workspace))
    with pytest.raises(ResourceNotFoundError):
        job.download_data(job.details.output_data_uri)
    assert other.download_data(other.details.output_data_uri)
    service.advance(29)
    with pytest.raises(ResourceNotFoundError):
        job.download_data(job.details.output_data_uri)
    service.advance(1)
    assert job.download_data(job.details.output_data_uri)


def test_a_result_can_stay_missing(service: Emulator, workspace: Workspace) -> None:
    job = wait_until_ended(run_job(workspace))
    set_fault(service, "blob-missing")
    for _ in range(2):
        with pytest.raises(ResourceNotFoundError):
            job.download_data(job.details.output_data_uri)
        service.advance(86_400 / 2)


def test_an_upload_can_fail_because_the_blob_exists(service: Emulator, workspace: Workspace, caller: Caller) -> None:
    set_fault(service, "blob-exists", nth=1)
    with pytest.raises(ResourceExistsError):
        run_job(workspace)
    assert blob_after_upload(service, caller, "blob-exists") == b"ours"
    assert blob_after_upload(service, caller, "blob-exists", content="theirs") == b"theirs"


def blob_after_upload(service: Emulator, caller: Caller, fault: str, **rule: str) -> bytes:
    """Upload the text "ours" with the fault active, and return the content of the blob then."""
    url = str(caller.call("POST", "/storage/sasUri", {"containerName": f"job-{uuid.uuid4()}"}).json()["sasUri"])
    set_fault(service, fault, **rule)
    reply = blob_call(url, "PUT", "/inputData", b"ours", **{"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"})
    assert (reply.status, reply.headers["x-ms-error-code"]) == (409, "BlobAlreadyExists")
    return blob_call(url, "GET", "/inputData").body


def test_a_signature_can_be_expired_when_it_is_used(service: Emulator, workspace: Workspace) -> None:
    job = wait_until_ended(run_job(workspace))
    set_fault(service, "signature-expired", operation="download", nth=1)
    with pytest.raises(ClientAuthenticationError):
        job.download_data(job.details.output_data_uri)
    assert job.download_data(job.details.output_data_uri)


def test_a_signature_can_be_expired_when_it_is_issued(service: Emulator, caller: Caller) -> None:
    job = caller.submit()
    caller.ended(job)
    set_fault(service, "signature-expired", operation=["sas", "get-job"])
    expired = [
        str(caller.call("GET", f"/jobs/{job}").json()["outputDataUri"]),
        f"{caller.call('POST', '/storage/sasUri', {'containerName': f'job-{job}'}).json()['sasUri']}",
    ]
    replies: list[Reply] = [blob_call(expired[0], "GET"), blob_call(expired[1], "GET", "/inputData")]
    assert [(reply.status, reply.headers["x-ms-error-code"]) for reply in replies] == [
        (403, "AuthenticationFailed")
    ] * 2


@pytest.mark.parametrize("operation", ["upload", "download"])
def test_storage_errors_have_blob_storages_headers_and_xml(service: Emulator, caller: Caller, operation: str) -> None:
    url = caller.upload(str(uuid.uuid4()), b"x")
    set_fault(service, "error", status=503, code="ServerBusy", operation=operation, retry_after=1)
    headers = {"x-ms-blob-type": "BlockBlob"}
    reply = blob_call(url, "PUT" if operation == "upload" else "GET", "/inputData", b"y", **headers)
    assert (reply.status, reply.headers["x-ms-error-code"], reply.headers["retry-after"]) == (503, "ServerBusy", "1")
    assert reply.body.startswith(b"<?xml")
