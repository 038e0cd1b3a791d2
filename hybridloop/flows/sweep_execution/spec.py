"""What a sweep is to run: a grid or a list of settings and problems, each point of it a run of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hybridloop.errors import InputError
from hybridloop.settings import LIMITS, SETTINGS, ProblemText, RunSettings
from hybridloop.settings.renamed import FORMER, accept_former_names
from hybridloop.settings.sources import nest
from hybridloop.settings.validation import validate

MAX_POINTS = 10_000
MAX_BYTES = 500_000  # of parameters: a Prefect server takes 512 KiB
PROBLEM = "problem"  # the column of a point's problem, and its name among a listed point's values
HERE = "none"  # in the place of a deployment's name
_KEY_DIGITS = 12


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | Mapping | ProblemText) else value


Problem = Annotated[
    ProblemText, BeforeValidator(_named, json_schema_input_type=str | ProblemText)  # a name alone is a built-in's
]


class SweepSpec(BaseModel):
    """A sweep: every problem with every combination of the grid's values, and the points that are listed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
        description="of the sweep: with a point's content it is the key of that point's run",
        examples=["h2-curve"],
    )
    algorithm: str = Field(description="what each point runs", examples=["vqe"])
    problems: Annotated[tuple[Problem, ...], BeforeValidator(_listed)] = Field(
        (), description="problems, each with every combination of the grid", examples=[["h2", "h2-1.0"]]
    )
    settings: dict[str, Any] = Field({}, description="settings of every point", examples=[{"seed": 7, "shots": 2000}])
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="values by the setting's name, such as failure.retries", examples=[{"shots": [1000, 4000]}]
    )
    points: tuple[dict[str, Any], ...] = Field(
        (),
        description="further points: settings by name, and `problem` where it is not the only one",
        examples=[[{"problem": "h2", "shots": 500}]],
    )
    max_sessions: int | None = Field(
        None, ge=1, le=10_000, description="sessions that may be open at once on each target, by a limit in Prefect"
    )
    in_flight: int | None = Field(
        None, ge=1, le=1000, description="points that are under way at once; left out: what the machines take"
    )
    attempts: int = Field(5, ge=1, le=100, description="how often a point is begun, and gone on with, until it ends")
    deployment: str | None = Field(
        None,
        description="deployment whose workers run the points, as flow/name; none: processes on this machine; left out: "
        "the algorithm's deployment, where workers of its pool are online",
        examples=["vqe/vqe"],
    )

    @field_validator("settings", "grid", "points", mode="before")
    @classmethod
    def _accept_former_names(cls, value: object) -> object:
        if isinstance(value, Mapping):
            return accept_former_names(value)
        if isinstance(value, list | tuple):
            return [accept_former_names(point) if isinstance(point, Mapping) else point for point in value]
        return value

    @field_validator("algorithm")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in SETTINGS:
            raise ValueError(f"give one of {', '.join(SETTINGS)}")
        return value

    @model_validator(mode="after")
    def _has_points_that_can_be_run(self) -> Self:
        count = len(self.points) + len(self.problems) * math.prod(len(each) for each in self.grid.values())
        if not 1 <= count <= MAX_POINTS:
            what = "has no points: give problems, or points" if count < 1 else f"has {count:,} points"
            raise ValueError(f"the sweep {what}; up to {MAX_POINTS:,} are taken")
        if (size := len(self.model_dump_json())) > MAX_BYTES:
            raise ValueError(
                f"its problems have {size:,} bytes in all, {MAX_BYTES:,} are taken: make several sweeps of it"
            )
        known: dict[str, RunSettings] = {}
        for number, point in enumerate(points_of(self), start=1):
            if known.setdefault(point.key, point.settings) != point.settings:
                limits = ", ".join(name for name in LIMITS if name in point.varied)
                raise ValueError(f"point {number} differs from another in limits alone ({limits}): it is the same run")
        return self


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a sweep: its key, and what it differs in from the others."""

    key: str
    algorithm: str
    problem: ProblemText
    settings: RunSettings
    varied: Mapping[str, Any]


def points_of(spec: SweepSpec) -> Iterator[Point]:
    """The points in their order, each made when it is asked for. Raises ValueError for one that can't be run."""
    names = varied_settings(spec)
    for number, (problem, given) in enumerate(_combinations(spec), start=1):
        merged: dict[str, Any] = {}
        try:
            for name, value in (*spec.settings.items(), *given.items()):
                if name == "failure" and isinstance(value, Mapping):  # one by one, so that a grid may vary some of them
                    merged |= {f"failure.{inner}": each for inner, each in value.items()}
                else:
                    merged[name] = value
            settings = validate(SETTINGS[spec.algorithm], nest(merged))
        except InputError as error:
            facts = {"said": f"point {number}: {error.field}: {error.problem}", "remedy": error.remedy}
            raise PydanticCustomError("point", "{said}", facts) from error
        except ValueError as error:
            raise ValueError(f"point {number}: {error}") from error
        values = settings.model_dump(mode="json")
        varied = {name: given[name] if name in given else _got(values, name) for name in names}
        yield Point(_key(spec, problem, settings), spec.algorithm, problem, settings, {PROBLEM: problem.name, **varied})


def varied_settings(spec: SweepSpec) -> tuple[str, ...]:
    """The names of all settings in which points differ."""
    listed = (name for point in spec.points for name in point if name != PROBLEM)
    return tuple(dict.fromkeys((*spec.grid, *listed)))


def _combinations(spec: SweepSpec) -> Iterator[tuple[ProblemText, dict[str, Any]]]:
    for problem in spec.problems:
        for values in itertools.product(*spec.grid.values()):
            yield problem, dict(zip(spec.grid, values, strict=True))
    for number, point in enumerate(spec.points, start=1):
        varied = dict(point)
        yield _problem_of(spec, varied.pop(PROBLEM, None), number), varied


def _problem_of(spec: SweepSpec, given: object, number: int) -> ProblemText:
    if given is not None:
        by_name = {each.name: each for each in spec.problems}
        return by_name.get(given) or ProblemText.model_validate(_named(given))  # type: ignore[call-overload]
    if len(spec.problems) != 1:
        raise ValueError(f"listed point {number} names no problem, and the sweep has {len(spec.problems)}")
    return spec.problems[0]


def _got(settings: Mapping[str, Any], name: str) -> Any:
    """The setting of that name, an inner one as `failure.retries`."""
    found: Any = settings
    for part in name.split("."):
        found = found[part]
    return found


def _key(spec: SweepSpec, problem: ProblemText, settings: RunSettings) -> str:
    """The sweep's name and a hash of what the run is: the same point has the same run, whatever else is in the sweep.

    Settings left at their defaults do not count, so that a later version's further settings change no key, and limits
    neither, since a run may be gone on with under others.
    """
    dumped = settings.model_dump(mode="json", exclude_defaults=True, exclude=set(LIMITS))
    asked = {FORMER.get(name, name): value for name, value in dumped.items()}  # so that a new name changes no key
    content = {"algorithm": spec.algorithm, "problem": problem.model_dump(mode="json"), "settings": asked}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{spec.name}-{hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]}"
