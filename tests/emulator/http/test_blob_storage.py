"""Blob storage: signatures, whole and block uploads, ranges; through Azure's storage library where possible."""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, ContainerClient

from hybridloop.emulator.model.requests import MAX_BLOB_NAME
from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller, Reply, blob_call

StartEmulator = Callable[..., Emulator]
DATA = bytes(range(256)) * 40


@pytest.fixture
def container(emulator: Emulator) -> str:
    """A new container's URL, signed for a submission."""
    name = f"box-{uuid.uuid4()}"
    return str(Caller(emulator).call("POST", "/storage/sasUri", {"containerName": name}).json()["sasUri"])


def put(url: str, blob: str, data: bytes = DATA, **headers: str) -> Reply:
    return blob_call(url, "PUT", blob, data, **{"x-ms-blob-type": "BlockBlob", **headers})


def code(reply: Reply) -> tuple[int, str]:
    assert b"<Code>" + reply.headers["x-ms-error-code"].encode() + b"</Code>" in reply.body
    return reply.status, reply.headers["x-ms-error-code"]


def test_the_storage_library_uploads_lists_and_downloads(container: str) -> None:
    client = ContainerClient.from_container_url(container)
    client.upload_blob("inputData", DATA, metadata=None)
    client.upload_blob("päth/with space & <signs>", b"x")
    assert [blob.name for blob in client.list_blobs()] == ["inputData", "päth/with space & <signs>"]
    assert [(blob.name, blob.size) for blob in client.list_blobs(name_starts_with="in")] == [("inputData", len(DATA))]
    assert client.download_blob("inputData").readall() == DATA
    assert client.download_blob("päth/with space & <signs>").readall() == b"x"
    assert client.get_blob_client("inputData").get_blob_properties().size == len(DATA)
    assert client.exists()


def test_the_storage_library_uploads_in_blocks_and_downloads_by_ranges(container: str) -> None:
    small = {"max_single_put_size": 1000, "max_block_size": 3000, "max_single_get_size": 900, "max_chunk_get_size": 900}
    client = ContainerClient.from_container_url(container, **small).get_blob_client("blocks")
    data = secrets.token_bytes(10_000)
    client.upload_blob(data)
    assert client.download_blob().readall() == data


def block(identity: str) -> str:
    return f"comp=block&blockid={quote(base64.b64encode(identity.encode()), safe='')}"


def commit(container: str, blob: str, *identities: str) -> Reply:
    items = "".join(f"<Latest>{base64.b64encode(identity.encode()).decode()}</Latest>" for identity in identities)
    return blob_call(container, "PUT", blob, f"<BlockList>{items}</BlockList>".encode(), query="comp=blocklist")


def test_blocks_and_blobs_with_similar_names_do_not_collide(container: str) -> None:
    put(container, f"/a#{b'b1'.hex()}", b"a blob with that name")
    assert blob_call(container, "PUT", "/a", b"one", query=block("b1")).status == 201
    assert blob_call(container, "GET", f"/a#{b'b1'.hex()}").body == b"a blob with that name"
    put(container, f"/c#{b'b1'.hex()}", b"no block")
    assert code(commit(container, "/c", "b1")) == (400, "InvalidBlockList")


def test_the_longest_blob_and_block_names_can_be_combined(tmp_path: Path, start_emulator: StartEmulator) -> None:
    caller = Caller(start_emulator(state=tmp_path))
    box = str(caller.call("POST", "/storage/sasUri", {"containerName": "box-1"}).json()["sasUri"])
    name, identities = f"/{'x' * MAX_BLOB_NAME}", ("y" * 63 + "1", "y" * 63 + "2")
    for identity in identities:
        assert blob_call(box, "PUT", name, identity[-1].encode(), query=block(identity)).status == 201
    assert commit(box, name, *identities, identities[0]).status == 201
    assert blob_call(box, "GET", name).body == b"121"
    files = [file.name for file in (tmp_path / "blobs" / "box-1").iterdir()]
    assert files == [f"{'x' * MAX_BLOB_NAME}~"]  # blocks are removed when they are joined


def test_a_block_list_is_bounded_before_its_blocks_are_read(container: str) -> None:
    assert blob_call(container, "PUT", "/a", bytes(2**20), query=block("b1")).status == 201
    assert code(commit(container, "/a", *["b1"] * 1000)) == (400, "BlockListTooLong")
    assert code(commit(container, "/a", *["b1"] * 50_001)) == (400, "BlockListTooLong")
    assert commit(container, "/a", *["b1"] * 3).status == 201
    assert blob_call(container, "GET", "/a").body == bytes(3 * 2**20)


@pytest.mark.parametrize("encoding", ["idna", "undefined", "base64", "rot13", "utf-7", "utf-32", "punycode", "nope"])
def test_a_block_list_in_another_encoding_is_read_as_utf8_or_refused(encoding: str, container: str) -> None:
    assert blob_call(container, "PUT", "/a", b"one", query=block("b1")).status == 201
    item = base64.b64encode(b"b1").decode()
    body = f'<?xml version="1.0" encoding="{encoding}"?><BlockList><Latest>{item}</Latest></BlockList>'
    assert blob_call(container, "PUT", "/a", body.encode(), query="comp=blocklist").status in (201, 400)
    wide = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "{item}">]><B><L>&b;</L></B>'
    assert code(blob_call(container, "PUT", "/a", wide.encode("utf-16"), query="comp=blocklist"))[0] == 400


def test_a_browser_neither_shows_nor_runs_a_blob(container: str) -> None:
    put(container, "/page", b"<script>alert(1)</script>", **{"x-ms-blob-content-type": "text/html"})
    for reply in (blob_call(container, "GET", "/page"), blob_call(container, "GET", "/missing")):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-security-policy"].startswith("sandbox")
        assert reply.headers["content-disposition"] == "attachment"


def test_an_empty_blob_is_downloaded_by_the_storage_library(container: str) -> None:
    client = ContainerClient.from_container_url(container)
    client.upload_blob("empty", b"")
    assert client.download_blob("empty").readall() == b""


def test_an_upload_onto_an_existing_blob_is_refused_and_changes_nothing(container: str) -> None:
    client = ContainerClient.from_container_url(container)
    client.upload_blob("inputData", b"first")
    with pytest.raises(ResourceExistsError) as refusal:
        client.upload_blob("inputData", b"second")
    assert refusal.value.error_code == "BlobAlreadyExists"
    assert client.download_blob("inputData").readall() == b"first"
    client.upload_blob("inputData", b"third", overwrite=True)
    assert client.download_blob("inputData").readall() == b"third"


def test_a_missing_blob_is_not_found_by_name(container: str) -> None:
    with pytest.raises(ResourceNotFoundError) as refusal:
        ContainerClient.from_container_url(container).download_blob("nothing")
    assert refusal.value.error_code == "BlobNotFound"


def test_ranges_are_answered_with_206_and_a_content_range(container: str) -> None:
    put(container, "/b", b"0123456789")
    reply = blob_call(container, "GET", "/b", None, **{"x-ms-range": "bytes=2-4"})
    assert (reply.status, reply.body, reply.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    reply = blob_call(container, "GET", "/b", None, **{"x-ms-range": "bytes=0-33554431"})
    assert (reply.status, reply.body, reply.headers["content-range"]) == (206, b"0123456789", "bytes 0-9/10")
    assert blob_call(container, "GET", "/b", Range="bytes=8-").body == b"89"
    for beyond in ("bytes=10-12", "bytes=5-2", "bytes=-5", "bytes=0-1,3-4", "lines=1-2"):
        reply = blob_call(container, "GET", "/b", None, **{"x-ms-range": beyond})
        assert (*code(reply), reply.headers["content-range"]) == (416, "InvalidRange", "bytes */10")
    head = blob_call(container, "HEAD", "/b")
    assert (head.status, head.headers["content-length"], head.body) == (200, "10", b"")


def test_a_read_signature_grants_no_write_and_a_blobs_signature_no_other_blob(emulator: Emulator) -> None:
    caller = Caller(emulator)
    job = caller.ended(caller.submit())
    result, box = job["outputDataUri"], job["containerUri"]
    assert blob_call(result, "GET").status == 200
    assert code(put(result, "")) == (403, "AuthorizationPermissionMismatch")
    assert code(put(box, "/new")) == (403, "AuthorizationPermissionMismatch")
    other = result.replace("/outputData?", "/inputData?")
    assert code(blob_call(other, "GET")) == (403, "AuthenticationFailed")
    assert blob_call(box, "GET", "", query="restype=container&comp=list").status == 200
    assert code(blob_call(result.replace("/outputData?", "?"), "GET", query="restype=container"))[0] == 403


@pytest.mark.parametrize(
    ("old", "new"),
    [("sp=rwlac", "sp=rwlacd"), ("sr=c", "sr=b"), ("se=2", "se=3"), ("sig=", "sig=A"), ("sig=", "sag=")],
)
def test_a_changed_signature_is_refused(container: str, old: str, new: str) -> None:
    assert old in container
    assert code(put(container.replace(old, new), "/b")) == (403, "AuthenticationFailed")


def test_a_signature_of_one_container_is_refused_for_another(emulator: Emulator, container: str) -> None:
    other = urlsplit(
        str(Caller(emulator).call("POST", "/storage/sasUri", {"containerName": "another"}).json()["sasUri"])
    )
    assert code(put(f"{container.partition('?')[0]}?{other.query}", "/b")) == (403, "AuthenticationFailed")


def test_a_signature_expires_with_the_services_clock(azure_quantum_emulator: Emulator) -> None:
    emulator, name = azure_quantum_emulator, f"box-{uuid.uuid4()}"
    url = str(Caller(emulator).call("POST", "/storage/sasUri", {"containerName": name}).json()["sasUri"])
    client = ContainerClient.from_container_url(url)
    client.upload_blob("b", b"x")
    emulator.advance(3 * 86_400)
    assert client.download_blob("b").readall() == b"x"
    emulator.advance(2 * 86_400)
    with pytest.raises(HttpResponseError) as refusal:
        client.download_blob("b")
    assert (refusal.value.status_code, refusal.value.error_code) == (403, "AuthenticationFailed")


def test_a_blob_that_is_too_large_is_refused_before_it_is_sent(container: str) -> None:
    reply = blob_call(container, "PUT", "/b", b"", **{"x-ms-blob-type": "BlockBlob", "Content-Length": str(65 * 2**20)})
    assert code(reply) == (413, "RequestBodyTooLarge")


@pytest.mark.parametrize("path", ["//", "/box", "/box/box/b", "/..%2f..%2fetc/..%2f..%2fetc/passwd", "/a-1/b-1/c"])
def test_every_storage_path_needs_a_signature(emulator: Emulator, path: str) -> None:
    reply = blob_call(emulator.endpoint.rstrip("/") + path, "GET")
    assert reply.status in (400, 403, 404)


@pytest.mark.parametrize("name", ["", "Box", "a", "-ab", "a--b", "../..", "x" * 64, None, 7])
def test_bad_container_names_are_refused(emulator: Emulator, name: object) -> None:
    reply = Caller(emulator).call("POST", "/storage/sasUri", {"containerName": name})
    assert (reply.status, reply.json()["error"]["code"]) == (400, "InvalidJobDefinition")


def test_the_signed_url_of_one_blob_is_enough_to_write_it(emulator: Emulator) -> None:
    document = {"containerName": f"box-{uuid.uuid4()}", "blobName": "attachment"}
    url = str(Caller(emulator).call("POST", "/storage/sasUri", document).json()["sasUri"])
    client = BlobClient.from_blob_url(url)
    client.upload_blob(b"notes")
    assert client.download_blob().readall() == b"notes"
