"""Facts of a result as rows: its answer in the problem's terms and its effort, with its table; as lines and as HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hybridloop.algorithms.error_budget import ErrorSource
from hybridloop.algorithms.facts import SYMMETRY_CONSERVED
from hybridloop.algorithms.outcome import Kind, Table
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY, PER_HARTREE, amount_text, energy_name
from hybridloop.descriptions import ALGORITHMS, Value
from hybridloop.results.live import name_of_progress
from hybridloop.results.live_text import LEAST_ERROR, error_text, plus_minus
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.text_table import count_text, format_table, join_list
from hybridloop.targets import recorded_target
from hybridloop.targets.provider_options import target_text

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult

FACT_LABELS = {
    "locally_optimal": "optimal",
    "ground_state": "ground state",
    "self_consistent": "stable",
    "little_left": "left",
    "symmetry_conserved": "symmetry",
}  # the error is a line of its own
SHOWN = {True: "shown", False: "not shown", None: "undecided"}
MOST_NAMES = 12  # on a line
OBSERVABLES = "Operators beside the energy"
LOCAL_NOTE = " (local: not billed)"  # after what the local service states as a price
# columns of standard errors by that of the value; `error` is the value less an exact one
ERRORS = dict.fromkeys(("energy", "objective", "error"), "standard_error") | {
    name: f"{name}_error" for name in ("gradient", "excitation", "excitation_eV")
}
_NO_BRACKETS = str.maketrans("", "", "()")
_ENERGIES = "energy standard_error exact error reference noise_bias excitation excitation_error expected_left"
_UNITS = (
    dict.fromkeys(_ENERGIES.split(), "") | dict.fromkeys(("gradient", "gradient_error"), "/rad") | {"variance": "²"}
)


class Row(NamedTuple):
    """A fact of a result: its name, its value with a unit where it is one number or text, and the text to show."""

    name: str
    value: float | str | None
    unit: str
    text: str


def measured_text(value: float, error: float) -> str:
    """Return a value with its error bar, of two digits; one below the digits of a value is left out.

    >>> measured_text(-1.1383074, 0.000685), measured_text(11.731, 0.0261), measured_text(-1.5, 2e-16)
    ('-1.13831 ± 0.00068', '11.731 ± 0.026', '-1.500000')
    >>> measured_text(-1.5, math.inf)
    '-1.500000 ± unknown'
    """
    if error < LEAST_ERROR:
        return f"{value:.6f}"
    if not math.isfinite(error):
        return f"{value:.6f} ± unknown"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def heading(result: RunResult) -> str:
    """Return the problem, the target, and the status with its reason."""
    target = target_text(result.target, result.provider_options)
    return f"{result.problem} on {target}: {result.status} ({result.reason})"


def answer(result: RunResult, unit: str | None = None) -> Iterator[Row]:
    """Yield the facts of the value, and its energy in another unit if one is given. Raises InputError if
    there is no such unit."""
    if result.problem_title:
        yield _text_row("problem", result.problem_title)
    if result.value is None:
        yield from _so_far(result)
    else:
        yield from _energy(result, unit) if result.value_name == Value.ENERGY else _assignment(result)


def notes(result: RunResult) -> Iterator[Row]:
    """Yield the warnings, and the choices by name."""
    for warning in result.warnings:
        yield _text_row("warning", warning)
    for choice in result.choices:
        name, _, text = choice.partition(": ")
        yield _text_row(name, text)


def effort(result: RunResult) -> Iterator[Row]:
    """Yield the facts of the effort."""
    yield Row("effort", result.wall_seconds, "s", effort_text(result))
    yield _text_row("cost", cost_text(result))
    for session in result.sessions:
        yield _text_row("session", f"{session.id} {session.status}")
    yield _text_row("run", f"{result.run_key}{' (resumed)' if result.resumed else ''}")


def table(result: RunResult) -> list[dict[str, object]]:
    """Return the rows of the result's table as they are shown; empty for most algorithms."""
    return [{name: join_list(value) for name, value in with_errors(row).items()} for row in shown_rows(result)]


def with_errors(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in which a value shares its column with its standard error, and has the digits that this leaves."""
    errors = {name: row.get(of_error) or 0.0 for name, of_error in ERRORS.items()}
    return {
        name: measured_text(value, errors[name]) if isinstance(value, float) and name in errors else value
        for name, value in row.items()
        if name not in ERRORS.values()
    }


def error_of(row: Mapping[str, Any]) -> float | None:
    """Return the error bar of a row's energy: its standard error, of a target that does not sample the rounding bound.

    None is that of an upper bound.
    """
    error: float | None = row.get("standard_error")
    return error + (row.get("rounding_bound") or 0.0) if isinstance(error, float) else error


def shown_rows(result: RunResult) -> list[dict[str, Any]]:
    """Return plain values of the columns that are shown, with a scan's coordinate first, and excitations in eV too."""
    columns = ALGORITHMS[result.algorithm].columns
    return [dict(_shown(row, columns, result.unit)) for row in result.table] if columns else []


def _shown(row: Mapping[str, Any], columns: Sequence[str], unit: str) -> Iterator[tuple[str, Any]]:
    if "coordinate" in row:
        yield str(row["coordinate_label"]), row["coordinate"]
    for name in columns:
        yield name, error_of(row) if name == "standard_error" else row.get(name)
        if name == "excitation_error" and unit == "hartree":
            for of_ev, energy in (("excitation_eV", "excitation"), ("excitation_eV_error", "excitation_error")):
                yield of_ev, PER_HARTREE["eV"] * row[energy] if isinstance(row.get(energy), float) else None


def heading_of(name: str, unit: str) -> str:
    """Return a column's heading, with its unit if it is an energy or a gradient.

    >>> heading_of("standard_error", "hartree"), heading_of("point", "hartree")
    ('standard error (hartree)', 'point')
    """
    of_unit = f" ({unit}{_UNITS[name]})" if unit and name in _UNITS else " (eV)" if "_eV" in name else ""
    return f"{name.replace('_eV', '').replace('_', ' ')}{of_unit}"


def lines(result: RunResult, unit: str | None = None) -> Iterator[str]:
    """Yield the lines of all facts and the table, with energies in another unit too. Raises InputError."""
    yield heading(result)
    for row in (*answer(result, unit), *notes(result), *effort(result)):
        yield f"  {row.name:<10} {row.text}"
    for rows in (table(result), observable_table(result) if is_scan(result) else []):
        if rows:
            yield from (f"  {line}" for line in format_table(tuple(rows[0]), rows))


def _text_row(name: str, text: str) -> Row:
    return Row(name, text, "", text)


def _energy(result: RunResult, unit: str | None) -> Iterator[Row]:
    """Yield the energy with its errors, and what was shown of it: spin, electrons, the optimum, the circuit's reach."""
    assert result.value is not None
    if is_scan(result):  # whose points are in the table, with their errors
        if "distance" not in result.curve:
            yield _text_row("curve", minimum_text(result))
        yield from (Row(name, None, "", text) for name, text in curve_texts(result.curve))
        return
    exact = energy_name("exact", is_active_space=result.is_active_space)
    of_unit = f" {result.unit}".rstrip()
    what = "rounding; the target does not sample" if result.is_exact else "standard error"
    if result.unseen_bound:
        amounts = [amount_text(each, result.unit) for each in (sampled_error(result), result.unseen_bound)]
        what += f": {amounts[0]} by the shots, and at most {amounts[1]} by outcomes that were not seen"
    error = result.error_bar
    if result.is_upper_bound:
        what = _upper_bound(result)
    short = "" if result.is_precise else ", wider than planned"
    yield Row("energy", result.value, result.unit, f"{measured_text(result.value, error)}{of_unit} ({what}){short}")
    if result.of_what:
        yield _text_row("of", result.of_what)
    if result.interval95 is not None:
        low, high = result.interval95
        yield Row("interval", high - low, result.unit, f"{low:.6f} to {high:.6f}{of_unit} (95 %)")
    for source in result.error_budget:
        if (amount := _amount_text(source)) is not None:
            yield Row(source.source.removeprefix("search "), source.amount, source.unit, amount)
    if result.error is None or result.exact is None:
        yield Row("error", None, "", "unknown: the problem is too large to diagonalize")
    else:
        off = f"{result.error * 1e3:+.3f} mHa" if result.unit == "hartree" else f"{result.error:+.6f}"
        yield Row("error", result.error, result.unit, f"{off} against the {exact}")
        within = f"; {accuracy_text(result)}" if result.unit == "hartree" else ""
        yield Row("exact", result.exact, result.unit, f"{result.exact:.6f}{of_unit}{within}")
    if unit is not None:
        yield _in_unit(result, unit)
    if (recovered := _correlation(result)) is not None:
        yield Row("recovered", result.correlation_recovered, "", recovered)
    reference = "Hartree-Fock" if result.unit == "hartree" else "mean of all levels"
    yield Row("reference", result.reference, result.unit, f"{result.reference:.6f}{of_unit} ({reference})")
    if result.spin_squared is not None:
        squared = f"⟨S²⟩ {_conserved(result.spin_squared, result.spin_squared_error)}"
        electrons = _conserved(result.electrons, result.electrons_error, _errors_of_machine(result))
        yield Row("spin", result.spin_squared, "", f"{squared}, electrons {electrons}")
    for each in () if is_scan(result) else result.observables:
        yield Row("beside", each["value"], each["unit"], f"{each['observable']}: {observable_text(each)}")
    for fact in result.facts:
        if fact.name in FACT_LABELS:
            how = "not examined" if fact.kind is Kind.NOT_EXAMINED else f"{SHOWN[fact.shown]} ({fact.kind})"
            yield _text_row(FACT_LABELS[fact.name], f"{how}: {fact.reason.removeprefix('not examined: ')}")


def sampled_error(result: RunResult) -> float:
    """Return the standard error of a value by the shots seen, without outcomes that were not."""
    return next((source.amount or 0.0 for source in result.error_budget if source.source == "shot noise"), 0.0)


def is_scan(result: RunResult) -> bool:
    """Return True for a result with several points, whose value is only the first one's."""
    return bool(result.of_what) and "point" in result.table[0]


def minimum_text(result: RunResult) -> str:
    """Return the minimum of a scan's fit with the depth to its farthest point; else its lowest point."""
    curve, unit = result.curve, f" {result.unit}".rstrip()
    if "distance" in curve:
        at, depth = (measured_text(curve[name], curve[f"{name}_error"]) for name in ("distance", "depth"))
        return f"minimum {at} Å, {depth} Ha deep to {curve['farthest']:g} Å"
    lowest = min(result.table, key=lambda row: float(row["energy"]))
    energy = measured_text(float(lowest["energy"]), error_of(lowest) or 0.0)
    of = str(lowest.get("coordinate_label", ""))
    where = f"{lowest['coordinate']:g}{of[of.rindex('(') - 1 :].translate(_NO_BRACKETS)}" if of else lowest["point"]
    return f"lowest {energy}{unit} at {where}"


def curve_texts(curve: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the fit of a curve has shown."""
    if "reason" in curve:
        yield "minimum", str(curve["reason"])
    if "distance" not in curve:
        return
    at, energy, depth = (measured_text(curve[name], curve[f"{name}_error"]) for name in ("distance", "energy", "depth"))
    yield "minimum", f"{at} Å, {energy} hartree"
    if curve["wavenumber"] is not None:
        harmonic = measured_text(curve["wavenumber"], curve["wavenumber_error"])
        yield "harmonic", f"{harmonic} 1/cm, of the most common isotopes"
    end = "" if curve["is_flat"] else ", not flat yet"
    yield "depth", f"{depth} hartree to {curve['farthest']:g} Å{end}"


def accuracy_text(result: RunResult) -> str:
    """Return the error in hartree against chemical accuracy: within or outside it only if the whole interval is.

    The energy that is known to be left below a value widens the interval's lower end. It is no doubt of the value's own
    error, which has the upper half to either side.
    """
    assert result.error is not None
    assert result.value is not None
    low, high = result.interval95 or (result.value, result.value)
    doubt = high - result.value
    if abs(result.error) + max(doubt, result.value - low) <= CHEMICAL_ACCURACY:
        return "within chemical accuracy"
    if abs(result.error) - doubt > CHEMICAL_ACCURACY:
        return "outside chemical accuracy"
    return f"not resolved: ± {amount_text(doubt, 'hartree')}"


def _upper_bound(result: RunResult) -> str:
    """Return what an upper bound bounds: `exact` is of the molecule's spin, and a state of another may lie lower."""
    if result.error is not None and result.error < -result.rounding_bound:
        return "an upper bound on the lowest energy of any spin"
    return "an upper bound: the exact energy is not above it"


def _in_unit(result: RunResult, unit: str) -> Row:
    per_hartree, energy = PER_HARTREE.get(unit, 0.0), result.value_in(unit)
    error = per_hartree * result.error_bar
    digits = max(0, 6 - math.floor(math.log10(per_hartree)))
    bar = "(an upper bound)" if result.is_upper_bound else f"± {error:.{digits}f}"
    off = ""
    if result.error is not None:
        exact = energy_name("exact", is_active_space=result.is_active_space)
        off = f", {per_hartree * result.error:+.{digits}f} against the {exact}"
    return Row("also", energy, unit, f"{energy:.{digits}f} {unit} {bar}{off}")


def _correlation(result: RunResult) -> str | None:
    """Return how much of the correlation energy was found; None for values that have none."""
    if result.unit != "hartree" or result.value is None or result.reference is None:
        return None
    error = result.error_bar
    name = energy_name("correlation", is_active_space=result.is_active_space)
    if result.exact is None:
        bar = "" if result.is_upper_bound else f" ± {1e3 * error:.3f}"
        found = f"{1e3 * (result.value - result.reference):.3f}{bar} mHa"
        return f"{found} of {name}; the whole is unknown"
    if (recovered := result.correlation_recovered) is None or error > abs(result.exact - result.reference):
        return None
    whole = result.exact - result.reference
    bar = "" if result.is_upper_bound else f" ± {abs(error / whole):.1%}"
    return f"{recovered:.1%}{bar} of the {name}, {1e3 * whole:.3f} mHa"


def _amount_text(source: ErrorSource) -> str | None:
    """Return an error source's amount with its unit, side and meaning; None if the value has no such error."""
    if not source.amount:
        return None if source.meaning.startswith("none") else source.meaning
    amount = amount_text(source.amount, source.unit)
    return f"{amount} below ({source.meaning})" if source.is_one_sided else f"{amount} ({source.meaning})"


def _conserved(value: float | None, error: float | None, errors_of_machine: str = "") -> str:
    return f"{value:g} (conserved by the circuit{errors_of_machine})" if not error else f"{value:.3f} ± {error:.3f}"


def _errors_of_machine(result: RunResult) -> str:
    """Return what the errors of a machine did to what a circuit conserves: outcomes that show it were discarded."""
    counted = next((fact for fact in result.facts if fact.name == SYMMETRY_CONSERVED and not fact.shown), None)
    if counted is not None:
        return f"; {counted.reason}"
    return "; the machine's errors do not conserve it" if recorded_target(result.target).is_noisy else ""


def reference_doubt(result: RunResult) -> str | None:
    """Return a sentence if a molecule's energy is not shown to be below that of Hartree-Fock."""
    if result.unit != "hartree" or result.value is None or result.interval95 is None or is_scan(result):
        return None
    assert result.reference is not None  # of an energy
    gain, doubt = result.reference - result.value, result.interval95[1] - result.value
    if gain > doubt or not result.rounds:  # without a round it is that energy, and shown to be exact
        return None
    side = "below" if gain >= 0.0 else "above"
    amounts = f"{amount_text(abs(gain), 'hartree')} {side} it, ± {amount_text(doubt, 'hartree')}"
    return f"no more than Hartree-Fock is shown: the value is {amounts}"


def _assignment(result: RunResult) -> Iterator[Row]:
    """Yield the best assignment in the problem's terms, and the mean of the objective."""
    best = "no sampled assignment meets all constraints"
    bits = f"{result.best_bitstring} (rightmost: variable 0)"
    if result.solution:
        yield from (_text_row(*each) for each in result.solution.items())
        yield Row("bits", result.best_bitstring, "", bits)
    else:
        if result.best_bitstring is not None:
            best = f"{result.best_value:.12g} at {bits}"
        yield Row("best seen", result.best_value, "", best)
        if names := _ones(result):
            yield _text_row("with 1", names)
    if result.constraints:
        yield _text_row("feasible", constraints_text(result.constraints, result.feasible_share))
    if result.best_share is not None:
        yield Row("share", result.best_share, "", share_text(result))
    yield Row("optimum", result.exact, "", _optimum(result))
    yield _mean(result)
    if result.cvar:
        cvar, what = result.cvar, "feasible shots" if result.constraints else "shots"
        text = f"{measured_text(cvar['value'], cvar['standard_error'])} (of the best {cvar['share']:.0%} of the {what})"
        yield Row("CVaR", cvar["value"], "", text)
    if result.search_value is not None:
        penalties = ", with the penalties of shots that break a constraint" if result.constraints else ""
        text = (
            f"{measured_text(result.search_value, result.search_error or 0.0)} (what the search minimizes{penalties})"
        )
        yield Row("minimized", result.search_value, "", text)
    of = "feasible " if result.constraints else ""
    unknown = f"unknown: the mean of random {of}assignments takes too much work"
    known = unknown if result.reference is None else f"{result.reference:.12g} (mean of random {of}assignments)"
    yield Row("reference", result.reference, "", known)


def share_text(result: RunResult) -> str:
    """Return the share of the final shots that have the best assignment's objective, with its 95 % interval."""
    low, high = result.best_share_interval95 or (0.0, 1.0)
    return f"{result.best_share:.2%} of the final shots have its objective (95 %: {low:.2%} to {high:.2%})"


SIGMAS_OF_STATE = 4.0  # standard errors beyond which one of many operators is not that of the simulated state


def constraints_text(rows: Table, share: float | None) -> str:
    """Return the share of the shots that meet all constraints, and which ones the best assignment breaks."""
    broken = [str(row["constraint"]) for row in rows if not row["met"]]
    number = f"the {len(rows)} constraints" if len(rows) > 1 else "the constraint"
    met = f"the best breaks {', '.join(broken)}, of {number}" if broken else f"the best meets {number}"
    if share is None:
        return met
    rarest = min(rows, key=lambda row: float(row["share"]))
    least = f" ({rarest['constraint']}: {float(rarest['share']):.1%})" if len(rows) > 1 and share < 1.0 else ""
    return f"{share:.1%} of the shots{least}; {met}"


def observable_error(row: Mapping[str, Any]) -> float:
    """Return the error bar of an operator's value: its standard error, with the bound of what rounding changed."""
    return float(row["standard_error"]) + float(row["rounding_bound"])


def observable_table(result: RunResult) -> list[dict[str, object]]:
    """Return a row for each operator beside the energy, of a scan at each point, with its texts; empty for most."""
    return [
        {
            **({"point": row["point"]} if "point" in row else {}),
            "observable": row["observable"],
            "value": observable_text(row),
            "not seen": f"{row['unseen_bound']:.2g} at most" if row["unseen_bound"] else "",
            "simulated": "" if row["simulated"] is None else f"{row['simulated']:.4f}",
            "shots": f"{row['shots']:,}",
        }
        for row in result.observables
    ]


def observable_text(row: Mapping[str, Any]) -> str:
    """Return an operator's value with its error and unit, and how far it is from the simulated state's, if it is."""
    if row["value"] is None:
        return "not measured"
    if not row["shots"]:
        return f"{row['value']:g} {row['unit']} at all angles of the circuit".replace("  ", " ")
    text = f"{measured_text(row['value'], observable_error(row))} {row['unit']}".rstrip()
    text += " at these angles" if row["at_these_angles"] else ""
    if row["simulated"] is None:
        return text
    off = abs(row["value"] - row["simulated"])
    if off <= SIGMAS_OF_STATE * row["standard_error"] + row["rounding_bound"] + LEAST_ERROR:
        return text
    return f"{text} (off by more than shot noise: the simulated state has {row['simulated']:.4f})"


def _optimum(result: RunResult) -> str:
    if result.exact is not None:
        return f"{result.exact:.12g}"
    if result.optimum is None:
        return "unknown"
    found, bound = result.optimum
    return f"unknown: {found:.12g} is the best known, and none is {'above' if bound > found else 'below'} {bound:.12g}"


def way_from_random(result: RunResult) -> tuple[float, str] | None:
    """Return how far the mean is on the way from random assignments to the optimum, 1 at its end, and the end's name.

    Where the optimum is unknown, the end is the best assignment known. None where there is no way to measure by, as
    where no shot is feasible.
    """
    if result.feasible_share == 0.0:
        return None
    known = result.optimum and result.optimum[0]
    end, name = (known, "the best known") if result.exact is None else (result.exact, "the optimum")
    if end is None or result.value is None or result.reference is None or end == result.reference:
        return None
    return (result.value - result.reference) / (end - result.reference), name


def _mean(result: RunResult) -> Row:
    way = way_from_random(result)
    of = "feasible " if result.constraints else ""
    ratio = "" if way is None else f", {way[0]:.1%} of the way from random {of}assignments to {way[1]}"
    if result.is_exact and not result.rounding_bound:  # computed, not measured
        return Row("objective", result.value, "", f"{result.value:.12g}{ratio}")
    error = plus_minus(result.standard_error or 0.0, result.rounding_bound)
    return Row("average", result.value, "", f"{result.value:.6f} {error}{ratio}")


def _ones(result: RunResult) -> str:
    """Return the named variables that are 1 in the best assignment; empty if the variables have no names."""
    if all(row.get("variable", str(i)) == str(i) for i, row in enumerate(result.table)):
        return ""
    names = [row["variable"] for row in result.table if row["value"]]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "none") + more


def _so_far(result: RunResult) -> Iterator[Row]:
    if result.history:
        last = result.history[-1]
        bar = error_text(last.standard_error, name_of_progress(result.algorithm))
        yield Row("so far", last.value, result.unit, f"{last.value:.6f} {bar} {result.unit}".rstrip())
    else:
        yield Row("so far", None, "", "no round is complete")
    yield _text_row("resume", f"hybridloop runs resume {result.run_key} {result.larger_cap}".rstrip())


def effort_text(result: RunResult) -> str:
    """Return the rounds, jobs, shots and time that a run took."""
    counts = (count_text(result.rounds, "round"), count_text(result.jobs, "job"), count_text(result.shots, "shot"))
    return ", ".join((*counts, format_duration(result.wall_seconds)))


def cost_text(result: RunResult) -> str:
    """Return the billed and reserved amounts by unit; the service may state none."""
    has_jobs = bool(result.jobs or result.pings)
    return charged_text(result.cost, result.reserved, has_jobs=has_jobs, is_local=result.is_local)


def charged_text(billed: Mapping[str, float], reserved: Mapping[str, float], *, has_jobs: bool, is_local: bool) -> str:
    """Return amounts by unit: those that were billed, and those that are reserved for jobs without a bill.

    A local service states amounts and bills nothing.
    """
    unstated = "not stated by the service" if has_jobs else "nothing was submitted"
    return (amounts_text(billed) + LOCAL_NOTE * is_local if billed else unstated) + "".join(
        f"; {amounts_text({unit: reserved[unit]})} reserved" for unit in reserved
    )


def amounts_text(amounts: Mapping[str, float]) -> str:
    """Return amounts by unit, separated by commas."""
    return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in sorted(amounts.items()))
