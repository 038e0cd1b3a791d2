"""What commands print of this machine: the local stack, the settings in force, the set-up."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, with_config
from typing_extensions import TypedDict  # of which pydantic reads the fields on Python 3.11

from hybridloop.cli.common import EXACT, Moment


@with_config(EXACT)
class Part(TypedDict):
    """A part of the local stack."""

    part: str
    state: str
    url: str
    pid: int | None
    started: Moment | None
    release: str
    output: str | None


@with_config(EXACT)
class Stack(TypedDict):
    """The local stack."""

    home: str
    parts: list[Part]


@with_config(EXACT)
class StackDown(TypedDict):
    """What was stopped of the local stack."""

    home: str
    stopped: list[str]


@with_config(EXACT)
class Place(TypedDict):
    """Where something is kept or goes to, and what says so."""

    place: str
    value: str
    source: str


@with_config(EXACT)
class SettingInForce(TypedDict):
    """A setting's value where a command says nothing, for the algorithms named, and what says so."""

    setting: Annotated[str, Field(description="inner ones as failure.retries")]
    algorithms: list[str]
    value: Any
    source: Annotated[str, Field(description="a variable, a file, or default")]


@with_config(EXACT)
class ConfigDocument(TypedDict):
    """The settings in force; `unknown_variables` begin with HYBRIDLOOP_ and steer nothing."""

    places: list[Place]
    settings: list[SettingInForce]
    unknown_variables: list[str]


@with_config(EXACT)
class Finding(TypedDict):
    """What was found out about one thing of the set-up, and how to mend it where it is wrong."""

    check: str
    state: Annotated[str, Field(description="ok, warning, wrong, or skipped where another stands in its way")]
    found: str
    remedy: str


@with_config(EXACT)
class Diagnosis(TypedDict):
    """The set-up: `ok` says that nothing is wrong."""

    ok: bool
    findings: list[Finding]
