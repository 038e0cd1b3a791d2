"""Specification of a sweep: a grid or list of problems and settings, of which each point is a run."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.inputs.validation import validate
from hybridloop.runtime.dotted_names import flatten, nest
from hybridloop.settings import LIMITS, Problem, ProblemText, RunSettings, goals_of
from hybridloop.settings.parsing import Cost
from hybridloop.targets.provider_options import DEBIAS, FIELD

MAX_POINTS = 10_000
MAX_BYTES = 500_000  # of the JSON: a Prefect server accepts parameters up to 512 KiB
PROBLEM = "problem"  # name of a point's problem in the table and among a listed point's values
HERE = "none"  # deployment name for processes on this machine
_KEY_DIGITS = 12


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str | Mapping | ProblemText) else value


class SweepSpec(BaseModel):
    """A sweep: each problem with each combination of the grid's values, and the listed points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
        description="name of the sweep; the key of a point's run is made of it and the point's content",
        examples=["h2-curve"],
    )
    algorithm: str = Field(description="algorithm of all points", examples=["vqe"])
    problems: Annotated[tuple[Problem, ...], BeforeValidator(_as_list)] = Field(
        (), description="problems, each with each combination of the grid", examples=[["h2", "h2-1.0"]]
    )
    settings: dict[str, Any] = Field({}, description="settings of every point", examples=[{"seed": 7, "shots": 2000}])
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="values by setting, such as failure.retries", examples=[{"shots": [1000, 4000]}]
    )
    points: tuple[dict[str, Any], ...] = Field(
        (),
        description="further points: settings by name, and `problem` unless the sweep has only one",
        examples=[[{"problem": "h2", "shots": 500}]],
    )
    max_sessions: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="maximum of open sessions on each target, by a Prefect concurrency limit",
    )
    max_cost: Cost | None = Field(None, description="maximum cost of all points together, by unit", examples=["50USD"])
    in_flight: int | None = Field(
        None, ge=1, le=1000, description="maximum number of points at once; left out: by the number of workers or CPUs"
    )
    attempts: int = Field(5, ge=1, le=100, description="maximum number of attempts of a point; each resumes it")
    deployment: str | None = Field(
        None,
        description="deployment whose workers run the points, as flow/name; none: processes on this machine; left out: "
        "the algorithm's deployment if workers of its pool are online, else processes on this machine",
        examples=["vqe/vqe"],
    )
    axis: str = Field(
        "",
        max_length=100,
        description="label of the picture's axis for problems whose names end in numbers, with its unit",
        examples=["O–H distance (Å)"],
    )

    @field_validator("algorithm")
    @classmethod
    def _check_algorithm(cls, value: str) -> str:
        if value not in ALGORITHMS:
            raise ValueError(f"must be one of {', '.join(ALGORITHMS)}")
        return value

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        if PROBLEM in self.grid:
            raise PydanticCustomError("problem_in_grid", "the grid has settings alone", {"remedy": "Give `problems`."})
        count = len(self.points) + len(self.problems) * math.prod(len(values) for values in self.grid.values())
        if not 1 <= count <= MAX_POINTS:
            what = "has no points: give problems, or points" if count < 1 else f"has {count:,} points"
            raise ValueError(f"the sweep {what}; the maximum is {MAX_POINTS:,}")
        if (size := len(self.model_dump_json())) > MAX_BYTES:
            raise ValueError(
                f"the sweep has {size:,} bytes of JSON, the maximum is {MAX_BYTES:,}: split it into several sweeps"
            )
        known: dict[str, RunSettings] = {}
        for number, point in enumerate(points_of(self), start=1):
            if known.setdefault(point.key, point.settings) != point.settings:
                names = ", ".join(name for name in LIMITS if name in point.varied)
                raise ValueError(f"point {number} differs from another only in {names}: it is the same run")
        return self


@dataclass(frozen=True, slots=True)
class Point:
    """A run of a sweep; `varied` are the values in which it differs from the others.

    `settings` have the seed of the specification. `own_seed` is drawn from it and from the point's content, so that
    points do not share their shot noise; None without a seed, as each run then draws one.
    """

    key: str
    algorithm: str
    problem: ProblemText
    settings: RunSettings
    varied: Mapping[str, Any]
    own_seed: int | None = None

    def with_own_seed(self) -> Point:
        """Return the point with its own seed in its settings."""
        return replace(self, settings=self.settings.model_copy(update={"seed": self.own_seed}))


def points_of(spec: SweepSpec) -> Iterator[Point]:
    """Yield the points in order. Raises ValueError for an invalid point, before the first is yielded."""
    names, problems = varied_settings(spec), {problem.name: problem for problem in spec.problems}
    numbered = enumerate(_combinations(spec), start=1)
    points = [(_point_of(spec, problems, given, number), given) for number, given in numbered]
    for (problem, settings), given in points:
        values = settings.model_dump(mode="json")
        varied = {name: given[name] if name in given else _value_of(values, name) for name in names}
        key, own_seed = _key_and_seed(spec, problem, settings)
        yield Point(key, spec.algorithm, problem, settings, {PROBLEM: problem.name, **varied}, own_seed)


def _point_of(
    spec: SweepSpec, problems: Mapping[str, ProblemText], given: Mapping[str, Any], number: int
) -> tuple[ProblemText, RunSettings]:
    """Return a point's problem and settings. Raises ValueError with its number if one is invalid."""
    varied, merged = dict(given), dict[str, Any]()
    try:
        problem = _problem_of(varied.pop(PROBLEM, None), problems)
        for name, value in (*spec.settings.items(), *varied.items()):
            # of `failure` field by field, so that a grid may vary some
            merged |= flatten({name: value}) if name == "failure" else {name: value}
        return problem, validate(ALGORITHMS[spec.algorithm].settings, nest(merged))
    except InputError as error:
        facts = {"message": f"point {number}: {error.happened}", "remedy": error.remedy}
        raise PydanticCustomError("point", "{message}", facts) from error
    except ValueError as error:
        raise ValueError(f"point {number}: {error}") from error


def varied_settings(spec: SweepSpec) -> tuple[str, ...]:
    """Return the names of the settings in which points differ."""
    listed = (name for point in spec.points for name in point if name != PROBLEM)
    return tuple(dict.fromkeys((*spec.grid, *listed)))


def _combinations(spec: SweepSpec) -> Iterator[Mapping[str, Any]]:
    """Yield the problem and the varied settings of each point, by name."""
    for problem in spec.problems:
        for values in itertools.product(*spec.grid.values()):
            yield {PROBLEM: problem, **dict(zip(spec.grid, values, strict=True))}
    yield from spec.points


def _problem_of(given: object, problems: Mapping[str, ProblemText]) -> ProblemText:
    """Return a listed point's problem: one of the sweep's by its name, the only one, or another."""
    if given is None:
        if len(problems) != 1:
            raise ValueError(f"it names no problem, and the sweep has {len(problems)}")
        return next(iter(problems.values()))
    return (problems.get(given) if isinstance(given, str) else None) or validate(
        _NamedProblem, {PROBLEM: given}
    ).problem


class _NamedProblem(BaseModel):
    """The problem of a listed point, for its validation."""

    problem: Problem


def _value_of(settings: Mapping[str, Any], name: str) -> Any:
    """Return the setting of a name, an inner one as `failure.retries`; None where its group is not set."""
    value: Any = settings
    for part in ("debias" if name == f"{FIELD}.{DEBIAS}" else name).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _key_and_seed(spec: SweepSpec, problem: ProblemText, settings: RunSettings) -> tuple[str, int | None]:
    """Return a point's run key and own seed, both by a hash of the point's content, independent of other points.

    The hash leaves out settings at their defaults, limits, since a run may be resumed with others, and goals that all
    points share, since a run is extended to one that reaches further.
    """
    shared = set(goals_of(type(settings))) - {*varied_settings(spec)}
    changed = settings.model_dump(mode="json", exclude_defaults=True, exclude={*LIMITS, *shared})
    content = {"algorithm": spec.algorithm, "problem": problem.model_dump(mode="json"), "settings": changed}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode())
    own_seed = int.from_bytes(digest.digest()[-8:]) >> 1  # 63 bits, none of them in the key
    return f"{spec.name}-{digest.hexdigest()[:_KEY_DIGITS]}", None if settings.seed is None else own_seed
