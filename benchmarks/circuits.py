"""Gates, shots and prices of the circuit that is chosen for a VQE, beside UCCSD in the orbitals of the problem.

All figures are those of a plan, with published prices and errors. Gates on two qubits are those of the largest circuit
that is sent, of state and measurement together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound, Side, conclude
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.estimate.dry_run import TRIALS
from hybridloop.estimate.plan import Plan
from hybridloop.estimate.planner import Planner
from hybridloop.estimate.statuses import TargetStatuses
from hybridloop.inputs.problems import read_problem
from hybridloop.preparation.vqe import prepare_vqe
from hybridloop.targets import find_target
from tests.paths import DATA

PRECISION = 2e-3  # hartree
SEED = 1
TARGETS = ("ionq.qpu.aria-1", "quantinuum.qpu.h2-1")
CHOSEN: Mapping[str, Any] = {}
UCCSD: Mapping[str, Any] = {"ansatz": "uccsd", "orbitals": "given"}
HEAD = (
    "| chosen/UCCSD | circuit | qubits | circuits | gates | Aria, USD | H2-1, HQC |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)
_LONG = 1e4  # a price from here on has two digits
_FILES = DATA / "fcidump"


@dataclass(frozen=True, slots=True)
class Case:
    """A molecule of the table and its settings. `most` bounds the chosen circuit's price over that of UCCSD."""

    problem: str | Path
    most: float
    settings: Mapping[str, Any]


CASES = {
    "H2": Case("h2", 0.6, {}),
    "H3+": Case(_FILES / "H3+_0.9.fcidump", 0.03, {}),
    "H2, 6-31G": Case(_FILES / "H2_0.74_6-31g.fcidump", 0.01, {}),
    "LiH": Case("lih-frozen-core", 0.01, {}),
    "H2O, (4e,4o)": Case("h2o", 0.03, {"active_space": (4, 4)}),
    "H4": Case("h4", 0.3, {}),  # pairs alone are too far from the ground state of these
    "BeH2": Case("beh2", 0.12, {}),
    "H2O": Case("h2o", 0.2, {}),
    "O2": Case("o2-cas86", 0.2, {}),
}
STORED = Path(__file__).parent / "data" / "circuits_peers.json"


@dataclass(frozen=True, slots=True)
class Planned:
    """Plans of a molecule with the same settings, one for each of `TARGETS`, with the names of the circuits."""

    names: tuple[str, ...]
    plans: tuple[Plan, ...]

    @property
    def prices(self) -> tuple[float, ...]:
        """The expected prices, each in its target's unit."""
        return tuple(plan.cost.expected or 0.0 for plan in self.plans)

    def cells(self) -> tuple[str, ...]:
        """Return qubits, circuits and gates, several figures where the targets differ, and the price of each."""
        most = [max(circuit.two_qubit or 0 for circuit in plan.circuits) for plan in self.plans]
        alike = ([plan.qubits for plan in self.plans], [len(plan.circuits) for plan in self.plans], most)
        prices = (f"{price:.0f}" if price < _LONG else f"{price:.1e}".replace("e+0", "e") for price in self.prices)
        return (*(_once(figures) for figures in alike), *prices)


def plan_circuits(case: Case, given: Mapping[str, Any], trials: int = TRIALS) -> Planned:
    """Plan a VQE on each target, with these settings beside those of the molecule."""
    names, plans = list[str](), list[Plan]()
    problem = read_problem(case.problem)
    for name in TARGETS:
        wanted = {"target": name, "precision": PRECISION, "seed": SEED, **case.settings, **given}
        settings, target = VqeSettings.model_validate(wanted), find_target(name)
        planner = Planner("vqe", problem, settings, TargetStatuses(), trials)
        plans.append(planner.plan(target, debias=settings.debias))
        names.append(prepare_vqe(problem, settings, SEED, target=target).ansatz.name)
    return Planned(tuple(names), tuple(plans))


def compare(molecules: Sequence[str], trials: int = TRIALS) -> Iterator[Bound]:
    """Print a row for each molecule, of the chosen circuit and UCCSD, and yield the bounds on its prices."""
    print("\n".join(HEAD), flush=True)
    for molecule in molecules:
        case = CASES[molecule]
        chosen, uccsd = (plan_circuits(case, given, trials) for given in (CHOSEN, UCCSD))
        pairs = map("/".join, zip(chosen.cells(), uccsd.cells(), strict=True))
        print(f"| {' | '.join((molecule, _once(chosen.names), *pairs))} |", flush=True)
        for target, price, whole in zip(TARGETS, chosen.prices, uccsd.prices, strict=True):
            yield Bound(f"{molecule} on {target}: price / of UCCSD", price / whole, Side.AT_MOST, case.most)


def compare_with_peers(molecules: Sequence[str]) -> Iterator[Bound]:
    """Print tequila's circuits of a state, and bound ours by the one that comes as near to the exact energy."""
    for each in json.loads(STORED.read_text()):
        if each["case"] not in molecules:
            continue
        excess = "not minimized" if each["excess_mha"] is None else f"{each['excess_mha']} mHa above the exact energy"
        print(f"tequila, {each['case']}, {each['circuit']}: {each['gates']} gates, {each['angles']} angles, {excess}")
        if each["circuit"] == "UCCSD":
            wanted = VqeSettings(precision=PRECISION)
            ansatz = prepare_vqe(
                read_problem(CASES[each["case"]].problem), wanted, SEED, find_target(wanted.target)
            ).ansatz
            gates = int(ansatz.circuit.num_nonlocal_gates())
            yield Bound(f"{each['case']}: gates / of tequila's UCCSD", gates / each["gates"], Side.AT_MOST, 0.2)


def store_peers(python: str) -> None:
    """Run tequila in the given Python, and store a circuit a line."""
    answer = subprocess.run([python, "-m", "benchmarks.circuits_peers"], stdout=subprocess.PIPE, text=True, check=True)
    STORED.write_text("[\n" + ",\n".join(answer.stdout.splitlines()) + "\n]\n")


def _once(values: Iterable[object]) -> str:
    """Return figures of several targets, one if they are the same."""
    return " or ".join(dict.fromkeys(map(str, values)))


def main() -> int:
    """Plan all molecules, or those named; return the exit code, 1 if a bound was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.circuits", description=__doc__)
    parser.add_argument("--molecules", nargs="+", choices=CASES, default=list(CASES), help="only these")
    parser.add_argument("--peers", metavar="PYTHON", help="run tequila in its environment, and store its circuits")
    options = parser.parse_args()
    if options.peers:
        store_peers(options.peers)
        return 0
    return conclude([*compare(options.molecules), *compare_with_peers(options.molecules)])


if __name__ == "__main__":
    sys.exit(main())
