"""Error that is left after error mitigation on a noisy machine."""

from __future__ import annotations

from statistics import median

import numpy as np

from benchmarks.accuracy_energies import percent, run_errors
from benchmarks.bounds import Bound, Side
from hybridloop.settings import MitigationName, VqeSettings
from tests.algorithms.noisy_state_helpers import NoisySimulator

TWO_QUBIT_ERROR = 0.01
ALL_BUT_EXACT = 10_000_000  # shots of a target that does not sample: rounding changes the energy of H2 by 0.001 mHa
MITIGATED = (MitigationName.READOUT, MitigationName.ZNE_LINEAR)


def mitigation(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Run H2 (parity mapping) with depolarizing gates and readout errors: raw, and with readout + linear ZNE."""
    machine, seeds = NoisySimulator(TWO_QUBIT_ERROR), range(5 if quick else 200)
    raw, exact = (
        run_errors("H2_0.735", 0, VqeSettings(shots=ALL_BUT_EXACT, mitigation=chosen), machine.exact)
        for chosen in (None, MITIGATED)
    )
    drawn = [
        run_errors("H2_0.735", seed, VqeSettings(mitigation=MITIGATED), machine.sampled(np.random.default_rng(seed)))
        for seed in seeds
    ]
    close = [abs(run.error_mha) <= 3 * 1e3 * (run.outcome.standard_error or 0.0) + 1.0 for run in drawn]
    return [
        Bound("noisy H2: raw", abs(raw.error_mha), Side.AT_LEAST, 45, "mHa"),
        Bound("noisy H2: readout and a line", abs(exact.error_mha), Side.AT_MOST, 2, "mHa"),
        Bound("noisy H2, with shots: median of |reported|", median(abs(e.error_mha) for e in drawn), Side.AT_MOST, 2),
        Bound("noisy H2, with shots: within 1 mHa and 3 σ", percent(close), Side.AT_LEAST, 99, "%"),
    ]
