"""Memory of simulations: the bytes of an amplitude and a probability, and the largest circuit that fits a limit."""

from __future__ import annotations

import os

from hybridloop.emulator.model.targets import Target

AMPLITUDE_BYTES = 16
SINGLE_BYTES = 8  # of an amplitude in single precision
PROBABILITY_BYTES = 40  # of a distribution, with what is computed of it
MAX_DISTRIBUTION_BITS = 20  # above, Aer runs every shot instead of computing 2^n probabilities
SHARE_OF_LIMIT = 7 / 8  # for amplitudes; programs and results take the rest


def default_memory_limit() -> int:
    """Return a third of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3


def simulated_qubits(target: Target, limit: int) -> int:
    """Return the most qubits of the target up to which circuits of any gates fit a limit in bytes; all are measured."""
    usable, whole = int(SHARE_OF_LIMIT * limit), AMPLITUDE_BYTES + PROBABILITY_BYTES
    each = whole if target.exact or usable < whole << MAX_DISTRIBUTION_BITS else SINGLE_BYTES
    return min(target.num_qubits, (usable // each).bit_length() - 1)
