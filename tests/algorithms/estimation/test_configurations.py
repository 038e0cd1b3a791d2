"""Configurations from samples: both mappings are decoded, and recovery gives every shot its electrons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.estimation.configurations import Samples
from hybridloop.algorithms.problems.electronic import Encoding
from hybridloop.algorithms.rounds import Counts


@st.composite
def noisy_samples(draw: st.DrawFn) -> tuple[Samples, np.ndarray, int]:
    norb = draw(st.integers(2, 7))
    electrons = draw(st.integers(0, norb)), draw(st.integers(0, norb))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    occupied = generator.integers(0, 2, (draw(st.integers(1, 12)), 2 * norb), np.uint8)
    shots = generator.integers(1, 5, len(occupied))
    means = generator.choice([0.0, 1.0, 0.3, 0.9], 2 * norb)
    return Samples(occupied, shots, electrons), means, draw(st.integers(0, 99))


@given(noisy_samples())
def test_recovery_gives_each_shot_the_electrons_and_leaves_right_ones_alone(
    case: tuple[Samples, np.ndarray, int],
) -> None:
    samples, means, seed = case
    found = samples.recover(means, np.random.default_rng(seed))
    assert found.shots.sum() == samples.shots.sum()
    assert {(a.bit_count(), b.bit_count()) for a, b in found.masks.tolist()} == {samples.electrons}
    assert len(np.unique(found.masks, axis=0)) == len(found.masks)
    counts = dict(zip(map(tuple, found.masks.tolist()), found.shots.tolist(), strict=True))
    for mask, shots in zip(map(tuple, samples.valid.masks.tolist()), samples.valid.shots.tolist(), strict=True):
        assert counts[mask] >= shots
    again = samples.recover(means, np.random.default_rng(seed))
    assert np.array_equal(found.masks, again.masks)
    assert np.array_equal(found.shots, again.shots)


def test_certain_occupations_decide_which_electrons_are_added_and_removed() -> None:
    shots = np.array([500, 500])
    occupied = np.array([[1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0, 0, 1]], np.uint8)  # one alpha too few, too many
    samples = Samples(occupied, shots, (2, 1))
    found = samples.recover(np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]), np.random.default_rng(0))
    assert found.masks.tolist() == [[0b0011, 0b0001]]
    assert found.shots.tolist() == [1000]


@pytest.mark.parametrize("mapping", list(FermionMapping))
@pytest.mark.parametrize("electrons", [(2, 1), (1, 1), (2, 2), (3, 0)])
def test_samples_are_decoded_as_determinants_are_encoded(mapping: FermionMapping, electrons: tuple[int, int]) -> None:
    encoding = Encoding(mapping, 3, electrons)
    every = [a | b << 3 for a in range(8) for b in range(8) if (a.bit_count(), b.bit_count()) == electrons]
    bits = {format(encoding.basis_state(mask), f"0{encoding.num_qubits}b"): 1 + i for i, mask in enumerate(every)}
    samples = Samples.of(Counts.from_bitstrings(bits), encoding)
    assert samples.is_valid.all()
    found = samples.valid
    shots = {a | b << 3: count for (a, b), count in zip(found.masks.tolist(), found.shots.tolist(), strict=True)}
    assert shots == {mask: 1 + i for i, mask in enumerate(every)}
