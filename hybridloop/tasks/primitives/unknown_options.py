"""Options of other providers' primitives: the error says what a session has in their place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from hybridloop.data.synonyms import setting_of, suggestion
from hybridloop.errors import UnknownOption

P = ParamSpec("P")
R = TypeVar("R")

OF_SESSION = (
    *("target", "seed", "run_key", "name", "failure", "debias", "provider_options", "tags"),
    *("max_cost", "max_jobs", "max_shots", "deadline"),
)
_OWN = {
    "sampler": "Give shots to session.sampler(), or to run() for one call.",
    "estimator": "Give precision, the standard error in the observable's unit, to session.estimator(), or to run() for "
    "one call: its shots are chosen from it.",
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
