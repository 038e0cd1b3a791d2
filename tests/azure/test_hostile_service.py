"""A hostile service gets no key, program or memory."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hybridloop.azure.addresses import may_hold_blobs, origin_of
from hybridloop.azure.client import ServiceClient
from hybridloop.errors import AnswerRefused, JobFailed, ServiceError
from tests.azure.hostile_helpers import (
    KEY,
    Answer,
    HostileService,
    changed_job,
    measure,
    redirect,
    use,
)

MIB = 1 << 20
DEEP = 200_000


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("operation", ["open", "close", "list", "sas", "upload", "download", "submit", "job"])
def test_no_redirect_is_followed(client: ServiceClient, hostile: HostileService, operation: str, status: int) -> None:
    hostile.changes[operation] = redirect(hostile, status)
    with pytest.raises(AnswerRefused, match=f"HTTP {status}, a redirect to http://127.0.0.1") as caught:
        use(client, hostile, operation)
    assert hostile.reached == []
    assert "no key or program was sent to another host" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("operation", ["list", "download"])
def test_the_body_of_a_redirect_is_not_read(client: ServiceClient, hostile: HostileService, operation: str) -> None:
    hostile.changes[operation] = lambda _: hostile.stream(Answer(307, {"Location": hostile.elsewhere}, b""))
    with pytest.raises(AnswerRefused):
        use(client, hostile, operation)
    assert hostile.sent < 16 * MIB
    assert hostile.reached == []


@pytest.mark.parametrize("operation", ["open", "list", "upload", "download"])
def test_no_request_is_signed_with_a_netrc_file_or_sent_to_a_proxy_of_the_environment(
    client: ServiceClient, hostile: HostileService, operation: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, hostile.elsewhere)
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(file))
    use(client, hostile, operation)
    assert hostile.reached == []


@pytest.mark.parametrize("operation", ["open", "list", "upload", "download"])
def test_no_request_changes_the_environment_that_other_threads_read(
    client: ServiceClient, hostile: HostileService, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[str | None] = []

    @contextmanager
    def recorded(_name: str, value: str | None) -> Iterator[None]:
        changed.append(value)
        yield

    monkeypatch.setattr("requests.utils.set_environ", recorded)
    use(client, hostile, operation)
    assert set(changed) <= {None}


BAD_LINKS = [
    "{elsewhere}x",
    "https://127.0.0.1:{port}/x",
    "http://127.0.0.1:{port}@127.0.0.1:{other}/x",
    "http://127.0.0.1:{other}\\@127.0.0.1:{port}/x",
    "http://user:word@127.0.0.1:{port}/x",
    "HTTP://localhost:{other}/x",
    "//127.0.0.1:{other}/x",
    "http://[::1",
    "file:///etc/passwd",
    "http://127.0.0.1:{port}/{{0}}",
]


def filled(link: str, hostile: HostileService) -> str:
    port, other = (url.rstrip("/").rpartition(":")[2] for url in (hostile.endpoint, hostile.elsewhere))
    return link.format(elsewhere=hostile.elsewhere, port=port, other=other)


@pytest.mark.parametrize("link", BAD_LINKS)
def test_a_next_link_leads_to_the_own_host_only(client: ServiceClient, hostile: HostileService, link: str) -> None:
    hostile.changes["list"] = lambda answer: answer.with_json(
        lambda page: {**page, "nextLink": filled(link, hostile)} if "value" in page else page
    )
    with pytest.raises(ServiceError) as caught:
        list(client.list_sessions())
    assert isinstance(caught.value, AnswerRefused) or link.startswith("//")  # that is a path of the own host
    assert hostile.reached == []


@pytest.mark.parametrize("link", [7, ["x"], {"a": 1}, "own"], ids=str)
def test_a_list_without_an_end_or_with_an_unreadable_link_is_an_error(
    client: ServiceClient, hostile: HostileService, link: object
) -> None:
    value = f"{hostile.endpoint}x/workspaces/w/sessions?again" if link == "own" else link
    page = json.dumps({"value": [], "nextLink": value}).encode()
    hostile.changes["list"] = lambda _: Answer(200, {}, page)
    with pytest.raises(ServiceError, match="without"):
        list(client.list_sessions())


BAD_STORAGE = [
    *BAD_LINKS,
    "https://evil.example.org/c?sig=x",
    "https://account.blob.core.windows.net.evil.example.org/c?sig=x",
    "https://evilblob.core.windows.net/c?sig=x",
    "https://account.blob.core.windows.net@evil.example.org/c?sig=x",
    "https://account.blob.core.windows.net:8443/c?sig=x",
    "http://account.blob.core.windows.net/c?sig=x",
    "https://169.254.169.254/metadata?x",
    "http://[::ffff:169.254.169.254]/x",
    "",
]


@pytest.mark.parametrize("address", BAD_STORAGE)
def test_a_program_goes_to_a_known_storage_only(client: ServiceClient, hostile: HostileService, address: str) -> None:
    hostile.changes["sas"] = lambda answer: answer.with_json(lambda _: {"sasUri": filled(address, hostile)})
    with pytest.raises(AnswerRefused, match="named as storage"):
        use(client, hostile, "upload")
    assert hostile.reached == []


@pytest.mark.parametrize("address", [*BAD_STORAGE, "https://other.blob.core.windows.net/c/b"])
def test_a_result_is_read_from_the_jobs_storage_only(
    client: ServiceClient, hostile: HostileService, address: str
) -> None:
    container = client.create_container("3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01")
    with pytest.raises(AnswerRefused, match="The job is done and billed"):
        client.download("job", filled(address, hostile), container, bytes)
    assert hostile.reached == []


def test_a_round_whose_result_is_elsewhere_ends_with_that_error(hostile: HostileService) -> None:
    hostile.changes["list"] = changed_job(outputDataUri=f"{hostile.elsewhere}x?sig=y")
    with pytest.raises(AnswerRefused, match="The job is done and billed"):
        measure(hostile)
    assert hostile.reached == []


@pytest.mark.parametrize(
    "host",
    [
        "account.blob.core.windows.net",
        "account-secondary.blob.core.windows.net",
        "account.privatelink.blob.core.windows.net",
        "account.blob.core.usgovcloudapi.net",
        "account.blob.core.chinacloudapi.cn",
        "account.z22.blob.storage.azure.net",
    ],
)
def test_azures_storage_is_accepted_for_a_workspace_on_azure(host: str) -> None:
    origin = origin_of(f"https://{host}/job-1?sig=x")
    assert origin is not None
    assert may_hold_blobs(origin, origin_of("https://eastus.quantum.azure.com/"))


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8099/c", "https://localhost/c", "https://eastus.quantum.azure.com/c"]
)
def test_this_machine_is_no_storage_of_a_workspace_on_azure(address: str) -> None:
    origin = origin_of(address)
    assert origin is not None
    assert not may_hold_blobs(origin, origin_of("https://eastus.quantum.azure.com/"))


@pytest.mark.parametrize(("operation", "most"), [("list", 8), ("sas", 8), ("download", 64)])
def test_an_endless_answer_is_not_read_to_its_limit_twice(
    client: ServiceClient, hostile: HostileService, operation: str, most: int
) -> None:
    hostile.changes[operation] = hostile.stream
    with pytest.raises(ServiceError, match=f"more than {most} MiB"):
        use(client, hostile, operation)
    assert hostile.sent < (most + 32) * MIB  # some of it is on its way
    assert hostile.reached == []


@pytest.mark.parametrize("operation", ["list", "download", "open"])
def test_an_answer_that_states_its_size_is_refused_before_it_is_read(
    client: ServiceClient, hostile: HostileService, operation: str
) -> None:
    hostile.changes[operation] = lambda _: Answer(200, {"Content-Length": str(1 << 40)}, b"")
    with pytest.raises(ServiceError, match="MiB"):
        use(client, hostile, operation)


@pytest.mark.parametrize(
    ("operation", "most", "kind"), [("list", 8, "gzip"), ("list", 8, "deflate"), ("download", 64, "gzip")]
)
def test_a_compressed_answer_is_bounded_as_it_is_decompressed(
    client: ServiceClient, hostile: HostileService, operation: str, most: int, kind: str
) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31 if kind == "gzip" else 15)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(most + 32)) + packer.flush()
    hostile.changes[operation] = lambda _: Answer(200, {"Content-Encoding": kind}, bomb)
    tracemalloc.start()
    try:
        with pytest.raises(ServiceError, match=f"more than {most} MiB"):
            use(client, hostile, operation)
        assert tracemalloc.get_traced_memory()[1] < (most + 16) * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["zstd", "br", "gzip, gzip", "gzip"])
def test_an_unreadable_encoding_is_an_unreadable_answer(
    client: ServiceClient, hostile: HostileService, kind: str
) -> None:
    hostile.changes["download"] = lambda answer: Answer(200, {"Content-Encoding": kind}, b"cut or unknown")
    with pytest.raises(JobFailed, match="can't be read"):
        use(client, hostile, "download")


def test_a_compressed_answer_is_read(client: ServiceClient, hostile: HostileService) -> None:
    def packed(answer: Answer) -> Answer:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        return Answer(answer.status, {"Content-Encoding": "gzip"}, packer.compress(answer.body) + packer.flush())

    hostile.changes = dict.fromkeys(("list", "download", "sas"), packed)
    use(client, hostile, "download")
    use(client, hostile, "list")
