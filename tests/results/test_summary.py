"""Text of a result: eight lines of 80 columns, never cut inside a clause, which claim no more than is resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.results.fitted_text import fitted, whole_parts, wrapped
from hybridloop.results.result import RunResult, SessionSummary
from hybridloop.results.result_text import accuracy_text
from hybridloop.results.summary import MOST_LINES, WIDTH, answer, headline, summary
from tests.result_helpers import a_result, answered

LEVELS = tuple(
    {
        **{"level": n, "energy": -1.137306 + 0.6 * n, "standard_error": 1e-3},
        **{"excitation": 0.6 * n, "excitation_error": 1.2e-3 * (n > 0)},
    }
    for n in range(9)
)
POINTS = tuple(
    {"point": f"h2-{n}", "energy": -1.1 - 0.01 * n, "standard_error": 7e-4, "converged": n != 2} for n in range(20)
)
SOLUTION = {"cut": "12 of at most 12", "partition": "{0, 1} | {2, 3}"}


def binary(**changes: Any) -> RunResult:
    found = answered(
        a_result(), value=11.7, standard_error=0.03, best_bitstring="0011", best_value=12.0, solution=SOLUTION
    )
    return replace(found, algorithm="qaoa", unit="", exact=12.0, reference=7.5, **changes)


RESULTS = {
    "vqe": a_result(),
    "long": replace(
        answered(a_result(), warnings=("noise: " + "gate and readout errors are left in the value " * 9,)),
        problem="a/long/path/to/a/molecule/" + 6 * "water-" + ".fcidump",
        problem_title="OH2 in cc-pvdz, shortest distance O–H 0.958 Å (1.0 bond lengths); 4 electrons in 4 orbitals",
        status="finished",
        run_key="a-very-long-key-of-a-nightly-run-" + 5 * "0123",
        sessions=(SessionSummary("b38ddaab-0c2e-50a5-be23-35ca3065cf7a", "TimedOut", 6),),
        target="quantinuum.qpu.helios-1",
        cost={"HQC": 123456.5, "USD": 3.0},
    ),
    "levels": replace(answered(a_result(), table=LEVELS), algorithm="levels"),
    "scan": replace(answered(a_result(), table=POINTS), algorithm="scan"),
    "curve": replace(
        answered(
            a_result(),
            table=POINTS,
            curve={
                **{"distance": 0.7464, "distance_error": 0.004, "energy": -1.15165, "energy_error": 5.4e-4},
                **{"wavenumber": 4325.0, "wavenumber_error": 156.0, "depth": 0.15489, "depth_error": 6.9e-4},
                **{"farthest": 3.5, "is_flat": False, "points": 6},
            },
        ),
        algorithm="scan",
    ),
    "exact": answered(a_result(), is_exact=True, standard_error=0.0, rounding_bound=2e-4),
    "bound": answered(a_result(), is_upper_bound=True, interval95=None),
    "unknown": replace(a_result(), exact=None),
    "cut": binary(),
    "unnamed": answered(binary(), solution={}),
    "infeasible": answered(binary(), best_value=None, best_bitstring=None, solution={}),
    "stopped": replace(a_result(), outcome=None, status="stopped", larger_cap="--max-cost 100.00USD"),
    "nothing": replace(a_result(), outcome=None, status="failed", history=(), sessions=()),
}


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("unit", [None, "kJ/mol"])
def test_a_result_is_told_in_whole_clauses_on_the_lines_that_there_are(name: str, unit: str | None, width: int) -> None:
    result = RESULTS[name]
    unit = unit if result.unit == "hartree" and result.value is not None else None
    *lines, last = summary(result, unit, width)
    assert len(lines) < (MOST_LINES if width >= WIDTH else MOST_LINES * WIDTH / width + 2)  # no price is shortened
    names = (result.run_key, PurePath(result.problem).name)  # stay whole
    assert all(len(line) <= width or any(each in line for each in names) for line in lines)
    text = " ".join(line.strip() for line in lines)
    assert "…" not in text
    assert f"{headline(result)}, {result.status}" in text
    command = "resume" if result.value is None else "show" if result.exit_code else "report"
    assert last.startswith(f"  next     hybridloop runs {command} {result.run_key}")  # it is whole


@given(st.text(alphabet="abc ,;.()-0123456789", max_size=120), st.integers(8, 60), st.integers(1, 3))
def test_a_fitted_text_is_a_whole_part_of_the_text(text: str, width: int, lines: int) -> None:
    found = fitted(text, width, lines)
    assert found is None or (len(found) <= lines and all(len(line) <= width for line in found))
    if found:
        assert " ".join(found).split() in [part.split() for part in whole_parts(text)]
    elif found is None:
        assert len(wrapped(text, width)) > lines or any(len(word) > width for word in text.split())


@pytest.mark.parametrize("width", range(20, 60))
def test_a_number_stays_with_its_error(width: int) -> None:
    lines = wrapped("lowest -1.13710 ± 0.00082 hartree of nine (± 0.10 at most)", width)
    assert [line.count("±") for line in lines] == [
        line.count("-1.13710 ± 0.00082") + line.count("(± 0.10") for line in lines
    ]
    assert max(map(len, lines)) <= width


def test_a_part_of_a_list_or_of_a_price_is_never_shown_as_the_whole() -> None:
    many = tuple({**row, "energy": row["energy"] - 149.0, "standard_error": 1e-6} for row in LEVELS)
    levels = replace(answered(a_result(), table=many), algorithm="levels")
    costly = replace(a_result(), cost={"USD": 1234.0, "HQC": 4000.0}, reserved={"USD": 300.0}, target=40 * "t")
    for width in (50, 60, 80):
        text = " ".join(line.strip() for line in summary(levels, None, width))
        assert "-148.3373" not in text or "and 4 more" in text
        text = " ".join(line.strip() for line in summary(costly, None, width))
        assert "4,000.00 HQC, 1,234.00 USD and 300.00 USD reserved on" in text


def test_the_text_of_a_run_is_what_a_user_asks_first() -> None:
    assert str(a_result()).splitlines() == [
        "h2: -1.1360 ± 0.0010 hartree, converged",
        "  why      there is nothing left to gain",
        "  error    +1.3 mHa from the exact energy; not resolved: ± 2.0 mHa",
        "  cost     1.50 USD on rigetti.sim.qvm; 3 rounds, 6 jobs, 6,000 shots, 2 s",
        "  run      vqe-h2-0123, session an-id",
        "  next     hybridloop runs report vqe-h2-0123",
    ]
    assert str(RESULTS["cut"]).splitlines()[0:4] == [
        "h2: 12 of at most 12, converged",
        "  why      there is nothing left to gain",
        "  best     {0, 1} | {2, 3}",
        "  mean     11.700 ± 0.030, 93% of the way from random to the optimum",
    ]
    assert "  energies -1.1373, -0.5373, 0.0627, 0.6627, 1.2627 and 4 more (± 0.0010)" in str(RESULTS["levels"])
    assert str(RESULTS["levels"]).splitlines()[3:5] == [
        "  excited  16.327, 32.654, 48.980, 65.307 eV above the lowest and 4 more",
        "           (± 0.033 at most)",
    ]
    scan = str(RESULTS["scan"]).splitlines()
    assert scan[0] == "h2: lowest -1.29000 ± 0.00070 hartree at h2-19, converged"
    assert scan[2] == "  points   19 of 20 converged; `hybridloop runs show` lists them"
    fit = {"distance": 0.735, "energy": -1.1377, "depth": 0.2029, "wavenumber": None, "farthest": 2.5, "is_flat": False}
    fitted = answered(
        RESULTS["scan"], curve=fit | {f"{name}_error": 0.0025 for name in ("distance", "energy", "depth")}
    )
    found = "minimum 0.7350 ± 0.0025 Å, 0.2029 ± 0.0025 Ha deep to 2.5 Å"
    assert str(fitted).splitlines()[0] == f"h2: {found}, converged"
    assert "the first of" not in fitted.details()
    assert str(RESULTS["stopped"]).splitlines()[0] == "h2: -1.1360 ± 0.0010 hartree so far, stopped"


@given(st.floats(-0.01, 0.01), st.floats(0.0, 0.005), st.floats(0.0, 0.005))
def test_chemical_accuracy_is_claimed_or_denied_by_the_whole_interval(error: float, below: float, above: float) -> None:
    exact = -1.1373
    value = exact + error
    told = accuracy_text(answered(a_result(), value=value, interval95=(value - below, value + above)))
    ends = [abs(value - below - exact), abs(value + above - exact)]
    if told == "within chemical accuracy":
        assert max(ends) <= CHEMICAL_ACCURACY + 1e-12
    elif told == "outside chemical accuracy":  # `below` may have what is known to be left, as of a circuit's state
        for end in (value - above, value, value + above):
            assert abs(end - exact) >= CHEMICAL_ACCURACY - 1e-12
    else:
        assert told.startswith("not resolved: ± ")
        assert abs(error) - above <= CHEMICAL_ACCURACY + 1e-12
        assert abs(error) + max(below, above) >= CHEMICAL_ACCURACY - 1e-12


def test_what_a_circuit_is_known_to_miss_is_no_doubt_that_its_energy_is_far_off() -> None:
    far = answered(a_result(), value=-1.1373 + 0.093, interval95=(-1.1373 - 0.002, -1.1373 + 0.094))
    assert accuracy_text(far) == "outside chemical accuracy"
    near = answered(a_result(), value=-1.1373 + 0.0026, interval95=(-1.1373 - 0.0024, -1.1373 + 0.0040))
    assert accuracy_text(near) == "not resolved: ± 1.4 mHa"


@pytest.mark.parametrize(
    ("energies", "error", "bound", "alike"),
    [
        ((-4.0, -3.999, -3.98, -3.9795), 1e-3, 0.0, "levels 0 to 1, 2 to 3: "),
        ((-4.0, -4.0, -4.0, -3.0), 0.0, 1e-9, "levels 0 to 2: "),
        ((-4.0, -3.997, -3.98, -3.9), 1e-3, 0.0, ""),
    ],
)
def test_levels_that_are_not_told_apart_are_named(
    energies: Sequence[float], error: float, bound: float, alike: str
) -> None:
    rows = tuple(
        {**LEVELS[0], "level": n, "energy": energy, "standard_error": error, "rounding_bound": bound}
        for n, energy in enumerate(energies)
    )
    result = replace(answered(a_result(), table=rows), algorithm="levels")
    text = dict(answer(result)).get("alike", "")
    assert text.startswith(alike)
    assert bool(text) == bool(alike)
