"""Error that is left after error mitigation on noisy machines, and the interval that is given for it."""

from __future__ import annotations

from statistics import median

import numpy as np

from benchmarks.accuracy_energies import IN_GIVEN_ORBITALS, RunErrors, percent, run_errors
from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.estimation.estimates import Z95
from hybridloop.emulator.simulation.noise import noise_models
from hybridloop.settings import MitigationName
from tests.algorithms.noisy_state_helpers import NoisySimulator

TWO_QUBIT_ERROR = 0.01
MACHINES = ("quantinuum-h2", "aria-1")
MOLECULES = ("H2_0.735", "LiH_3_cas(2,2)")
ALL_BUT_EXACT = 10_000_000  # shots of a target that does not sample: rounding changes the energy of H2 by 0.001 mHa
MITIGATED = (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
SEEN_MHA = 3.0  # noise of which twice as much, at scale 3, is above three standard errors of 0.7 mHa and more
SETTINGS = IN_GIVEN_ORBITALS.model_copy(update={"target": "quantinuum.sim.h2-1e"})  # pairs show little of the noise


def mitigation(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Run molecules with depolarizing gates and readout errors, of named machines too: raw, and mitigated."""
    bounds = _dihydrogen_on_a_noisier_machine(5 if quick else 200)
    for machine in MACHINES[:1] if quick else MACHINES:
        noise = noise_models()[machine]
        simulator = NoisySimulator(noise.two_qubit, (noise.readout, noise.readout), noise.one_qubit)
        for molecule in MOLECULES[:1] if quick else MOLECULES:
            bounds += _errors(simulator, molecule, f"{molecule} on {machine}", 5 if quick else 200)
    return bounds


def _dihydrogen_on_a_noisier_machine(seeds: int) -> list[Bound]:
    machine = NoisySimulator(TWO_QUBIT_ERROR)
    raw, exact = (
        run_errors(
            "H2_0.735", 0, SETTINGS.model_copy(update={"shots": ALL_BUT_EXACT, "mitigation": chosen}), machine.exact
        )
        for chosen in (None, MITIGATED)
    )
    drawn = _with_shots(machine, "H2_0.735", seeds)
    close = [abs(run.error_mha) <= 3 * 1e3 * (run.outcome.standard_error or 0.0) + 1.0 for run in drawn]
    return [
        Bound("noisy H2: raw", abs(raw.error_mha), Side.AT_LEAST, 45, "mHa"),
        Bound("noisy H2: readout and a line", abs(exact.error_mha), Side.AT_MOST, 2, "mHa"),
        Bound("noisy H2, with shots: median of |reported|", median(abs(e.error_mha) for e in drawn), Side.AT_MOST, 2),
        Bound("noisy H2, with shots: within 1 mHa and 3 σ", percent(close), Side.AT_LEAST, 99, "%"),
    ]


def _with_shots(simulator: NoisySimulator, molecule: str, seeds: int) -> list[RunErrors]:
    settings = SETTINGS.model_copy(update={"mitigation": MITIGATED})
    return [
        run_errors(molecule, seed, settings, simulator.sampled(np.random.default_rng(seed))) for seed in range(seeds)
    ]


def _errors(simulator: NoisySimulator, molecule: str, label: str, seeds: int) -> list[Bound]:
    raw = run_errors(molecule, 0, SETTINGS.model_copy(update={"shots": ALL_BUT_EXACT}), simulator.exact)
    drawn = _with_shots(simulator, molecule, seeds)
    held = sum(run.is_covered for run in drawn)
    widths = [np.ptp(run.outcome.interval95 or ()) / (2.0 * Z95 * run.outcome.standard_error) for run in drawn]
    bounds = [
        Bound(f"{label}: raw", abs(raw.error_mha), Side.AT_LEAST, 1, "mHa"),
        Bound(f"{label}: 95 % intervals that hold", held, Side.AT_LEAST, 0.9 * seeds, f"of {seeds}"),
        Bound(f"{label}: median interval by that of shots", median(widths), Side.AT_MOST, 3),
        Bound(f"{label}: median of |reported|", median(abs(run.error_mha) for run in drawn), Side.AT_MOST, 2, "mHa"),
    ]
    if abs(raw.error_mha) > SEEN_MHA:
        shown = sum(not run.outcome.reason.startswith("no noise seen") for run in drawn)
        bounds.append(Bound(f"{label}: runs that saw the noise", shown, Side.AT_LEAST, 0.9 * seeds, f"of {seeds}"))
    return bounds
