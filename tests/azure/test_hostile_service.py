"""A hostile service gets no key, program or memory; what it sends ends in a clear error or a stated reading."""

from __future__ import annotations

import json
import threading
import tracemalloc
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Counts
from hybridloop.azure.addresses import may_hold_blobs, origin_of
from hybridloop.azure.client import ServiceClient
from hybridloop.azure.job_document import checked_item
from hybridloop.azure.listing import list_jobs, list_targets
from hybridloop.azure.targets import find_target
from hybridloop.budget.billing import billed_amounts
from hybridloop.errors import AnswerRefused, HybridloopError, JobFailed, ServiceError
from hybridloop.journal.claimed_run import temporary_run
from hybridloop.tasks.failure_policy import FailurePolicy, OnLostJob
from hybridloop.tasks.keepalive.rules import KeepAliveMode
from hybridloop.tasks.keepalive.session_keep_alive import KeepAliveSettings
from hybridloop.tasks.session import open_session
from hybridloop.tasks.submission.results import UnreadableResult, read_results_v2
from tests.azure.hostile_helpers import KEY, Answer, Change, FastClock, HostileService, hostile_service
from tests.conftest import Emulator

MIB = 1 << 20
SHOTS = 10
TARGET = find_target("rigetti.sim.qvm")
DEEP = 200_000


@pytest.fixture(scope="module")
def proxy(emulator: Emulator) -> Iterator[HostileService]:
    with hostile_service(emulator) as service:
        yield service


@pytest.fixture
def hostile(proxy: HostileService) -> HostileService:
    proxy.reset()
    return proxy


@pytest.fixture(scope="module")
def client(proxy: HostileService) -> Iterator[ServiceClient]:
    client = ServiceClient(proxy.workspace, FastClock(), threading.Event())
    yield client
    client.close()


def one() -> SamplerPub:
    """Return a circuit that gives 1 in all shots."""
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return SamplerPub.coerce(circuit, SHOTS)


def measure(hostile: HostileService, **options: Any) -> Any:
    """Measure one circuit in a session; return its counts and the session."""
    off = KeepAliveSettings(KeepAliveMode.OFF)
    with open_session(hostile.workspace, TARGET, clock=FastClock(), keep_alive=off, **options) as session:
        ((counts,),) = session.run_round([one()])
        assert isinstance(counts, Counts)
        return counts.bitstrings(), session


def redirect(hostile: HostileService, status: int, body: bytes = b"") -> Change:
    return lambda _: Answer(status, {"Location": f"{hostile.elsewhere}taken?x=1"}, body)


def use(client: ServiceClient, hostile: HostileService, operation: str) -> None:
    """Make a call of this kind, and those that it needs before it."""
    identifier, job_id = str(uuid.uuid4()), str(uuid.uuid4())
    if operation in ("open", "close", "list"):
        client.open_session(identifier, "hostile", TARGET, "Continue")
        client.close_session(identifier)
        list(client.list_session_jobs(identifier))
        return
    container = client.create_container(job_id)
    if operation == "download":
        address = container.partition("?")[0]
        client.upload(container, b"result")
        client.download(job_id, f"{address}/inputData", container, bytes)
    elif operation == "upload":
        client.upload(container, b"program")
    elif operation == "submit":
        client.submit(job_id, container, {"metadata": {"place": "p"}})
    elif operation == "job":
        client.find_job(job_id)


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


def nested(key: str) -> bytes:
    return b'{"%s": ' % key.encode() + b"[" * DEEP + b"]" * DEEP + b"}"


@pytest.mark.parametrize("status", [200, 400, 401, 503])
@pytest.mark.parametrize("operation", ["open", "list", "sas"])
def test_json_nested_too_deeply_is_one_clear_error(
    client: ServiceClient, hostile: HostileService, operation: str, status: int
) -> None:
    hostile.changes[operation] = lambda _: Answer(status, {}, nested("error"))
    with pytest.raises(ServiceError):
        use(client, hostile, "upload" if operation == "sas" else operation)


def test_a_job_that_was_accepted_with_an_endless_answer_is_found_by_its_id(hostile: HostileService) -> None:
    hostile.changes["submit"] = hostile.stream
    assert measure(hostile)[0] == {"1": SHOTS}
    assert hostile.sent < 40 * MIB


def changed_job(**fields: Any) -> Change:
    return lambda answer: answer.with_json(
        lambda page: {**page, "value": [{**job, **fields} for job in page["value"]]} if "value" in page else page
    )


COSTS = [
    {"currencyCode": "USD", "estimatedTotal": float("nan")},
    {"currencyCode": "USD", "estimatedTotal": float("inf")},
    {"currencyCode": "USD", "estimatedTotal": -5.0},
    {"currencyCode": "USD", "estimatedTotal": "12"},
    {"currencyCode": "USD", "estimatedTotal": True},
    {"currencyCode": ["USD"], "estimatedTotal": 1.0},
    {"currencyCode": "USD" * 1000, "estimatedTotal": 1.0},
    {"events": [{"dimensionId": "hqc", "amountBilled": -1.0}]},
    {"events": [{"dimensionId": ["hqc"], "amountBilled": 1.0}, 7, None], "estimatedTotal": None},
    {"events": 7},
    [1, 2],
    "12 USD",
    7,
]


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_a_cost_that_is_none_counts_as_not_stated(cost: Any) -> None:
    assert billed_amounts(cost) is None


def test_a_run_with_such_costs_has_its_counts_and_no_bill(hostile: HostileService) -> None:
    circuit = one()
    costs = iter(COSTS)
    hostile.changes["list"] = lambda answer: changed_job(costEstimate=next(costs, None))(answer)
    off = KeepAliveSettings(KeepAliveMode.OFF)
    with open_session(hostile.workspace, TARGET, clock=FastClock(), keep_alive=off) as session:
        session.run_round([circuit] * 3)
        assert session.cost == {}
        hostile.changes["list"] = changed_job(costEstimate=COSTS[0])
        assert [row["cost"] for row in list_jobs(hostile.workspace, session.id)] == [None] * 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ([], "an error of an unknown form"),
        ([{"code": "InvalidInputData", "message": "no"}], "InvalidInputData no"),
        (["text"], "an error of an unknown form"),
        ("text", "text"),
        (7, None),
        ({"code": ["x"], "message": {"y": 1}}, None),
        ({"code": 5}, None),
        ({"message": "m" * 100_000}, "mmm"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_of_another_form_has_a_stated_reading(error: Any, said: str | None) -> None:
    checked = checked_item({"id": "x", "errorData": error})["errorData"] or {}
    assert set(checked) <= {"code", "message"}
    text = " ".join(part for part in checked.values() if part)
    assert text.startswith(said) if said else not text
    assert len(text) <= 2000


def test_a_job_with_a_list_of_errors_ends_its_round_with_the_first(hostile: HostileService) -> None:
    hostile.changes["list"] = changed_job(status="Failed", errorData=[{"code": "InvalidInputData", "message": "no"}])
    with pytest.raises(JobFailed, match="InvalidInputData no"):
        measure(hostile)


def test_fields_of_another_type_read_as_missing(hostile: HostileService) -> None:
    fields = {"name": 7, "sessionId": [1], "inputParams": [1], "creationTime": {}, "target": 5, "metadata": [1]}
    hostile.changes["list"] = changed_job(**fields, endExecutionTime=7, errorData=7)
    counts, session = measure(hostile)
    assert counts == {"1": SHOTS}
    assert len(list_jobs(hostile.workspace, session.id)) == 1


@pytest.mark.parametrize("targets", [None, 7, [7], [{"id": 7}], [{"id": "x", "averageQueueTime": "long"}]], ids=str)
def test_targets_of_another_form_are_left_out(hostile: HostileService, targets: Any) -> None:
    page = json.dumps({"value": [{"id": "rigetti", "targets": targets}]}).encode()
    hostile.changes["list"] = lambda _: Answer(200, {}, page)
    assert list_targets(hostile.workspace) == []


def result(rows: list[tuple[Any, Any]], shots: list[Any] | None = None, **more: Any) -> bytes:
    histogram = [{"Outcome": outcome, "Count": count} for outcome, count in rows]
    listed = {} if shots is None else {"Shots": shots}
    return json.dumps({"Results": [{"Histogram": histogram, **listed}], **more}).encode()


BAD_RESULTS = {
    "empty": b"",
    "HTML": b"<html>",
    "cut": result([([1], SHOTS)])[:-9],
    "deep": b"[" * DEEP,
    "deep outcome": b'{"Results":[{"Histogram":[{"Outcome":' + b"[" * 500 + b"1" + b"]" * 500 + b',"Count":9}]}]}',
    "too few": result([([1], SHOTS - 1)]),
    "too many": result([([1], SHOTS + 1)]),
    "negative": result([([1], SHOTS + 3), ([0], -3)]),
    "NaN": result([([1], float("nan"))]),
    "text": result([([1], "10")]),
    "fractions": result([([1], 9.5), ([0], 0.5)]),
    "other shots": result([([1], SHOTS)], [[0]] * SHOTS),
    "fewer shots": result([([1], SHOTS)], [[1]] * (SHOTS - 1)),
    "no object": b"[7]",
    "two results": json.dumps({"Results": [{"Histogram": [{"Outcome": [1], "Count": SHOTS}]}] * 2}).encode(),
    "null outcome": result([(None, SHOTS)]),
    "two bits in one": result([([10], SHOTS)]),
    "all lost": result([(["-"], SHOTS)]),
}


@pytest.mark.parametrize("body", BAD_RESULTS.values(), ids=BAD_RESULTS)
def test_a_result_that_contradicts_itself_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableResult):
        read_results_v2(body, 1, exact=False, shots=SHOTS)


def test_a_mitigated_histogram_may_differ_from_its_shots_and_may_not_exceed_them() -> None:
    data = result([([1], SHOTS - 1), ([0], 0)], [[0]] * SHOTS)
    assert read_results_v2(data, 1, exact=False, shots=SHOTS, mitigated=True).bitstrings() == {"1": SHOTS - 1}
    with pytest.raises(UnreadableResult):
        read_results_v2(data, 1, exact=False, shots=SHOTS - 2, mitigated=True)


@pytest.mark.parametrize(("body", "on_lost_job"), list(zip(["HTML", "deep", "too few"], OnLostJob, strict=True)))
def test_an_unreadable_result_is_paid_and_never_a_lost_job(
    hostile: HostileService, body: str, on_lost_job: OnLostJob
) -> None:
    penalty = 1.0 if on_lost_job is OnLostJob.PENALIZE else None
    policy = FailurePolicy(on_lost_job=on_lost_job, penalty=penalty)
    with temporary_run(TARGET.name, seed=0) as run:
        hostile.changes["download"] = lambda _: Answer(200, {}, BAD_RESULTS[body])
        with pytest.raises(JobFailed, match="can't be read") as caught:
            measure(hostile, policy=policy, run=run)
        assert "done and billed" in str(caught.value)
        assert "Resume the run, which reads the result again" in str(caught.value)
        hostile.changes["submit"] = redirect(hostile, 307)  # nothing is sent again
        del hostile.changes["download"]
        assert measure(hostile, policy=policy, run=run)[0] == {"1": SHOTS}


@pytest.mark.parametrize("body", ["HTML", "other shots"])
def test_one_bad_body_of_a_result_is_read_again(hostile: HostileService, body: str) -> None:
    bodies = iter([BAD_RESULTS[body]])
    hostile.changes["download"] = lambda answer: Answer(200, {}, next(bodies, answer.body))
    counts, session = measure(hostile)
    assert counts == {"1": SHOTS}
    assert session.jobs == 1


def test_a_key_that_the_service_repeats_is_in_no_error(client: ServiceClient, hostile: HostileService) -> None:
    error = json.dumps({"error": {"code": KEY, "message": f"not {KEY}"}}).encode()
    hostile.changes["open"] = lambda _: Answer(400, {}, error)
    with pytest.raises(ServiceError, match="not REDACTED") as caught:
        use(client, hostile, "open")
    assert KEY not in repr(caught.value) + repr(caught.value.__cause__)
    hostile.changes = {"list": changed_job(status="Failed", errorData={"message": KEY})}
    with pytest.raises(JobFailed, match="REDACTED") as failed:
        measure(hostile)
    assert KEY not in str(failed.value)


def test_every_error_is_of_the_tree_and_names_no_key(hostile: HostileService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    hostile.changes["submit"] = redirect(hostile, 307)
    with pytest.raises(HybridloopError) as caught:
        measure(hostile)
    assert KEY not in caplog.text + str(caught.value) + repr(caught.value)
