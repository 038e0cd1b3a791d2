"""Objectives with linear constraints: the JSON of dimod's constrained models, and programs in LP format."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.programs import Row, Variable, program, whole_variable

LIMITS = {"<=": (False, True), "=": (True, True), "==": (True, True), ">=": (True, False)}  # from below, from above
_MAXIMIZE = re.compile(r"(?:\s*\\[^\n]*\n)*\s*max", re.IGNORECASE)


def limits_of(sense: str, bound: float) -> tuple[float, float]:
    """Return the least and the largest value of a sum that has this `sense` to the bound."""
    from_below, from_above = LIMITS[sense]
    return (bound if from_below else -math.inf), (bound if from_above else math.inf)


def constrained_model(model: Any, *, maximize: bool = False) -> Mapping[str, Any]:
    """Return the JSON of a dimod ConstrainedQuadraticModel; with `maximize` that of the negative of its objective.

    Raises InputError for variables that are no bits and no whole numbers with bounds, and for constraints that are
    quadratic or soft.
    """
    variables = list[Variable]()
    for variable in model.variables:
        kind = model.vartype(variable).name
        if kind == "INTEGER":
            least, most = model.lower_bound(variable), model.upper_bound(variable)
            variables.append(whole_variable(str(variable), least, most, "the program"))
            continue
        if kind != "BINARY":
            remedy = "Give model.spin_to_binary()." if kind == "SPIN" else "Declare it binary, or an integer."
            raise InputError("problem", f"the variable {str(variable)[:80]} is {kind.lower()}", remedy)
        variables.append(Variable(str(variable)))
    rows = list[Row]()
    for label, comparison in model.constraints.items():
        left = comparison.lhs
        if left.quadratic or (hasattr(left, "is_soft") and left.is_soft()):
            kind = "quadratic" if left.quadratic else "soft"
            raise InputError("problem", f"the constraint {str(label)[:80]} is {kind}", "Give linear, hard constraints.")
        terms = {str(variable): float(value) for variable, value in left.linear.items()}
        rows.append(Row(str(label), terms, comparison.sense.value, float(comparison.rhs) - float(left.offset)))
    sign, objective = -1.0 if maximize else 1.0, model.objective
    products: dict[tuple[str, ...], float] = {
        (str(name),): sign * float(value) for name, value in objective.linear.items() if value
    }
    products |= {(str(i), str(j)): sign * float(value) for (i, j), value in objective.quadratic.items() if value}
    return program(variables, products, rows, offset=sign * float(objective.offset), maximize=maximize)


def read_lp(text: str, source: str) -> Mapping[str, Any]:
    """Return the JSON of a program in LP format, which takes dimod. Raises ProblemError, InputError without dimod."""
    try:
        from dimod import lp
    except ImportError as error:
        remedy = "Install it: pip install 'hybridloop[dimod]'."
        raise InputError("problem", f"{source}: LP format needs dimod, which is not installed", remedy) from error
    try:
        model = lp.loads(text.lstrip("\ufeff"))
    except Exception as error:  # dimod raises several kinds for malformed text
        problem = f"dimod can't read this LP: {' '.join(str(error).split())[:120]}"
        raise ProblemError(source, None, problem, "Export the program again.") from error
    return constrained_model(model, maximize=_MAXIMIZE.match(text.lstrip("\ufeff")) is not None)
