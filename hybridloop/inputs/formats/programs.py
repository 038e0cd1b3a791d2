"""Programs of bits and whole numbers with linear constraints, as JSON of a polynomial; the reader for MPS."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridloop.errors import InputError, ProblemError

MOST_VALUES = 1 << 16  # of a whole-number variable: 16 bits
_WITH_NUMBERS = {"COLUMNS", "RHS", "RANGES", "BOUNDS", "QUADOBJ", "QMATRIX"}  # sections of MPS
_OTHER_SECTIONS = {"NAME", "OBJSENSE", "OBJNAME", "ROWS", "ENDATA"}
_BOUNDS_WITHOUT = {"BV", "FR", "MI", "PL"}  # bounds that have no number


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable with its least and largest value: a bit, or a whole number of several bits."""

    name: str
    least: int = 0
    most: int = 1

    @property
    def parts(self) -> tuple[int, list[tuple[str, int]]]:
        """The least value, and the names of the bits that are added to it, each with its weight."""
        from hybridloop.algorithms.binary.problem import EncodedInteger

        if (self.least, self.most) == (0, 1):
            return 0, [(self.name, 1)]
        weights = EncodedInteger.weights(self.most - self.least)
        return self.least, [(f"{self.name}.{number}", weight) for number, weight in enumerate(weights)]


@dataclass(frozen=True, slots=True)
class Row:
    """A linear constraint: its name, coefficients by variable, sense (<=, =, >=) and bound."""

    name: str
    terms: Mapping[str, float]
    sense: str
    bound: float


def whole_variable(name: str, least: float, most: float, source: str) -> Variable:
    """Return a whole-number variable. Raises InputError for one without bounds, or with very many values."""
    low, high = (
        (math.ceil(least) if math.isfinite(least) else least),
        (math.floor(most) if math.isfinite(most) else most),
    )
    if not math.isfinite(high - low) or high - low >= MOST_VALUES:
        what = f"{source}: the integer {name[:80]} has no bounds that leave at most {MOST_VALUES:,} values"
        raise InputError("problem", what, "Give it a lower and an upper bound.")
    if low > high:
        raise InputError("problem", f"{source}: the integer {name[:80]} has no value in its bounds", "Correct them.")
    return Variable(name, int(low), int(high))


def program(
    variables: Sequence[Variable],
    terms: Mapping[tuple[str, ...], float],
    rows: Iterable[Row],
    *,
    offset: float = 0.0,
    maximize: bool = False,
) -> Mapping[str, Any]:
    """Return the JSON of a polynomial of variables, of any order, with linear constraints.

    Whole numbers are bits there: see `EncodedInteger`.
    """
    parts = {variable.name: variable.parts for variable in variables}
    products = dict[tuple[str, ...], float]()
    for names, value in terms.items():
        choices = [
            [((), float(least)), *(((bit,), float(weight)) for bit, weight in bits)]
            for least, bits in map(parts.__getitem__, names)
        ]
        for choice in itertools.product(*choices):
            bits = tuple(sorted(set(itertools.chain.from_iterable(part for part, _ in choice))))  # x² = x
            products[bits] = products.get(bits, 0.0) + value * math.prod(weight for _, weight in choice)
    offset += products.pop((), 0.0)
    constraints = []
    for row in rows:
        least = math.fsum(value * parts[name][0] for name, value in row.terms.items())
        listed = [[bit, value * weight] for name, value in row.terms.items() for bit, weight in parts[name][1]]
        constraints.append({"name": row.name, "terms": listed, "sense": row.sense, "bound": row.bound - least})
    labels = [bit for _, bits in parts.values() for bit, _ in bits]
    document: dict[str, Any] = {
        "polynomial": {"variables": labels, "terms": [[*bits, value] for bits, value in products.items() if value]},
        "offset": offset,
        "maximize": maximize,
        "constraints": constraints,
    }
    integers = [
        {"name": each.name, "least": each.least, "bits": [list(bit) for bit in parts[each.name][1]]}
        for each in variables
        if (each.least, each.most) != (0, 1)
    ]
    return {**document, "integers": integers} if integers else document


def read_mps(text: str, source: str) -> Mapping[str, Any]:
    """Return the JSON of a program in MPS format, which takes HiGHS. Raises ProblemError, InputError without it.

    Quadratic objectives are those of QUADOBJ and QMATRIX; all variables must be whole numbers with bounds.
    """
    try:
        import highspy
        from highspy._core import _Highs  # highspy.Highs() prints a line
    except ImportError as error:
        remedy = "Install it: pip install 'hybridloop[highspy]'."
        raise InputError("problem", f"{source}: MPS format needs highspy, which is not installed", remedy) from error
    _check_lines(text, source)
    reader = _Highs()
    reader.setOptionValue("output_flag", False)  # noqa: FBT003  # an option of another library
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.mps"
        path.write_text(text, encoding="utf-8")
        if reader.readModel(str(path)) != highspy.HighsStatus.kOk:
            raise ProblemError(source, None, "HiGHS can't read this MPS", "Export the program again.")
    model = reader.getModel()
    lp, inf = model.lp_, highspy.kHighsInf
    names = [str(name) for name in lp.col_names_] or [f"x{number}" for number in range(lp.num_col_)]
    kinds = list(lp.integrality_) or [highspy.HighsVarType.kContinuous] * lp.num_col_
    variables = []
    for name, kind, low, high in zip(names, kinds, lp.col_lower_, lp.col_upper_, strict=True):
        if kind != highspy.HighsVarType.kInteger:
            what = f"{source}: the variable {name[:80]} is continuous"
            raise InputError("problem", what, "Declare it an integer (MARKER 'INTORG') or binary (BV).")
        variables.append(
            whole_variable(name, -math.inf if low <= -inf else low, math.inf if high >= inf else high, source)
        )
    terms: dict[tuple[str, ...], float] = {
        (name,): float(cost) for name, cost in zip(names, lp.col_cost_, strict=True) if cost
    }
    for i, j, value in _halved(model.hessian_):
        pair = (names[i], names[j])
        terms[pair] = terms.get(pair, 0.0) + value
    maximizes = lp.sense_ == highspy.ObjSense.kMaximize
    return program(variables, terms, _rows(lp, names, inf), offset=float(lp.offset_), maximize=maximizes)


def _check_lines(text: str, source: str) -> None:
    """Raise ProblemError for what HiGHS leaves out without an error: lines without their number, other sections."""
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or line.startswith("*"):
            continue
        if not line[0].isspace():
            section = words[0].upper()
            if section not in _WITH_NUMBERS | _OTHER_SECTIONS:
                remedy = "Give a linear or quadratic objective, linear constraints and bounds."
                raise ProblemError(source, number, f"the section {section[:40]} is not read", remedy)
        elif section in _WITH_NUMBERS and "'MARKER'" not in words and words[0].upper() not in _BOUNDS_WITHOUT:
            try:
                float(words[-1])
            except ValueError:
                problem = f"{words[-1][:40]!r} is not a number"
                raise ProblemError(source, number, problem, "Correct the line, or export it again.") from None


def _halved(hessian: Any) -> Iterable[tuple[int, int, float]]:
    """Yield the coefficients of x_i x_j in ½ xᵀQx, whose lower triangle HiGHS has by columns."""
    for column in range(hessian.dim_):
        for place in range(hessian.start_[column], hessian.start_[column + 1]):
            row, value = int(hessian.index_[place]), float(hessian.value_[place])
            yield column, row, value / 2.0 if row == column else value


def _rows(lp: Any, names: Sequence[str], inf: float) -> Iterable[Row]:
    """Yield the constraints; a row with two different bounds is two."""
    terms = [dict[str, float]() for _ in range(lp.num_row_)]
    matrix = lp.a_matrix_
    is_by_column = str(matrix.format_).endswith("kColwise")
    for outer in range(len(matrix.start_) - 1):
        for place in range(matrix.start_[outer], matrix.start_[outer + 1]):
            inner, value = int(matrix.index_[place]), float(matrix.value_[place])
            row, column = (inner, outer) if is_by_column else (outer, inner)
            terms[row][names[column]] = terms[row].get(names[column], 0.0) + value
    for number, coefficients in enumerate(terms):
        low, high = float(lp.row_lower_[number]), float(lp.row_upper_[number])
        name = str(lp.row_names_[number]) if number < len(lp.row_names_) else f"row {number + 1}"
        if low == high:
            yield Row(name, coefficients, "=", high)
            continue
        has_both = low > -inf and high < inf
        if low > -inf:
            yield Row(f"{name} from below" if has_both else name, coefficients, ">=", low)
        if high < inf:
            yield Row(f"{name} from above" if has_both else name, coefficients, "<=", high)
