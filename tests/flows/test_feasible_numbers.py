"""Each number of a constrained problem, against the service's own counts and the problem as its caller wrote it."""

from __future__ import annotations

import json
import math
import secrets
from collections import Counter
from typing import Any

import dimod
import networkx as nx
import numpy as np
import pytest
from qiskit_optimization import QuadraticProgram
from scipy.stats import beta

import hybridloop as hl
from hybridloop.errors import InputError
from tests.conftest import Emulator
from tests.constrained_problems import Program, all_bits, met_by, names_of, terms_of, values_of
from tests.long_form import long_form, short_or_long

pytestmark = pytest.mark.usefixtures("own_journal")
FORMS = ("program", "cqm", "lp", "quadratic program")


def drawn(seed: int) -> Program:
    """Return a random problem of 3 to 8 variables (12 in the long form), some of whose assignments are feasible."""
    rng = np.random.default_rng(seed)
    while True:
        names = [f"v{k}" for k in range(int(rng.integers(3, short_or_long(8, 12) + 1)))]
        terms: dict[Any, float] = {name: float(rng.integers(-6, 7)) for name in names}
        pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
        chosen = rng.permutation(len(pairs))[: len(names) // 2]
        terms |= {pairs[k]: float(rng.integers(-4, 5)) for k in chosen}
        constraints: dict[str, Any] = {}
        for number in range(int(rng.integers(1, 3))):
            some = [name for name in names if rng.random() < 0.6] or names[:2]
            match rng.integers(4):
                case 0:
                    constraints[f"one{number}"] = (dict.fromkeys(some, 1), "=", 1)
                case 1:
                    constraints[f"many{number}"] = (dict.fromkeys(some, 1), "=", len(some) // 2)
                case 2:
                    weights = {name: int(rng.integers(1, 6)) for name in some}
                    constraints[f"most{number}"] = (weights, "<=", sum(weights.values()) // 2)
                case _:
                    weights = {name: int(rng.integers(1, 4)) for name in some}
                    constraints[f"least{number}"] = (weights, ">=", max(1, sum(weights.values()) // 3))
        program = {"maximize" if rng.random() < 0.5 else "minimize": terms, "constraints": constraints}
        values, feasible = energies(program)
        if 1 < feasible.sum() < len(values) and np.ptp(values[feasible]):
            return program


def energies(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """Return the objective of all assignments, and which are feasible."""
    bits = all_bits(len(names_of(program)))
    return values_of(program, bits), np.logical_and.reduce(list(met_by(program, bits).values()))


def in_form(program: Program, form: str, folder: Any) -> Any:
    """Return a problem in another library's form, or as a file."""
    if form == "program":
        return program
    sign = -1.0 if "maximize" in program and form != "quadratic program" else 1.0
    linear = {name: value for name, value in terms_of(program).items() if isinstance(name, str)}
    quadratic = {pair: value for pair, value in terms_of(program).items() if isinstance(pair, tuple)}
    if form == "quadratic program":
        found = QuadraticProgram("drawn")
        for name in names_of(program):
            found.binary_var(name)
        set_objective = found.maximize if "maximize" in program else found.minimize
        set_objective(linear=linear, quadratic=quadratic)
        for name, (coefficients, sense, bound) in program["constraints"].items():
            found.linear_constraint(coefficients, sense, bound, name)
        return found
    cqm = dimod.ConstrainedQuadraticModel()
    bqm = dimod.BinaryQuadraticModel(
        {name: sign * value for name, value in linear.items()},
        {pair: sign * value for pair, value in quadratic.items()},
        "BINARY",
    )
    for name in names_of(program):
        bqm.add_linear(name, 0.0)
    cqm.set_objective(bqm)
    for name, (coefficients, sense, bound) in program["constraints"].items():
        given = dimod.BinaryQuadraticModel(coefficients, {}, "BINARY")
        cqm.add_constraint(given, {"=": "=="}.get(sense, sense), rhs=bound, label=name)
    if form == "cqm":
        return cqm
    path = folder / "drawn.lp"
    path.write_text(dimod.lp.dumps(cqm))
    return path


def counts_of_the_service(workspace: Any, result: Any) -> list[Counter[str]]:
    """Return for each job of a run the bits that the service has of its shots, qubit 0 last, in order of submission."""
    (session,) = result.sessions
    jobs = sorted(workspace.list_session_jobs(session.id), key=lambda job: job.details.creation_time)
    found = []
    for job in jobs:
        document = json.loads(job.download_data(job.details.output_data_uri))
        (rows,) = document.values() if isinstance(document, dict) else (document,)
        found.append(Counter("".join(str(bit) for bit in reversed(row)) for row in rows))
    return found


def oracle(program: Program, labels: list[str], counts: Counter[str], sign: float) -> dict[str, Any]:
    """Return the numbers that a result must show, from counts whose lowest bits are those of the labels, in order."""
    names, place = names_of(program), {name: number for number, name in enumerate(labels)}
    outcomes = list(counts)
    by_label = np.array([[int(bit) for bit in reversed(each)][: len(labels)] for each in outcomes], np.uint8)
    bits = by_label[:, [place[name] for name in names]]
    shots = np.array([counts[each] for each in outcomes], float)
    values, met = sign * values_of(program, bits), met_by(program, bits)
    feasible = np.logical_and.reduce(list(met.values()))
    of_all, all_feasible = energies(program)
    known = sign * of_all[all_feasible]
    maximizes = "maximize" in program and sign > 0
    best, worst = (known.max(), known.min()) if maximizes else (known.min(), known.max())
    numbers: dict[str, Any] = {"share": shots @ feasible / shots.sum(), "best": best, "random": known.mean()}
    if feasible.any():
        weights = shots * feasible / (shots @ feasible)
        mean = weights @ values
        seen = values[feasible].max() if maximizes else values[feasible].min()
        numbers |= {"mean": mean, "ratio": (mean - worst) / (best - worst), "seen": seen}
        numbers["sigma"] = math.sqrt(weights @ (values - mean) ** 2 / (shots @ feasible))
        hits = shots @ (feasible & (abs(values - seen) < 1e-9))
        numbers["hits"] = hits / shots.sum()
        numbers["interval"] = (
            beta.ppf(0.025, hits, shots.sum() - hits + 1) if hits else 0.0,
            beta.ppf(0.975, hits + 1, shots.sum() - hits) if hits < shots.sum() else 1.0,
        )
    return numbers


@long_form
@pytest.mark.parametrize("seed", range(short_or_long(16, 60)))
def test_the_numbers_of_a_drawn_problem_are_of_its_feasible_shots(seed: int, emulator: Emulator, tmp_path: Any) -> None:
    program, form = drawn(seed), FORMS[seed % len(FORMS)]
    problem = in_form(program, form, tmp_path)
    workspace = emulator.workspace(f"feasible-{secrets.token_hex(4)}")
    mixer = ("auto", "standard")[seed // len(FORMS) % 2]
    result = hl.qaoa(problem, seed=seed, shots=400, layers=1, mixer=mixer, host="plain", workspace=workspace)
    sign = -1.0 if form in ("cqm", "lp") and "maximize" in program else 1.0  # which minimize minus the objective
    labels = [str(row["variable"]) for row in result.table] or labels_of(result)
    (counts,) = counts_of_the_service(workspace, result)
    truth = oracle(program, labels, counts, sign)
    assert result.feasible_share == pytest.approx(truth["share"], abs=1e-9)
    assert result.exact == pytest.approx(truth["best"], abs=1e-9)
    assert result.reference == pytest.approx(truth["random"], abs=1e-9)
    if "mean" not in truth:
        assert result.approximation_ratio is None
        assert any("meets all constraints" in each for each in result.warnings)
        return
    assert result.value == pytest.approx(truth["mean"], abs=1e-9)
    assert result.standard_error is not None
    assert truth["sigma"] <= result.standard_error + 1e-12
    assert result.standard_error == pytest.approx(math.hypot(truth["sigma"], result.unseen_bound / 3), abs=1e-9)
    assert result.approximation_ratio == pytest.approx(truth["ratio"], abs=1e-9)
    assert 0.0 <= truth["ratio"] <= 1.0
    assert result.best_value == pytest.approx(truth["seen"], abs=1e-9)
    assert result.best_share == pytest.approx(truth["hits"], abs=1e-9)
    assert result.best_share_interval95 == pytest.approx(truth["interval"], abs=1e-9)
    chosen = np.array([[result.assignment[name] for name in names_of(program)]], np.uint8)
    assert sign * values_of(program, chosen)[0] == pytest.approx(truth["seen"], abs=1e-9)
    assert all(met[0] for met in met_by(program, chosen).values())
    check_samples(result, program, labels, counts, sign)


def labels_of(result: Any) -> list[str]:
    return [str(name) for name in result.samples()[0].assignment]


def check_samples(result: Any, program: Program, labels: list[str], counts: Counter[str], sign: float) -> None:
    """Compare the samples with the service's counts; slack bits are no variables."""
    of_variables = Counter[str]()
    for bits, shots in counts.items():
        of_variables[bits[-len(labels) :]] += shots
    samples = result.samples()
    assert {"".join(str(each.assignment[name]) for name in reversed(labels)): each.count for each in samples} == (
        of_variables
    )
    for each in samples:
        row = np.array([[each.assignment[name] for name in names_of(program)]], np.uint8)
        assert each.objective == pytest.approx(sign * values_of(program, row)[0], abs=1e-9)
        assert each.feasible == all(met[0] for met in met_by(program, row).values())
        assert each.penalty >= 0.0
    frame, found = samples.to_pandas(), samples.to_dimod()
    assert frame["count"].sum() == found.record.num_occurrences.sum() == sum(counts.values())
    assert list(frame["objective"]) == [each.objective for each in samples]
    assert [dict(sample) for sample in found.samples(sorted_by=None)] == [dict(each.assignment) for each in samples]


def test_a_spin_model_comes_back_as_spins_with_the_energy_of_dimod(emulator: Emulator) -> None:
    bqm = dimod.BinaryQuadraticModel({"a": 1.0, "b": -2.0, (0, 1): 0.5}, {("a", "b"): 1.5, ("b", (0, 1)): -1.0}, "SPIN")
    result = hl.qaoa(bqm, seed=3, host="plain", workspace=emulator.workspace())
    assert set(result.assignment) == {"a", "b", (0, 1)}
    assert set(result.assignment.values()) <= {-1, 1}
    assert bqm.energy(result.assignment) == pytest.approx(result.best_value)
    found = result.samples().to_dimod()
    assert found.vartype is dimod.SPIN
    for sample, energy in found.data(["sample", "energy"]):
        assert bqm.energy(sample) == pytest.approx(energy)


@pytest.mark.parametrize("kind", ["binary", "matrix", "graph", "edges"])
def test_keys_and_values_are_the_callers(kind: str, emulator: Emulator) -> None:
    graph = nx.Graph([((0, 0), (0, 1)), ((0, 1), (1, 1)), ((1, 1), (0, 0))])
    problems: dict[str, tuple[Any, set[Any]]] = {
        "binary": (dimod.BinaryQuadraticModel({7: 1.0, "x": -2.0}, {(7, "x"): 1.5}, "BINARY"), {7, "x"}),
        "matrix": (np.array([[1.0, -2.0, 0.0], [0.0, 1.0, 1.5], [0.0, 0.0, -1.0]]), {0, 1, 2}),
        "graph": (graph, set(graph.nodes)),
        "edges": ([(10, 20), (20, 30), (30, 10), (30, 40)], {10, 20, 30, 40}),
    }
    problem, keys = problems[kind]
    result = hl.qaoa(problem, seed=3, host="plain", workspace=emulator.workspace())
    assert set(result.assignment) == keys
    assert all(set(each.assignment) == keys for each in result.samples())
    if kind == "binary":
        assert problem.energy(result.assignment) == pytest.approx(result.best_value)
    if kind == "matrix":
        bits = np.array([result.assignment[k] for k in range(3)])
        assert bits @ problem @ bits == pytest.approx(result.best_value)
    if kind == "graph":
        assert nx.cut_size(graph, [node for node, side in result.assignment.items() if side]) == result.best_value


def test_what_a_search_minimized_and_its_best_shots_are_numbers_of_their_own(emulator: Emulator) -> None:
    program = {
        "maximize": {"a": 3, "b": 1, "c": 2, ("a", "b"): 1},
        "constraints": {"w": ({"a": 2, "b": 1, "c": 1}, "<=", 2)},
    }
    workspace = emulator.workspace(f"cvar-{secrets.token_hex(4)}")
    given: dict[str, Any] = {"search": "measured", "cvar": 0.25, "mixer": "standard", "shots": 500, "layers": 1}
    result = hl.qaoa(program, seed=7, host="plain", workspace=workspace, **given)
    counts = counts_of_the_service(workspace, result)
    labels = [str(row["variable"]) for row in result.table]
    names, place = names_of(program), {name: number for number, name in enumerate(labels)}
    values: list[float] = []
    for bits, shots in counts[-1].items():
        row = np.array([[int(bits[::-1][place[name]]) for name in names]], np.uint8)
        if all(met[0] for met in met_by(program, row).values()):
            values += [float(values_of(program, row)[0])] * shots
    best = sorted(values, reverse=True)
    share = 0.25 * len(best)
    whole = math.floor(share)
    expected = (sum(best[:whole]) + (share - whole) * best[whole]) / share
    assert result.cvar["share"] == 0.25
    assert result.cvar["value"] == pytest.approx(expected, abs=1e-9)
    assert result.search_value is not None
    assert result.search_value != pytest.approx(result.value)
    assert "CVaR" in result.details()
    assert "minimized" in result.details()
    every = result.samples("search")
    assert sum(each.count for each in every) == sum(sum(each.values()) for each in counts)
    with pytest.raises(InputError, match="there are no samples"):
        result.samples("all")


def test_without_a_feasible_shot_there_is_no_ratio(emulator: Emulator) -> None:
    names = [f"v{k}" for k in range(10)]
    program = {"minimize": dict.fromkeys(names, 1), "constraints": {"all": (dict.fromkeys(names, 1), ">=", 10)}}
    result = hl.qaoa(
        program, seed=1, shots=2, layers=1, angles=[0.0, 0.0], host="plain", workspace=emulator.workspace()
    )
    assert result.feasible_share == 0.0
    assert result.approximation_ratio is None
    assert result.status == "finished"
    assert "none of the 2 final shots meets all constraints" in result.warnings[0]
    assert "of the way" not in str(result)
