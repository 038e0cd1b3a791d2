"""Cost of chemical accuracy in plans: against plans of the same runs, published prices, and a noisy run."""

from __future__ import annotations

import html
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from hybridloop.descriptions import ALGORITHMS
from hybridloop.estimate.accuracy_table import AccuracyRow, ChemicalAccuracy
from hybridloop.estimate.plan import Plan
from hybridloop.estimate.planner import plan_run
from hybridloop.settings import ProblemText, RunSettings
from hybridloop.tasks.keepalive.rules import KeepAliveMode, KeepAliveSettings
from hybridloop.tasks.session import open_session
from hybridloop.tasks.session_options import SessionOptions
from tests.conftest import Emulator
from tests.preparation_helpers import prepared
from tests.price_helpers import known

H2 = ProblemText(name="h2")
EMULATED, MACHINE = "quantinuum.sim.h2-1e", "ionq.qpu.forte-1"
PAULI_SUM = json.dumps({"terms": {"ZZ": 1.0, "XI": 0.5}})
TARGETS = [EMULATED, MACHINE, "quantinuum.qpu.helios-1", "rigetti.sim.qvm", "rigetti.qpu.cepheus-1-108q"]


def settings_of(algorithm: str, **settings: Any) -> RunSettings:
    return ALGORITHMS[algorithm].settings(seed=7, **settings)


def accuracy_of(plan: Plan) -> ChemicalAccuracy:
    assert plan.accuracy is not None
    return plan.accuracy


def rows_of(plan: Plan) -> dict[str, AccuracyRow]:
    return {row.target: row for row in accuracy_of(plan).rows}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_run("vqe", H2, settings_of("vqe"), compare=TARGETS)


def test_the_cost_of_chemical_accuracy_is_that_of_the_run_with_the_default_precision(plan: Plan) -> None:
    rows = rows_of(plan)
    compared = {row.target: row for row in plan.comparison}
    assert list(rows) == TARGETS
    for name in (EMULATED, "rigetti.sim.qvm", "rigetti.qpu.cepheus-1-108q"):
        bare = rows[name].bare
        assert bare is not None
        assert (bare.effort.price, bare.effort.shots) == (compared[name].expected, compared[name].shots)
        assert bare.effort.hours == compared[name].hours
    machine = rows[MACHINE]
    assert machine.bare is not None
    assert machine.mitigated is not None
    assert machine.bare.effort.price == compared[MACHINE].unmitigated
    assert (machine.mitigated.effort.price, machine.mitigated.mitigation) == (compared[MACHINE].expected, ("debias",))


def test_no_energy_is_called_accurate_that_noise_shifts_or_may_shift(plan: Plan) -> None:
    rows = rows_of(plan)
    reached = {
        name: tuple(None if each is None else each.reached for each in (row.bare, row.mitigated))
        for name, row in rows.items()
    }
    assert reached == {
        EMULATED: (False, True),
        MACHINE: (False, None),  # what debiasing leaves is not published
        "quantinuum.qpu.helios-1": (False, True),
        "rigetti.sim.qvm": (True, None),  # it has no noise to mitigate
        "rigetti.qpu.cepheus-1-108q": (None, None),  # no error rates are published
    }
    bare, mitigated = rows[EMULATED].bare, rows[EMULATED].mitigated
    assert bare is not None
    assert mitigated is not None
    # two gates of strength 0.00245 move the energy by 0.8 hartree each, and two readouts of 0.0016 by 0.77
    assert known(bare.error) == pytest.approx(2 * 0.00245 * 0.8 + 2 * 0.0016 * 0.77, rel=0.2)
    assert known(mitigated.error) < 0.3e-3
    assert rows["quantinuum.qpu.helios-1"].bare is not None
    assert rows["quantinuum.qpu.helios-1"].bare.effort.price is None


def test_the_cost_with_mitigation_is_about_that_of_its_own_plan(plan: Plan) -> None:
    mitigated = rows_of(plan)[EMULATED].mitigated
    assert mitigated is not None
    assert mitigated.mitigation == ("readout", "zne-linear")
    asked = settings_of("vqe", target=EMULATED, mitigation="readout,zne-linear", precision=1.4e-3)
    own = plan_run("vqe", H2, asked, compare=[EMULATED])
    # half the precision takes a quarter of the shots, but not of the calibration's
    least, calibration = own.shots.expected, 120_000
    assert 4 * (least - calibration) == pytest.approx(mitigated.effort.shots - calibration, rel=0.25)
    derived = rows_of(own)[EMULATED].mitigated  # by one dry run at the precision of chemical accuracy
    assert derived is not None
    assert derived.effort.shots == pytest.approx(mitigated.effort.shots, rel=0.15)
    assert known(derived.effort.price) == pytest.approx(known(mitigated.effort.price), rel=0.15)


def test_the_table_of_an_active_space_says_whose_energy_is_accurate() -> None:
    settings = settings_of("vqe", active_space="2,2", target=EMULATED)
    text = str(plan_run("vqe", ProblemText(name="lih-frozen-core"), settings, compare=[EMULATED]))
    assert "Chemical accuracy, 1.6 mHa from the exact energy of the active space: cost" in text
    assert "  accurate in space  " in text
    assert "\naccurate in space: 95 % of such energies" in text
    assert "mHa above the exact energy of the active space\n" in text


def test_sqd_stands_beside_with_the_error_of_its_subspace_and_no_promise() -> None:
    plan = plan_run("sqd", H2, settings_of("sqd", max_subspace=1, target=MACHINE), compare=[MACHINE, EMULATED])
    accuracy, rows = accuracy_of(plan), rows_of(plan)
    assert accuracy.algorithm == "vqe"
    assert known(accuracy.subspace_error) == pytest.approx(0.0203, abs=1e-4)  # Hartree-Fock's determinant
    assert "by ideal samples 20.31 mHa above the exact energy (1 of 4 determinants)" in str(plan)
    assert "up to 50 subspaces of at most 1 of 4 determinants are diagonalized on this machine" in str(plan)
    for row in plan.comparison:
        by_sqd, by_vqe = rows[row.target].sqd, rows[row.target].bare
        assert by_sqd is not None
        assert by_vqe is not None
        assert (by_sqd.jobs, by_sqd.shots, by_sqd.price) == (row.jobs, row.shots, row.expected)
        assert by_vqe.effort.shots > 10 * by_sqd.shots
    # m + shots × (one-qubit gates × p1 + two-qubit gates × p2), with debiasing
    (circuit,) = plan.circuits
    price = 168.195 + 10_000 * (0.0001645 * (circuit.one_qubit or 0) + 0.001121 * (circuit.two_qubit or 0))
    priced = rows[MACHINE].sqd
    assert priced is not None
    assert known(priced.price) == pytest.approx(price)


def test_a_run_that_sqd_refuses_says_why(plan: Plan) -> None:
    assert all(row.sqd is None for row in accuracy_of(plan).rows)
    assert "sqd: not planned, as h2 has 4 determinants" in str(plan)


def test_adapt_has_no_error_mitigation_of_its_own() -> None:
    asked = settings_of("adapt", target=EMULATED, max_operators=1)
    plan = plan_run("adapt", H2, asked, compare=[EMULATED, MACHINE])
    rows = rows_of(plan)
    assert accuracy_of(plan).algorithm == "adapt"
    assert rows[EMULATED].mitigated is None
    assert rows[MACHINE].mitigated is not None
    bare = rows[EMULATED].bare
    assert bare is not None
    assert 2e-3 < known(bare.error) < 12e-3
    assert "adapt: without noise, the dry run's state is " in str(plan)


@pytest.mark.parametrize(
    ("algorithm", "problem"),
    [("qaoa", ProblemText(name="ring-8")), ("levels", H2), ("vqe", ProblemText(name="own", text=PAULI_SUM))],
)
def test_problems_without_electrons_and_many_energies_have_no_such_cost(algorithm: str, problem: ProblemText) -> None:
    plan = plan_run(algorithm, problem, settings_of(algorithm, target="ionq.simulator"), compare=["ionq.simulator"])
    assert len(plan.comparison) == 1
    assert plan.accuracy is None
    assert "Chemical accuracy" not in str(plan)


def test_the_text_is_compact_and_survives_json(plan: Plan) -> None:
    lines = str(plan).splitlines()
    ending = lines[next(n for n, line in enumerate(lines) if line.startswith("Chemical accuracy, 1.6 mHa")) :]
    assert max(map(len, ending)) <= 120
    assert [line.split()[0] for line in ending[2 : 2 + len(TARGETS)]] == TARGETS
    cells = {line.split()[0]: line for line in ending}
    assert "free, " in cells["rigetti.sim.qvm"]
    assert "unknown, " in cells["quantinuum.qpu.helios-1"]
    assert Plan.from_dict(json.loads(json.dumps(plan.as_dict(), allow_nan=False))) == plan
    assert Plan.from_dict({k: v for k, v in plan.as_dict().items() if k != "accuracy"}).accuracy is None
    assert ending[1] in html.unescape(plan._repr_html_())
    assert "Chemical accuracy" not in str(replace(plan, accuracy=None))


@pytest.mark.slow
def test_a_noisy_run_has_about_the_error_that_its_plan_expects(emulator: Emulator) -> None:
    asked = settings_of("vqe", target="ionq.simulator", noise_model="aria-1", precision=3e-3, shots=500)
    row = rows_of(plan_run("vqe", H2, asked, compare=["ionq.simulator"]))["ionq.simulator"]
    assert row.bare is not None
    assert not row.bare.reached
    run = prepared("vqe", H2, asked, 7)
    with open_session(
        emulator.workspace(),
        asked.target,
        SessionOptions(provider_options=asked.options, keep_alive=KeepAliveSettings(KeepAliveMode.OFF)),
        seed=7,
    ) as session:
        outcome = run.measure(session.run_round, lambda _: None)
    error = outcome.value - known(run.facts.exact())
    assert error == pytest.approx(known(row.bare.error), abs=math.hypot(2.5 * 3e-3, 0.1 * error))
