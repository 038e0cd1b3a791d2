"""Provider options: what each target takes in a job's inputParams, checks against it, and what options change.

The table is `hybridloop/data/provider_options.json`. Options are written by dotted names, `noise.model`, or nested.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from hybridloop.data import load_table
from hybridloop.errors import InputError
from hybridloop.runtime.dotted_names import flatten, nest
from hybridloop.targets import Target, recorded_target

FIELD = "provider_options"  # the setting of a run
DEBIAS, NOISE_MODEL, NOISE_SEED = "error-mitigation.debias", "noise.model", "noise.seed"
_LEVEL, _NO_OPT, _ERROR_MODEL, _ERROR_PARAMS = "tket-opt-level", "no-opt", "error-model", "error-params."
_SIMULATOR, _STABILIZER = "simulator", "stabilizer"
IDEAL = "ideal"
_SHORT_GROUP, _FEW = 4, 10
_MAX_SEED = 2**31  # of a job's own seed

Options = Mapping[str, Any]  # nested, as in inputParams
NO_OPTIONS: Options = {}


@dataclass(frozen=True, slots=True)
class Option:
    """An option of some targets: its dotted name, and its values, or their type where those are not listed."""

    name: str
    about: str
    values: tuple[Any, ...] = ()
    type: str = ""

    @property
    def accepts(self) -> str:
        """The values as text."""
        return ", ".join(map(_text, self.values)) if self.values else _TYPES[self.type][0]

    def takes(self, value: object) -> bool:
        """Return whether this is a value of the option."""
        if self.values:
            return any(type(value) is type(known) and value == known for known in self.values)
        return _TYPES[self.type][1](value)


def options_of(target: str) -> dict[str, Option]:
    """Return the options that a target's provider documents for it, by dotted name."""
    return {option.name: option for option, patterns in _table() if _matches(target, patterns)}


def check_provider_options(target: Target, options: Options) -> None:
    """Raise InputError for an option that the target does not have, for a wrong value, and for a contradiction."""
    given, known = flatten(options), options_of(target.name)
    for name, value in given.items():
        if name not in known:
            raise _unknown(target, name, known)
        if not known[name].takes(value):
            problem = f"{_text(value)!r:.80} is no value of it on {target.name}"
            raise InputError(_field(name), problem, f"Give {known[name].accepts}.")
    if given.get(_NO_OPT) and given.get(_LEVEL, 0) > 0:
        problem = f"{_NO_OPT} and {_LEVEL} {given[_LEVEL]} contradict each other"
        raise InputError(f"{FIELD}.{_NO_OPT}", problem, "Give one of them.")
    if given.get(_ERROR_MODEL) is False and any(name.startswith(_ERROR_PARAMS) for name in given):
        problem = f"{_ERROR_MODEL} is false, so error-params have no effect"
        raise InputError(f"{FIELD}.{_ERROR_MODEL}", problem, "Give one of them.")
    if NOISE_SEED in given and given.get(NOISE_MODEL, IDEAL) == IDEAL:
        raise InputError(f"{FIELD}.{NOISE_SEED}", "there is no noise to draw", f"Give {NOISE_MODEL}, too.")


def check_levels(options: Options) -> None:
    """Raise InputError if the provider is asked to optimize gates that are folded or twirled."""
    if (level := flatten(options).get(_LEVEL, 0)) > 0:
        problem = f"{_LEVEL} {level} lets the compiler remove gates that are folded or twirled"
        raise InputError(
            f"{FIELD}.{_LEVEL}", problem, f"Leave it out (such jobs have {_LEVEL} 0), or leave zne and twirl out."
        )


def check_simulator(options: Options) -> None:
    """Raise InputError if circuits with rotations by any angle are to run on a simulator of Clifford gates."""
    if flatten(options).get(_SIMULATOR) == _STABILIZER:
        problem = f"{_STABILIZER} simulates Clifford gates alone, and an algorithm's circuits rotate by any angle"
        remedy = "Leave it out; in a session of your own, Clifford circuits can have it."
        raise InputError(f"{FIELD}.{_SIMULATOR}", problem, remedy)


def check_debias(target: Target, *, debias: bool) -> None:
    """Raise InputError if `debias` is False and the target has no error mitigation of the provider to turn off."""
    if not debias and not target.debiases:
        problem = f"{target.name} has no error mitigation by its provider to turn off"
        raise InputError("debias", problem, "Leave it out, or choose an IonQ QPU.")


def target_with_options(target: Target, options: Options) -> Target:
    """Return the target as it is under these options: qubits, whether it samples, whether it is noisy."""
    given, facts = flatten(options), load_table("provider_options")
    model = given.get(NOISE_MODEL, IDEAL)
    if model != IDEAL and model in facts["noise_qubits"]:
        target = replace(target, samples=True, is_noisy=True, qubits=facts["noise_qubits"][model])
    if given.get(_ERROR_MODEL) is False:
        target = replace(target, is_noisy=False)
    if given.get(_SIMULATOR) == _STABILIZER and target.qubits is not None:
        target = replace(target, qubits=max(target.qubits, facts["stabilizer_qubits"]), is_clifford_only=True)
    return target


def stated_qubits(target: Target, stated: object) -> int | None:
    """Return the qubits that a workspace states for a target; None without a number, or if options change it."""
    is_number = isinstance(stated, int) and not isinstance(stated, bool)
    return stated if is_number and target.qubits == recorded_target(target.name).qubits else None  # type: ignore[return-value]


def provider_params(
    target: Target,
    *,
    debias: bool,
    keeps_gates: bool = False,
    options: Options = NO_OPTIONS,
    sampling_value: str = "",
) -> dict[str, Any]:
    """Return the inputParams of a program: the options, whether the provider mitigates errors and may optimize gates.

    `debias` is that of the job: see `Target.mitigates`.

    Quantinuum's compiler optimizes at level 2 by default; at level 0 it only translates to native gates. A `noise.seed`
    becomes the job's own, by its `sampling_value`: jobs with equal seeds would draw the same shots.
    """
    params = flatten(options)
    if target.debiases and not debias:
        params[DEBIAS] = False
    if keeps_gates and target.provider == "quantinuum":
        params[_LEVEL] = 0
    if NOISE_SEED in params:
        digest = hashlib.blake2b(f"{params[NOISE_SEED]}/{sampling_value}".encode(), digest_size=8).digest()
        params[NOISE_SEED] = int.from_bytes(digest) % _MAX_SEED
    return nest(params)


def options_text(options: Options) -> str:
    """Return options as a user types them: `noise.model=aria-1, noise.seed=7`."""
    return ", ".join(f"{name}={_text(value)}" for name, value in flatten(options).items())


def target_text(target: str, options: Options) -> str:
    """Return a target's name with its options, for people: `ionq.simulator with noise.model=aria-1`."""
    return f"{target} with {options_text(options)}" if options else target


def _unknown(target: Target, name: str, known: Mapping[str, Option]) -> InputError:
    refused = (each for each in load_table("provider_options")["refused"] if each["name"] == name.partition(".")[0])
    if (why := next((each["why"] for each in refused if _matches(target.name, each["targets"])), None)) is not None:
        return InputError(f"{FIELD}.{name}", f"{target.name} can't be given it: {why}", "Leave it out.")
    if not known:
        remedy = f"Leave it out{_elsewhere(name)}."
        return InputError(_field(name), f"{target.name} has no options of its provider", remedy)
    similar = difflib.get_close_matches(name, known, n=1 if len(known) <= _FEW else 3)
    remedy = f"Did you mean {' or '.join(similar)}? " if similar else ""
    remedy += f"It has {', '.join(_listed(known))}{_elsewhere(name)}."
    return InputError(_field(name), f"{target.name} has no such option", remedy)


def _listed(known: Mapping[str, Option]) -> list[str]:
    """Return the names of a target's options; a large group has its name alone."""
    groups = Counter(each.partition(".")[0] for each in known)
    return list(
        dict.fromkeys(
            f"{group}.…" if groups[group] > _SHORT_GROUP else each
            for each in known
            for group in [each.partition(".")[0]]
        )
    )


def _field(name: str) -> str:
    """Return an option's name as that of a setting."""
    return "debias" if name == DEBIAS else f"{FIELD}.{name}"


def _elsewhere(name: str) -> str:
    """Name the targets that have the option; nothing if there is none."""
    patterns = [each for option, patterns in _table() if option.name == name for each in patterns]
    return f"; {name} is an option of {' and '.join(patterns)}" if patterns else ""


def _matches(target: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(target, pattern) for pattern in patterns)


@cache
def _table() -> tuple[tuple[Option, tuple[str, ...]], ...]:
    rows = load_table("provider_options")["options"]
    return tuple(
        (
            Option(name, row["about"], tuple(row.get("values", ())), row.get("type", "")),
            tuple(row["targets"]),
        )
        for row in rows
        for name in row["names"]
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_number(value: object, least: float = -math.inf, most: float = math.inf) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and least <= value <= most  # type: ignore[arg-type, operator]  # a number


def _are_probabilities(value: object) -> bool:
    values = value if isinstance(value, list | tuple) and len(value) == 2 else (value,)
    return all(_is_number(each, 0, 1) for each in values)


_TYPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "integer": ("an integer from 0 on", lambda value: _is_number(value, 0) and isinstance(value, int)),
    "number": ("a number", _is_number),
    "probability": ("a number from 0 to 1", lambda value: _is_number(value, 0, 1)),
    "probabilities": ("a number from 0 to 1, or two in a list", _are_probabilities),
    "scale": ("a number from 0 on", lambda value: _is_number(value, 0)),
}
