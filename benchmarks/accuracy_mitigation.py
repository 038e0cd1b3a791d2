"""Error that is left after error mitigation on noisy machines, and the interval that is given for it."""

from __future__ import annotations

from statistics import median

import numpy as np

from benchmarks.accuracy_energies import run_errors
from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.estimation.estimates import Z95
from hybridloop.emulator.simulation.noise import noise_models
from hybridloop.settings import MitigationName, VqeSettings
from tests.algorithms.noisy_state_helpers import NoisySimulator

MACHINES = ("quantinuum-h2", "aria-1")
MOLECULES = ("H2_0.735", "LiH_3_cas(2,2)")
ALL_BUT_EXACT = 10_000_000  # shots of a target that does not sample: rounding changes the energy of H2 by 0.001 mHa
MITIGATED = (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
SEEN_MHA = 3.0  # noise of which twice as much, at scale 3, is above three standard errors of 0.7 mHa and more
TARGET = "quantinuum.sim.h2-1e"


def mitigation(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Run molecules under the local service's noise of named machines: raw, and with readout + linear ZNE."""
    bounds = list[Bound]()
    for machine in MACHINES[:1] if quick else MACHINES:
        noise = noise_models()[machine]
        simulator = NoisySimulator(noise.two_qubit, (noise.readout, noise.readout), noise.one_qubit)
        for molecule in MOLECULES[:1] if quick else MOLECULES:
            bounds += _errors(simulator, molecule, f"{molecule} on {machine}", 5 if quick else 200)
    return bounds


def _errors(simulator: NoisySimulator, molecule: str, label: str, seeds: int) -> list[Bound]:
    exactly = VqeSettings(shots=ALL_BUT_EXACT, target=TARGET)
    raw = run_errors(molecule, 0, exactly, simulator.exact)
    settings = VqeSettings(mitigation=MITIGATED, target=TARGET)
    drawn = [
        run_errors(molecule, seed, settings, simulator.sampled(np.random.default_rng(seed))) for seed in range(seeds)
    ]
    held = sum(run.is_covered for run in drawn)
    widths = [np.ptp(run.outcome.interval95) / (2.0 * Z95 * run.outcome.standard_error) for run in drawn]
    shown = sum(not run.outcome.reason.startswith("no noise seen") for run in drawn)
    is_large = abs(raw.error_mha) > SEEN_MHA
    return [
        Bound(f"{label}: raw", abs(raw.error_mha), Side.AT_LEAST, 1, "mHa"),
        Bound(f"{label}: 95 % intervals that hold", held, Side.AT_LEAST, 0.9 * seeds, f"of {seeds}"),
        Bound(f"{label}: median interval by that of shots", median(widths), Side.AT_MOST, 3),
        Bound(f"{label}: median of |reported|", median(abs(run.error_mha) for run in drawn), Side.AT_MOST, 2, "mHa"),
        Bound(f"{label}: runs that saw the noise", shown, Side.AT_LEAST, 0.9 * seeds * is_large, f"of {seeds}"),
    ]
