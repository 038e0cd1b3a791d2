"""What commands print of the service and its workspace."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, with_config
from typing_extensions import TypedDict  # of which pydantic reads the fields on Python 3.11

from hybridloop.cli.common import EXACT, Amounts, Moment


@with_config(EXACT)
class Session(TypedDict):
    """A session, as the service has it."""

    id: str
    name: str | None
    target: str | None
    status: str | None
    session_on_job_failure: str | None
    created: str | None
    ended: str | None


class SessionShown(Session):
    """A session with its jobs counted by status."""

    jobs: dict[str, int]


@with_config(EXACT)
class Job(TypedDict):
    """A job of a session, as the service has it."""

    id: str
    name: str | None
    status: str | None
    shots: int | None
    created: str | None
    ended: str | None
    cost: float | None
    unit: str | None
    error: str | None


@with_config(EXACT)
class Swept(TypedDict):
    """What was done about a session that a dead run had left open."""

    run_key: str
    session: str
    done: str


@with_config(EXACT)
class Target(TypedDict):
    """A target of the workspace."""

    target: str
    provider: str
    state: str | None
    queue_seconds: int | float | None
    qubits: Annotated[int | None, Field(description="null where no figure is published")]
    max_shots: int
    profile: str
    samples: bool


@with_config(EXACT)
class Molecule(TypedDict):
    """A built-in molecule; energies in hartree, qubits under the default mapping."""

    name: str
    qubits: int
    exact_energy: float
    hartree_fock_energy: float
    title: str
    source: str


@with_config(EXACT)
class BinaryProblem(TypedDict):
    """A built-in binary problem."""

    name: str
    qubits: int
    objective: str
    variables: int
    optimum: float
    title: str
    source: str


@with_config(EXACT)
class Optimizer(TypedDict):
    """An optimizer; `goes_by` names the settings of a search's end that it heeds."""

    name: str
    goes_by: str
    package: str
    does: str


@with_config(EXACT)
class LedgerSession(TypedDict):
    """What the service accepted in a session, by its own books."""

    id: str
    target: str
    status: str
    jobs: int
    shots: int
    money: Amounts


@with_config(EXACT)
class LedgerEntry(TypedDict):
    """A job that the service accepted."""

    job: str
    session: str | None
    target: str
    place: str | None
    attempt: str | None
    shots: int | None
    price: float | None
    unit: str | None
    accepted: Moment
    ended: Moment | None
    status: str
    deleted: bool


@with_config(EXACT)
class EarlierJob(TypedDict):
    """The job that a duplicate was accepted beside."""

    job: str
    attempt: str | None
    status: str


@with_config(EXACT)
class DuplicateJob(TypedDict):
    """A job that was accepted while an earlier one of its place had given, or might still give, an answer."""

    place: str
    job: str
    attempt: str | None
    accepted: Moment
    earlier: EarlierJob


@with_config(EXACT)
class Duplicates(TypedDict):
    """How many there are, and the first of them."""

    count: int
    entries: list[DuplicateJob]


@with_config(EXACT)
class Ledger(TypedDict):
    """The local service's own account of every job that it accepted."""

    jobs: int
    shots: int
    ended: Annotated[dict[str, int], Field(description="jobs by how they ended")]
    money: Amounts
    sessions: list[LedgerSession]
    duplicates: Duplicates
    entries: list[LedgerEntry]
