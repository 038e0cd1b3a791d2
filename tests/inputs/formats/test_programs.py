"""Programs of whole numbers (MPS, LP, dimod, qiskit-optimization) against scipy's solver and an enumeration."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import dimod
import highspy
import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from hybridloop.algorithms.binary.problem import BinaryProblem, EncodedInteger
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.inputs.problem_objects import problem_from_object
from hybridloop.settings.input_format import InputFormat

HEAD = "NAME small\nROWS\n N cost\n L weight\nCOLUMNS\n    M1 'MARKER' 'INTORG'\n"
SMALL = (
    f"{HEAD}    x cost -3 weight 2\n    y cost -5 weight 4\n    M2 'MARKER' 'INTEND'\n"
    "RHS\n    RHS weight 11\nBOUNDS\n UP B x 3\n UP B y 2\nENDATA\n"
)


class Drawn:
    """A program with some bits and some whole numbers, drawn by a seed."""

    def __init__(self, seed: int, *, quadratic: bool = False) -> None:
        """Draw its bounds, objective and rows, which one point at least fulfils."""
        draw = np.random.default_rng(seed)
        count = int(draw.integers(2, 5))
        self.low = np.where(draw.random(count) < 0.5, 0, draw.integers(-3, 3, count))
        self.high = np.where(self.low == 0, 1, self.low + draw.integers(0, 6, count))
        self.cost = draw.integers(-9, 10, count).astype(float)
        self.square = np.tril(draw.integers(-4, 5, (count, count))).astype(float) * quadratic
        self.rows = draw.integers(-3, 4, (2, count)).astype(float)
        inside = self.rows @ draw.integers(self.low, self.high + 1)
        self.upper = inside + draw.integers(0, 3, 2)
        self.lower = np.where([seed % 3 == 0, seed % 2 == 0], inside - draw.integers(0, 3, 2), -np.inf)
        self.offset, self.maximizes = float(draw.integers(-2, 3)), bool(seed % 2)

    def value(self, point: Sequence[int]) -> float:
        values = np.array(point, dtype=float)
        return float(self.cost @ values + values @ self.square @ values + self.offset)

    def best(self) -> float:
        """Enumerate the points."""
        points = itertools.product(*(range(low, high + 1) for low, high in zip(self.low, self.high, strict=True)))
        values = [
            self.value(point)
            for point in points
            if np.all(self.rows @ point <= self.upper) and np.all(self.rows @ point >= self.lower)
        ]
        return max(values) if self.maximizes else min(values)

    def solved(self) -> float:
        """Solve the linear program with scipy."""
        sign = -1.0 if self.maximizes else 1.0
        found = milp(
            sign * self.cost,
            integrality=np.ones(len(self.cost), dtype=int),
            bounds=Bounds(self.low, self.high),
            constraints=LinearConstraint(self.rows, self.lower, self.upper),
        )
        assert found.fun is not None
        return float(sign * found.fun + self.offset)

    def mps(self, folder: Any) -> str:
        """Write it with HiGHS."""
        inf = highspy.kHighsInf
        program = highspy.Highs()
        program.setOptionValue("output_flag", False)  # noqa: FBT003
        for number, (low, high, cost) in enumerate(zip(self.low, self.high, self.cost, strict=True)):
            program.addVar(float(low), float(high))
            program.changeColCost(number, float(cost))
            program.changeColIntegrality(number, highspy.HighsVarType.kInteger)
            program.passColName(number, f"v{number}")
        for number, row in enumerate(self.rows):
            lower = float(self.lower[number]) if math.isfinite(self.lower[number]) else -inf
            program.addRow(lower, float(self.upper[number]), len(row), np.arange(len(row), dtype=np.int32), row)
            program.passRowName(number, f"r{number}")
        program.changeObjectiveOffset(self.offset)
        sense = highspy.ObjSense.kMaximize if self.maximizes else highspy.ObjSense.kMinimize
        program.changeObjectiveSense(sense)
        path = folder / "program.mps"
        program.writeModel(str(path))
        text = str(path.read_text())
        if not self.square.any():
            return text
        entries = [  # MPS has the lower triangle of Q in ½ xᵀQx
            f"    v{column}  v{row}  {self.square[row, column] * (2 if row == column else 1):g}"
            for column in range(len(self.cost))
            for row in range(column, len(self.cost))
            if self.square[row, column]
        ]
        return text.replace("ENDATA", "\n".join(["QUADOBJ", *entries, "ENDATA"]))

    def model(self) -> dimod.ConstrainedQuadraticModel:
        model = dimod.ConstrainedQuadraticModel()
        variables = []
        for number, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            is_bit = (low, high) == (0, 1)
            bounds = {} if is_bit else {"lower_bound": int(low), "upper_bound": int(high)}
            model.add_variable("BINARY" if is_bit else "INTEGER", f"v{number}", **bounds)
            variables.append(
                dimod.Binary(f"v{number}")
                if is_bit
                else dimod.Integer(f"v{number}", lower_bound=int(low), upper_bound=int(high))
            )
        sign, total = -1.0 if self.maximizes else 1.0, self.offset
        for i, one in enumerate(variables):
            total = total + self.cost[i] * one
            for j in range(i + 1):
                if self.square[i, j]:
                    total = total + self.square[i, j] * one * variables[j]
        model.set_objective(sign * total)
        for row, lower, upper in zip(self.rows, self.lower, self.upper, strict=True):
            if row.any():
                left = sum(value * one for value, one in zip(row, variables, strict=True))
                model.add_constraint_from_model(left, "<=", float(upper), label=f"u{len(model.constraints)}")
                if math.isfinite(lower):
                    model.add_constraint_from_model(left, ">=", float(lower), label=f"l{len(model.constraints)}")
        return model


def best_of(problem: BinaryProblem) -> tuple[float, Mapping[str, int]]:
    """Enumerate the bits: the best feasible value and its assignment of the caller's variables."""
    bits = np.array(list(itertools.product((0, 1), repeat=problem.num_variables)), dtype=np.uint8)
    feasible = bits[problem.is_feasible(bits)]
    values = problem.objective.energies(feasible)
    place = int(np.argmin(problem.sign * values))
    (known,) = problem.values_of(feasible[place : place + 1]).tolist()
    return float(values[place]), dict(zip(problem.variables, known, strict=True))


def check(problem: BinaryProblem, drawn: Drawn, expected: float) -> None:
    value, assignment = best_of(problem)
    assert value == pytest.approx(expected, abs=1e-9)
    point = [assignment[f"v{number}"] for number in range(len(drawn.cost))]
    assert drawn.value(point) == pytest.approx(expected, abs=1e-9)
    assert problem.optimum.is_exact
    assert problem.optimum.found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_linear_programs_have_the_optimum_that_scipy_finds(seed: int, tmp_path: Any) -> None:
    drawn = Drawn(seed)
    text = drawn.mps(tmp_path)
    assert detect_format(text) is InputFormat.MPS
    check(read_binary_problem(text, "program.mps"), drawn, drawn.solved())
    assert drawn.solved() == pytest.approx(drawn.best())


@pytest.mark.parametrize("seed", range(100, 110))
def test_quadratic_programs_have_the_optimum_of_an_enumeration(seed: int, tmp_path: Any) -> None:
    drawn = Drawn(seed, quadratic=True)
    check(read_binary_problem(drawn.mps(tmp_path), "program.mps"), drawn, drawn.best())


@pytest.mark.parametrize("seed", range(200, 210))
def test_integers_of_dimod_have_the_optimum_of_an_enumeration(seed: int) -> None:
    drawn = Drawn(seed, quadratic=True)
    text = problem_from_object(drawn.model()).text or ""
    expected = -drawn.best() if drawn.maximizes else drawn.best()
    value, assignment = best_of(read_binary_problem(text, "model"))
    assert value == pytest.approx(expected, abs=1e-9)
    point = [assignment[f"v{number}"] for number in range(len(drawn.cost))]
    assert abs(drawn.value(point)) == pytest.approx(abs(expected), abs=1e-9)


def test_an_lp_has_integers() -> None:
    text = "Maximize\n obj: 3 x + 5 y\nSubject To\n c: 2 x + 4 y <= 11\nBounds\n 0 <= x <= 3\n 0 <= y <= 2\n"
    value, assignment = best_of(read_binary_problem(f"{text}Generals\n x y\nEnd\n", "program.lp"))
    assert (value, assignment) == (14.0, {"x": 3, "y": 1})


def test_a_program_of_qiskit_has_integers() -> None:
    from qiskit_optimization import QuadraticProgram

    program = QuadraticProgram("small")
    program.integer_var(0, 3, "x")
    program.integer_var(-1, 2, "y")
    program.binary_var("z")
    program.maximize(linear={"x": 3, "y": 5, "z": 1}, quadratic={("x", "y"): -2})
    program.linear_constraint({"x": 2, "y": 4, "z": 1}, "<=", 11)
    text = problem_from_object(program).text or ""
    value, assignment = best_of(read_binary_problem(text, "program"))
    points = itertools.product(range(4), range(-1, 3), range(2))
    allowed = [(x, y, z) for x, y, z in points if 2 * x + 4 * y + z <= 11]
    assert value == max(3 * x + 5 * y + z - 2 * x * y for x, y, z in allowed)
    assert value == program.objective.evaluate([assignment["x"], assignment["y"], assignment["z"]])


def test_the_bits_of_an_integer_make_each_of_its_values_and_none_other() -> None:
    for span in range(70):
        weights = EncodedInteger.weights(span)
        sums = {sum(part) for size in range(len(weights) + 1) for part in itertools.combinations(weights, size)}
        assert sums == set(range(span + 1))
        assert len(weights) == span.bit_length()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMALL.replace(" UP B y 2\n", " PL B y\n"), "the integer y has no bounds"),
        (SMALL.replace("    M1 'MARKER' 'INTORG'\n", "").replace("    M2 'MARKER' 'INTEND'\n", ""), "x is continuous"),
        (SMALL.replace("weight 2", "weight two"), "line 7.*'two' is not a number"),
        (SMALL.replace("RHS\n", "RRR\n"), "line 10: program.mps: the section RRR is not read"),
        (SMALL.replace("ENDATA", "QCMATRIX weight\n    x x 1\nENDATA"), "the section QCMATRIX is not read"),
        (SMALL.replace("    y cost", "    y price"), "HiGHS can't read"),
        (SMALL.replace(" UP B x 3", " UP B x 0.5\n LO B x 0.2"), "x has no value in its bounds"),
    ],
)
def test_programs_that_are_no_problems_of_bits_are_refused_by_name(text: str, words: str) -> None:
    with pytest.raises((InputError, ProblemError), match=words):
        read_binary_problem(text, "program.mps")


def test_samples_and_answers_speak_of_the_whole_numbers() -> None:
    problem = read_binary_problem(SMALL, "program.mps")
    assert problem.variables == ("x", "y")
    assert "2 integers as 4 bits" in problem.title
    assert best_of(problem) == (-14.0, {"x": 3, "y": 1})


def test_reading_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    read_binary_problem(SMALL, "program.mps")
    assert capfd.readouterr() == ("", "")
