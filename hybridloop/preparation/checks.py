"""Checks of a request that need no compiler: its target, its caps, and the name and kind of its problem."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.problems.energy_units import amount_text
from hybridloop.data import TABLES, built_in_problem, load_table
from hybridloop.descriptions import ALGORITHMS, Subject
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.inputs.formats.json_text import check_names, read_json_object
from hybridloop.inputs.validation import validate
from hybridloop.settings import EnergySettings, MitigationName, ProblemText, RunSettings
from hybridloop.settings.input_format import (
    BINARY_FORMATS,
    ENERGY_FORMATS,
    GEOMETRY_FORMATS,
    InputFormat,
)
from hybridloop.targets import Target, check_folding
from hybridloop.targets.provider_options import (
    check_levels,
    check_simulator,
)

_REMEDIES = {
    form: "Make its integrals (hybridloop molecule FILE.xyz --output FILE.fcidump), and run vqe on those."
    for form in GEOMETRY_FORMATS
} | {
    InputFormat.CIRCUIT: "Give it beside a molecule: hybridloop run vqe h2 --ansatz FILE.",
    InputFormat.SETTINGS: "Give it beside a problem, as --config FILE; a sweep is started by hybridloop sweep FILE.",
}


BOTH = f"{MitigationName.READOUT},{MitigationName.ZNE_LINEAR}"
NO_SHIFTS: Mapping[str, float] = {}


def check_measures(target: Target) -> None:
    """Raise InputError for a target whose counts have no meaning."""
    if target.checks_only:
        problem = f"{target.name} only checks programs, and its counts are not those of the circuit"
        raise InputError("target", problem, "Choose an emulator or a simulator (`hybridloop targets`).")


def check_limits(target: Target, settings: RunSettings) -> None:
    """Raise InputError for caps that can't be enforced on the target, and for options that it or the run can't have."""
    settings.session_options.fit(target)
    check_simulator(settings.options)


def check_problem(algorithm: str, problem: ProblemText) -> None:
    """Raise InputError for an unknown name, and for text that is clearly of another kind."""
    subject = ALGORITHMS[algorithm].subject
    is_energy = subject is not Subject.BINARY
    for point in points_of_scan(problem) if subject is Subject.SERIES else (problem,):
        if point.text is not None:
            # a Pauli sum may be diagonal, which its reader decides
            accepted = ENERGY_FORMATS if is_energy else BINARY_FORMATS | {InputFormat.PAULIS}
            _check_format(point, accepted)
        else:
            _check_name(point.name, is_energy=is_energy)


def is_in_hartree(problem: ProblemText) -> bool:
    """Return whether a problem of energies is a molecule; a Pauli sum has a unit of its own."""
    if problem.text is not None:
        return (problem.format or detect_format(problem.text)) is not InputFormat.PAULIS
    return "terms" not in load_table("problems").get(problem.name.lower(), {})


def points_of_scan(problem: ProblemText) -> tuple[ProblemText, ...]:
    """Return the points of a scan, in order. Raises InputError for fewer than two, and for equal names."""
    remedy = 'Give {"points": [{"name": "h2-0.3"}, {"name": "mine", "text": "…"}]}.'
    text, no_scan = problem.text or "", ProblemError(problem.name, None, "this is no list of a scan's points", remedy)
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        raise no_scan
    document = read_json_object(text, problem.name)
    check_names(document, ("points",), problem.name)
    listed = document.get("points")
    if not isinstance(listed, list) or not all(isinstance(point, dict) for point in listed):
        raise no_scan
    points = tuple(validate(ProblemText, point, of=f"problem, point {n}:") for n, point in enumerate(listed, start=1))
    if len(points) < 2:
        what = f"a scan takes two molecules or more, and {len(points)} was given"
        raise InputError("problem", what, "Add the other molecules, or run vqe for one.")
    names = [point.name for point in points]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise InputError("problem", f"two molecules of the scan are called {duplicate!r}", "Give each its own name.")
    return points


def _check_format(problem: ProblemText, expected: frozenset[InputFormat]) -> None:
    actual = problem.format or detect_format(problem.text or "")
    if actual is None or actual in expected:
        return
    remedy = f"hybridloop run {'vqe' if actual in ENERGY_FORMATS else 'qaoa'} takes it."
    wanted = "a molecule" if expected == ENERGY_FORMATS else "a graph or another binary problem"
    what = f"this looks like {actual.description}, and {wanted} is needed"
    raise ProblemError(problem.name, None, what, _REMEDIES.get(actual, remedy))


def _check_name(name: str, *, is_energy: bool) -> None:
    own, other = TABLES if is_energy else reversed(TABLES)
    if built_in_problem(own, name):
        return
    if built_in_problem(other, name):
        command = "a binary one: hybridloop run qaoa" if is_energy else "a molecule or Pauli sum: hybridloop run vqe"
        raise InputError("problem", f"{name!r} is no problem for this algorithm", f"It is {command} {name}.")
    if "/" in name or re.search(
        r"\.[A-Za-z]\w*$", name
    ):  # a command reads its file before, and a flow gets a name or text
        problem = f"{name!r} was given to a flow, which reads no files, and there is no built-in problem of that name"
        raise InputError("problem", problem, "Give its text: problem = hybridloop.problem(FILE).model_dump().")
    built_in = load_table(own)
    longer = [each for each in built_in if each.startswith(f"{name.lower()}-")]
    similar = longer[:2] or difflib.get_close_matches(name.lower(), list(built_in), n=1)
    meant = " or ".join(map(repr, similar))
    hint = f"Did you mean {meant}?" if similar else "`hybridloop problems` lists the built-in problems."
    raise InputError("problem", f"there is no file and no built-in problem {name!r}", hint)


def check_mitigation(target: Target, settings: EnergySettings) -> None:
    """Raise InputError for gates to be folded or twirled that the target, or its compiler's options, would remove."""
    if extrapolates(settings) or MitigationName.TWIRL in (getattr(settings, "mitigation", None) or ()):
        check_folding(target)
        check_levels(settings.options)


def extrapolates(settings: EnergySettings) -> bool:
    """Return whether the settings ask for zero-noise extrapolation."""
    methods = set(getattr(settings, "mitigation", None) or ())
    return bool(methods & {MitigationName.ZNE_LINEAR, MitigationName.ZNE_EXPONENTIAL})


def doubt_of_noise(
    target: Target, settings: RunSettings, shifts: Mapping[str, float] = NO_SHIFTS, unit: str = ""
) -> Doubt | None:
    """Return a doubt if the target's noise shifts a measured energy and nothing corrects it, else None.

    Readout errors and those of gates are both corrected only by readout mitigation with zero-noise extrapolation. The
    doubt recommends what would help by the expected `shifts` of each mitigation, in `unit`, where these are known
    (`PreparedAlgorithm.forecast`).
    """
    if not isinstance(settings, EnergySettings):
        return None
    methods = getattr(settings, "mitigation", None) or ()
    reads = MitigationName.READOUT in methods
    if not target.is_noisy or (reads and extrapolates(settings)):
        return None
    open_errors = "readout errors are" if extrapolates(settings) else "gate and readout errors are"
    open_errors = "gate errors are" if reads else open_errors
    shift = "They shift energies, mostly upwards and by more than chemical accuracy"
    remedy = "Compare with a simulator."
    own = shifts.get(",".join(methods))
    if own is not None:
        shift = f"They are expected to shift it by about {amount_text(own, unit)}"
        others = {name: found for name, found in shifts.items() if name and abs(found) < abs(own)}
        found = [f"{amount_text(each, unit)} with --mitigation {name}" for name, each in others.items()]
        remedy = f"Expected instead: {', '.join(found)}; hybridloop plan has their prices." if found else remedy
    elif settings.takes_mitigation and target.keeps_gates:
        remedy = f"Add --mitigation {BOTH}."
    elif settings.takes_mitigation:
        remedy = f"Compare with a simulator, or a target of Quantinuum with --mitigation {BOTH}."
    return Doubt(
        "noise",
        f"{open_errors} left in the value, and the error bar is of shots alone, on {target.name}. {shift}; a search "
        f"ends at the minimum of the noisy surface. {remedy}",
    )
