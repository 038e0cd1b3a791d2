"""Cost of a chemically accurate energy by target as plain values, and as text for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hybridloop.algorithms.problems.energy_units import energy_name
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.text_table import format_table

DEBIAS = "debias"  # IonQ's error mitigation


@dataclass(frozen=True, slots=True)
class ExpectedEnergy:
    """Expected jobs, shots, price (in the row's unit; None: unknown) and hours of an energy, and its expected error.

    The error in hartree is what the search and the target's published noise are expected to add; None: unknown.
    `reached` says whether 95 % of the energies are then expected within chemical accuracy. `mitigation` names the
    methods of error mitigation, "debias" is the provider's.
    """

    jobs: int
    shots: int
    price: float | None
    hours: float
    mitigation: tuple[str, ...] = ()
    error: float | None = None
    reached: bool | None = None


@dataclass(frozen=True, slots=True)
class AccuracyRow:
    """One target: a search without and with error mitigation, and the bound; None for what it does not run."""

    target: str
    unit: str
    bare: ExpectedEnergy | None
    mitigated: ExpectedEnergy | None
    bound: ExpectedEnergy | None


@dataclass(frozen=True, slots=True)
class ChemicalAccuracy:
    """The cost of an energy within `bar` hartree on each target, by a search and by an upper bound from samples.

    `algorithm` and `bound` name the two algorithms. `standard_error` in hartree is that of the search's final
    measurement. `search_error` is the energy that its dry run's state has above the exact one, and `bound_error` that
    of the bound from ideal samples, both without noise and in hartree; None: unknown. The notes say what these are, or
    why they are unknown. With `is_active_space` the energy is that of a part of the molecule.
    """

    algorithm: str
    bound: str
    bar: float
    standard_error: float
    search_error: float | None
    search_note: str
    bound_error: float | None
    bound_note: str
    rows: tuple[AccuracyRow, ...]
    is_active_space: bool = False


def accuracy_lines(accuracy: ChemicalAccuracy) -> Iterator[str]:
    """Yield the text: a heading, a line for each target, and what the figures rest on."""
    name, accurate = accuracy.algorithm, "accurate"
    bar = f"{1e3 * accuracy.bar:g} mHa"
    if accuracy.is_active_space:
        accurate, bar = "accurate in space", f"{bar} from the {energy_name('exact', is_active_space=True)}"
    yield (
        f"Chemical accuracy, {bar}: cost and time by a standard error of "
        f"{1e3 * accuracy.standard_error:g} mHa, and expected error"
    )
    columns = ("target", name, accurate, f"{name} mitigated", "accurate then", accuracy.bound)
    cells = (
        (
            row.target,
            *(_cost(row.bare, row.unit), _verdict(row.bare)),
            *(_cost(row.mitigated, row.unit), _verdict(row.mitigated)),
            _cost(row.bound, row.unit),
        )
        for row in accuracy.rows
    )
    yield from format_table(columns, [dict(zip(columns, each, strict=True)) for each in cells])
    if any(row.bare is not None and row.bare.error for row in accuracy.rows):
        left_out = "idling and drift are left out"
        yield f"{accurate}: 95 % of such energies are within it, by published error rates; {left_out}"
    mitigations = {row.mitigated.mitigation for row in accuracy.rows if row.mitigated is not None}
    if named := sorted(", ".join(methods) for methods in mitigations):
        unknown = "; what debias leaves is not published" if (DEBIAS,) in mitigations else ""
        yield f"mitigated: by {' or by '.join(named)}{unknown}"
    yield f"{name}: {accuracy.search_note}"
    yield f"{accuracy.bound}: {accuracy.bound_note}"


def _cost(energy: ExpectedEnergy | None, unit: str) -> str | None:
    return None if energy is None else f"{_price(energy.price, unit)}, {format_duration(3600.0 * energy.hours)}"


def _price(price: float | None, unit: str) -> str:
    """Return a price with three to five digits.

    >>> [_price(price, "USD") for price in (0.0, 4.0, 1416.47, 834092.0, 1359253.0, None)]
    ['free', '4.00 USD', '1,416 USD', '834k USD', '1.36M USD', 'unknown']
    """
    if price is None:
        return "unknown"
    if price == 0.0:
        return "free"
    if price < 100.0:
        return f"{price:.2f} {unit}"
    if price < 1e5:
        return f"{price:,.0f} {unit}"
    return f"{price / 1e3:.0f}k {unit}" if price < 1e6 else f"{price / 1e6:,.2f}M {unit}"


def _verdict(energy: ExpectedEnergy | None) -> str | None:
    if energy is None:
        return None
    if energy.reached is None:
        return "unknown"
    return "yes" if energy.reached else f"no: {_millihartree(energy.error)}"


def _millihartree(error: float | None) -> str:
    """Return an expected error with two digits; the noise's estimate has no more.

    >>> [_millihartree(error) for error in (8.2e-4, 0.0066, 0.335, 1.21)]
    ['0.82 mHa', '6.6 mHa', '340 mHa', '1200 mHa']
    """
    return "?" if error is None else f"{float(f'{1e3 * error:.2g}'):g} mHa"
