"""Objectives with linear constraints: the JSON of dimod's constrained models, and programs in LP format."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hybridloop.errors import InputError, ProblemError

LIMITS = {"<=": (False, True), "=": (True, True), "==": (True, True), ">=": (True, False)}  # from below, from above
_MAXIMIZE = re.compile(r"(?:\s*\\[^\n]*\n)*\s*max", re.IGNORECASE)


def limits_of(sense: str, bound: float) -> tuple[float, float]:
    """Return the least and the largest value of a sum that has this `sense` to the bound."""
    from_below, from_above = LIMITS[sense]
    return (bound if from_below else -math.inf), (bound if from_above else math.inf)


def constrained_model(model: Any, *, maximize: bool = False) -> Mapping[str, Any]:
    """Return the JSON of a dimod ConstrainedQuadraticModel; with `maximize` that of the negative of its objective.

    Raises InputError for variables that are no bits, and for constraints that are quadratic or soft.
    """
    for variable in model.variables:
        if model.vartype(variable).name != "BINARY":
            kind = model.vartype(variable).name.lower()
            remedy = "Give model.spin_to_binary()." if kind == "spin" else "Declare it binary."
            raise InputError("problem", f"the variable {str(variable)[:80]} is {kind}", remedy)
    constraints = list[Mapping[str, Any]]()
    for label, comparison in model.constraints.items():
        left = comparison.lhs
        if left.quadratic or (hasattr(left, "is_soft") and left.is_soft()):
            kind = "quadratic" if left.quadratic else "soft"
            raise InputError("problem", f"the constraint {str(label)[:80]} is {kind}", "Give linear, hard constraints.")
        constraints.append(
            {
                "name": str(label),
                "terms": [[str(variable), float(value)] for variable, value in left.linear.items()],
                "sense": comparison.sense.value,
                "bound": float(comparison.rhs) - float(left.offset),
            }
        )
    sign, objective = -1.0 if maximize else 1.0, model.objective
    terms: list[list[Any]] = [[str(name), sign * float(value)] for name, value in objective.linear.items() if value]
    terms += [[str(i), str(j), sign * float(value)] for (i, j), value in objective.quadratic.items() if value]
    return {
        "polynomial": {"variables": [str(variable) for variable in model.variables], "terms": terms},
        "offset": sign * float(objective.offset),
        "maximize": maximize,
        "constraints": constraints,
    }


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
