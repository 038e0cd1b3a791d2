"""QAOA at angles and from an assignment of the caller's own, against a simulation by dense matrices."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.names import ScipyMethod
from hybridloop.algorithms.optimizers.scaled import ScaledOptimizer
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.outcome import Outcome
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds
from tests.preparation_helpers import prepare_qaoa, settings_for

X, Z, ONE = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0]), np.eye(2)
RING = ProblemText(name="ring", text="0 1\n1 2\n2 3\n3 0\n")
Edges = dict[tuple[int, int], float]


def graph(seed: int, nodes: int) -> tuple[Edges, ProblemText]:
    """Return a ring with random weights and chords, as edges and as a problem."""
    random = np.random.default_rng(seed)
    pairs = {(i, (i + 1) % nodes) for i in range(nodes)}
    pairs |= {pair for pair in itertools.combinations(range(nodes), 2) if random.random() < 0.3}
    edges = {(i, j): round(float(random.uniform(0.2, 2.0)), 3) for i, j in sorted({(min(p), max(p)) for p in pairs})}
    text = "\n".join(f"{i} {j} {weight}" for (i, j), weight in edges.items())
    return edges, ProblemText(name=f"graph-{seed}", text=f"{text}\n")


def mean_cut(edges: Edges, nodes: int, angles: list[float], start: str | None) -> float:
    """Return the mean cut after Π exp(−i β B) exp(−i γ C), by dense matrices; B of a warm start is that of Egger."""
    bits = np.array([[state >> i & 1 for i in range(nodes)] for state in range(2**nodes)])
    cut = np.array([sum(w for (i, j), w in edges.items() if row[i] != row[j]) for row in bits])
    turned = [math.pi / 2] * nodes  # the uniform superposition
    if start is not None:
        turned = [2 * math.asin(math.sqrt(0.75 if bit == "1" else 0.25)) for bit in reversed(start)]
    one_qubit = [np.array([math.cos(angle / 2), math.sin(angle / 2)]) for angle in reversed(turned)]
    state: NDArray[np.complex128] = functools.reduce(np.kron, one_qubit).astype(complex)
    betas, gammas = np.split(np.array(angles), 2)
    for beta, gamma in zip(betas, gammas, strict=True):
        state = np.exp(-1j * gamma * cut) * state
        mixers = [
            math.cos(beta) * ONE - 1j * math.sin(beta) * (math.sin(angle) * X + math.cos(angle) * Z)
            for angle in reversed(turned)
        ]
        state = functools.reduce(np.kron, mixers) @ state
    return float((np.abs(state) ** 2) @ cut)


def run(problem: ProblemText, settings: QaoaSettings) -> Outcome:
    return prepare_qaoa(problem, settings, 0).measure(noiseless_rounds(), lambda _: None)


@pytest.mark.parametrize("seed", range(10))
def test_the_mean_at_given_angles_is_that_of_dense_matrices(seed: int) -> None:
    nodes, layers = 3 + seed % 5, 1 + seed % 3
    edges, problem = graph(seed, nodes)
    random = np.random.default_rng(100 + seed)
    angles = random.uniform(-1.5, 1.5, 2 * layers).tolist()
    start = "".join(str(bit) for bit in random.integers(0, 2, nodes)) if seed % 2 else None
    settings = QaoaSettings(layers=layers, angles=angles, start_assignment=start, shots=10_000_000)
    outcome = run(problem, settings)
    assert outcome.value is not None
    assert outcome.value == pytest.approx(mean_cut(edges, nodes, angles, start), abs=outcome.rounding_bound + 1e-9)
    assert outcome.rounding_bound < 1e-3
    assert outcome.parameters == tuple(angles)
    assert outcome.reason.endswith("fixed angles; no search was requested")
    assert "angles: as given" in outcome.choices


def test_a_search_begins_at_given_angles() -> None:
    settings = QaoaSettings(layers=1, angles=[0.1, 0.2], search="measured", shots=100_000)
    outcome = run(RING, settings)
    assert any("from those given" in choice for choice in outcome.choices)
    assert outcome.value is not None
    assert outcome.value > mean_cut({(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0, (0, 3): 1.0}, 4, [0.1, 0.2], None) + 0.5


def test_a_start_assignment_is_a_candidate_beside_the_samples() -> None:
    (problem,) = [ProblemText(name="line", text="0 1 3\n1 2 2\n2 3 1\n")]
    at_start = QaoaSettings(layers=1, angles=[0.0, 0.0], start_assignment="0101", shots=1)
    outcome = run(problem, at_start)  # the one sample is the most likely one, which is the start
    assert (outcome.best_bitstring, outcome.best_value) == ("0101", 6.0)
    assert "start assignment: no sample is better than its objective 6" in outcome.choices
    worse = at_start.model_copy(update={"start_assignment": "0000", "shots": 10_000})
    outcome = run(problem, worse)
    assert outcome.best_value == 6.0
    assert "start assignment: its objective is 0, and a sample is better" in outcome.choices


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layers": 2, "angles": [0.1, 0.2]}, "angles: 2 angles do not fit 2 layers. .*Give 4: β of each layer"),
        ({"layers": 1, "angles": [0.1, 0.2], "search": "simulated"}, "search: a simulated search replaces the angles"),
        ({"start_assignment": "011"}, "start_assignment: 3 bits do not fit 4 variables. .*Give 4, that of the first"),
    ],
)
def test_angles_and_assignments_that_do_not_fit_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        prepare_qaoa(RING, QaoaSettings.model_validate(settings), 0)


def test_a_start_assignment_is_refused_with_another_mixer() -> None:
    with pytest.raises(ValueError, match="needs the warm-start mixer, and the mixer is standard"):
        QaoaSettings(mixer="standard", start_assignment="01")


@pytest.mark.parametrize("optimizer", ["scipy:cobyla", "scipy:nelder-mead", "trust-region"])
def test_a_measured_search_by_each_optimizer_ends_at_the_best_angles(optimizer: str) -> None:
    _, problem = graph(3, 5)
    best = run(problem, QaoaSettings(layers=1, shots=10_000))
    given = QaoaSettings(
        layers=1, shots=10_000, search="measured", angles=(0.2, 0.2), optimizer=optimizer, max_rounds=150
    )
    found = run(problem, given)
    assert found.value == pytest.approx(best.value, rel=5e-3)
    assert 3 < found.rounds < 150


def test_a_scaled_optimizer_takes_steps_in_units_of_the_scales() -> None:
    scales = np.array([1.0, 0.01])
    optimizer = ScaledOptimizer(ScipyOptimizer(np.array([1.0, 1.0]), ScipyMethod.COBYLA, tolerance_rad=1e-4), scales)
    while len(points := optimizer.ask()):
        values = [(point[0] - 0.3) ** 2 + (100.0 * point[1] - 0.4) ** 2 for point in points]
        optimizer.tell(points, [Estimate(value, 0.0, 1) for value in values])
    assert optimizer.stop is not None
    assert optimizer.best is not None
    assert optimizer.best.point == pytest.approx([0.3, 0.004], abs=1e-3)


def test_a_smaller_tolerance_takes_more_rounds() -> None:
    _, problem = graph(5, 6)
    rounds = [
        run(problem, QaoaSettings(layers=2, search="measured", angles=(0.1,) * 4, tolerance=tolerance)).rounds
        for tolerance in (0.5, 0.002)
    ]
    assert rounds[0] < rounds[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "scipy:cobyla"}, "optimizer: it has no effect on fixed angles"),
        ({"tolerance": 0.1}, "tolerance: it has no effect on fixed angles"),
        ({"optimizer": "rotosolve", "search": "measured"}, "needs the energy's frequencies"),
        ({"optimizer": "scipy:cobyla", "search": "measured", "tolerance": 0.1}, "does not support it"),
    ],
)
def test_an_optimizer_that_does_not_fit_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare_qaoa(RING, cast("QaoaSettings", settings_for("qaoa", values)), 0)
