"""Options of other providers' primitives: the error says what a session has in their place."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar

from hybridloop.data.synonyms import setting_of, suggestion
from hybridloop.errors import InvalidValue, UnknownOption

P = ParamSpec("P")
R = TypeVar("R")

OF_SESSION = (
    *("target", "seed", "run_key", "name", "failure", "debias", "provider_options", "tags"),
    *("max_cost", "max_jobs", "max_shots", "deadline"),
)
_OWN = {
    "sampler": "Give shots to session.sampler(), or to run() for one call.",
    "estimator": "Give precision, the standard error in the observable's unit, to session.estimator(), or to run() for "
    "one call: its shots are chosen from it. Or give session.estimator() the shots of each basis.",
    "backend": "Give shots to run(), or to set_options().",
}
_PUBS = {
    "sampler": "Give PUBs in one list: run([(circuit, parameter_values)]).",
    "estimator": "Give PUBs in one list: run([(circuit, observable, parameter_values)]).",
    "backend": "Give bound circuits in one list: run([circuit.assign_parameters(values)]).",
}
_MITIGATION = (
    "Primitives have no error mitigation or suppression of their own: hybridloop.vqe has mitigation=…, and IonQ's QPUs "
    "mitigate unless the session has debias=False."
)


def answer(primitive: str, option: str) -> str:
    """Return what a session has in place of an option of other providers; empty for an option that is unknown.

    `primitive` is sampler, estimator or backend.
    """
    match setting_of(option):
        case "shots" | "precision":
            return _OWN[primitive]
        case "options" | "run_options" | "set_options":
            return f"{_OWN[primitive]} {_MITIGATION}"
        case "circuits" | "observables" | "parameter_values" | "parameters":
            return _PUBS[primitive]
        case "mitigation" | "dynamical_decoupling" | "twirling":
            return _MITIGATION
        case "optimization_level" | "skip_transpilation" | "transpile_options":
            return "Compilers of targets have options of their own: open_session(provider_options=…)."
        case "grouping":
            return "The estimator always groups observables qubit-wise."
        case setting if setting in OF_SESSION:
            return f"It belongs to the session: open_session({setting}=…)."
    return ""


class PrimitiveOptions:
    """Options of a primitive by the Runtime's names; `fields` are the attributes of `owner` that each is.

    Any other name raises UnknownOption: no option is ignored.
    """

    __slots__ = ("_fields", "_owner", "_primitive")

    def __init__(self, primitive: str, owner: object, fields: Mapping[str, str]) -> None:
        for name, value in (("_primitive", primitive), ("_owner", owner), ("_fields", fields)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._owner, self._field(name))

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self._owner, self._field(name), _positive(name, value))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how a copy is made: with the values of now, and without the primitive."""
        values = {field: getattr(self._owner, field) for field in self._fields.values()}
        return PrimitiveOptions, (self._primitive, SimpleNamespace(**values), dict(self._fields))

    def update(self, **values: object) -> None:
        """Set several options at once; none is set if one is unknown."""
        checked = {self._field(name): _positive(name, value) for name, value in values.items()}
        for field, value in checked.items():
            object.__setattr__(self._owner, field, value)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{self._primitive} options: {values}"

    def _field(self, name: str) -> str:
        if name in self._fields:
            field: str = self._fields[name]
            return field
        remedy = answer(self._primitive, name.removeprefix("default_")) or answer(self._primitive, name)
        problem = f"the {self._primitive} has no such option"
        raise UnknownOption(f"options.{name}", problem, remedy or f"There are: {', '.join(self._fields)}.")


def _positive(name: str, value: object) -> object:
    """Return a number of shots or a standard error. Raises InvalidValue."""
    is_whole = name == "default_shots"
    kinds = numbers.Integral if is_whole else numbers.Real
    if isinstance(value, kinds) and not isinstance(value, bool) and 0 < value < math.inf:  # type: ignore[operator]
        return value
    wanted = "a whole number of at least 1" if is_whole else "a positive number in the observable's unit"
    raise InvalidValue(f"options.{name}", f"must be {wanted}, got {value!r}")


def check_attribute(primitive: str, name: str) -> None:
    """Raise UnknownOption where an attribute is an option of other providers, which would have no effect here."""
    if remedy := answer(primitive, name):
        raise UnknownOption(name, f"the {primitive} has no such attribute", remedy)


def with_answers(primitive: str, meaning: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a method: arguments that it does not take raise UnknownOption, before anything is done."""

    def decorate(call: Callable[P, R]) -> Callable[P, R]:
        _, *own = (parameters := inspect.signature(call).parameters)
        most = sum(parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for name in own)

        @functools.wraps(call)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in filter(lambda name: name not in own, kwargs):
                group = kwargs[name]
                option = str(next(iter(group), "")) if "options" in name and isinstance(group, Mapping) else ""
                remedy = answer(primitive, option or name) or suggestion(name, own) or f"There are: {', '.join(own)}."
                field = f"{name}.{option}" if option else name
                raise UnknownOption(field, f"the {primitive} has no such option", remedy, meaning)
            if len(args) - 1 > most:
                problem = f"{call.__name__} takes {most} by position, got {len(args) - 1}"
                raise UnknownOption("arguments", problem, (_PUBS if "pubs" in own else _OWN)[primitive], meaning)
            return call(*args, **kwargs)

        return checked

    return decorate
