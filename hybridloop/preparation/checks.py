"""Checks of a request that need no compiler: its target, its caps, the name and kind of its problem."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

from pydantic import ValidationError

from hybridloop.algorithms.formats.detect import BINARY_FORMATS, ENERGY_FORMATS, InputFormat, detect_format
from hybridloop.azure.targets import Target, check_debias, find_target
from hybridloop.budget.caps import check_caps
from hybridloop.budget.prices import ping_price
from hybridloop.data import load_table
from hybridloop.errors import InputError, ProblemError
from hybridloop.settings import SETTINGS, EnergySettings, ProblemText, RunSettings

_WHERE_TO = {
    InputFormat.GEOMETRY: "Make its integrals (hybridloop molecule FILE.xyz --output FILE.fcidump), "
    "and run vqe on those.",
    InputFormat.CIRCUIT: "Give it beside a molecule: hybridloop run vqe h2 --ansatz FILE.",
    InputFormat.SETTINGS: "Give it beside a problem, as --config FILE; a sweep is started by hybridloop sweep FILE.",
}


def check_request(algorithm: str, problem: ProblemText, settings: RunSettings) -> Target:
    """Return the target of a request. Raises InputError for a target, cap, option or problem that no run can use."""
    target = check_target_and_problem(algorithm, problem, settings)
    check_terms(settings, target)
    return target


def check_target_and_problem(algorithm: str, problem: ProblemText, settings: RunSettings) -> Target:
    """Return the target of a request. Raises InputError for a target or problem that no run can use."""
    target = measuring_target(settings.target)
    is_for_energies = issubclass(SETTINGS[algorithm], EnergySettings)
    for point in points_of_scan(problem) if algorithm == "scan" else (problem,):
        check_problem(point, of_energies=is_for_energies)
    return target


def check_problem(problem: ProblemText, *, of_energies: bool) -> None:
    """Raise InputError for a name that is not built in, and for a text that is plainly of another kind."""
    if problem.text is not None:
        _check_kind(problem.text, problem.name, ENERGY_FORMATS if of_energies else BINARY_FORMATS)
        return
    own, other = ("problems", "binary_problems") if of_energies else ("binary_problems", "problems")
    built_in = load_table(own)
    if problem.name.lower() not in built_in:
        kind = "a binary one: hybridloop run qaoa" if of_energies else "a molecule: hybridloop run vqe"
        raise _unknown(problem.name, built_in, load_table(other), kind)


def points_of_scan(problem: ProblemText) -> tuple[ProblemText, ...]:
    """The points of a scan, in order. Raises InputError where there are not two or more, of different names."""
    try:
        given = json.loads(problem.text or "")["points"]
        parts = tuple(ProblemText.model_validate(each) for each in given)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        remedy = 'Give {"points": [{"name": "h2-0.3"}, {"name": "mine", "text": "…"}]}.'
        raise ProblemError(problem.name, None, "this is no list of a scan's points", remedy) from error
    if len(parts) < 2:
        what = f"a scan goes over two molecules or more, and there is {len(parts)}"
        raise InputError("problem", what, "Name the others behind it, or run vqe for one.")
    names = [each.name for each in parts]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError("problem", f"two of a scan's molecules are called {twice!r}", "Name each of them once.")
    return parts


def measuring_target(name: str) -> Target:
    """The target of a name. Raises InputError for one whose counts say nothing."""
    target = find_target(name)
    if target.checks_only:
        what = f"{target.name} only checks programs: its counts say nothing of the energy"
        raise InputError("target", what, "Choose an emulator or a simulator (`hybridloop targets`).")
    return target


def check_terms(settings: RunSettings, target: Target) -> None:
    """Raise InputError for caps that would not hold on the target, and for what it can't be told."""
    check_caps(settings.caps, target)
    check_debias(target, debias=settings.debias)
    if settings.exclusive_access is not None:
        settings.exclusive_access.pings(target, ping_price(target).bound)


def _check_kind(text: str, source: str, wanted: frozenset[InputFormat]) -> None:
    kind = detect_format(text)
    if kind is None or kind in wanted:
        return
    usual = "hybridloop run vqe takes it" if kind in ENERGY_FORMATS else "hybridloop run qaoa takes it"
    given = "a molecule" if wanted is ENERGY_FORMATS else "a graph or another binary problem"
    what = f"this looks like {kind}, and {given} is asked for"
    raise ProblemError(source, None, what, _WHERE_TO.get(kind, f"{usual}."))


def _unknown(name: str, built_in: Iterable[str], others: Iterable[str], kind: str) -> InputError:
    """The error for a name that is neither a file's nor built in; `others` are built in and of another kind."""
    if name.lower() in others:
        return InputError("problem", f"{name!r} is no problem for this algorithm", f"It is {kind} {name}.")
    near = difflib.get_close_matches(name.lower(), list(built_in), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "`hybridloop problems` lists what there is."
    return InputError("problem", f"there is no file and no built-in problem {name!r}", hint)
