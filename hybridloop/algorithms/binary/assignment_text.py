"""The best assignment of a binary problem in the problem's terms: a partition, chosen nodes, assets to hold, values."""

from __future__ import annotations

from collections.abc import Sequence

from hybridloop.algorithms.binary.problem import BinaryProblem, Sense

MAX_NAMES = 60


def describe_assignment(problem: BinaryProblem, bitstring: str | None, value: float | None) -> dict[str, str]:
    """Return lines by name for an assignment (rightmost character = variable 0) and its objective; none without one."""
    if bitstring is None or value is None:
        return {}
    value += 0.0  # -0.0 is 0
    bits = [bit == "1" for bit in reversed(bitstring)]
    chosen = [name for name, bit in zip(problem.labels, bits, strict=True) if bit]
    others = [name for name, bit in zip(problem.labels, bits, strict=True) if not bit]
    match problem.kind:
        case "max-cut":
            return {"partition": _parts(chosen, others, bits), "cut": _limited(problem, value)}
        case "independent-set":
            return {"chosen": _list(chosen), "nodes": _limited(problem, value)}
        case "number-partitioning":
            sums = [sum(map(float, part)) for part in (chosen, others)]
            difference = f"{max(sums):g} and {min(sums):g}, a difference of {max(sums) - min(sums):g}"
            return {"parts": _parts(chosen, others, bits), "sums": difference}
        case "max-sat":
            return {"true": _list(chosen) or "none: all variables are false", "satisfied": _limited(problem, value)}
        case "labs":
            signs = "".join("-" if bit else "+" for bit in bits)
            merit = f"{_limited(problem, value)}; merit factor {len(bits) ** 2 / (2 * value):.4g}"
            return {"sequence": signs, "energy": merit}
        case "portfolio":
            names = ("assets " if _is_numbered(problem) and chosen else "") + (_list(chosen) or "nothing")
            return {"hold": f"{names} ({len(chosen)} of {len(bits)})", "objective": _limited(problem, value)}
        case "ising":
            spins = [f"{name} = {-1 if bit else 1:+d}" for name, bit in zip(_names(problem, "s"), bits, strict=True)]
            return {"spins": _list(spins), "objective": _limited(problem, value)}
    variables: Sequence[str] = problem.variables if problem.integers else _names(problem, "x")
    (known,) = problem.values_of([[int(bit) for bit in bits]]).tolist()
    values = [f"{name} = {each}" for name, each in zip(variables, known, strict=True)]
    return {"variables": _list(values), "objective": _limited(problem, value)}


def _limited(problem: BinaryProblem, value: float) -> str:
    """Return a value with the optimum, or with a bound of it where the optimum is unknown."""
    maximizes, optimum = problem.sense is Sense.MAXIMIZE, problem.optimum
    best = optimum.bound
    if not optimum.is_exact:
        known = "" if optimum.found is None else f", {optimum.found:.12g} is the best known"
        return f"{value:.12g} of at {'most' if maximizes else 'least'} {best:.12g}, a bound{known}"
    if maximizes:
        return f"{value:.12g} of at most {best:.12g}"
    return (
        f"{value:.12g}, the optimum"
        if abs(value - best) <= 1e-9 * max(1.0, abs(best))
        else f"{value:.12g}; at best {best:.12g}"
    )


def _parts(chosen: Sequence[str], others: Sequence[str], bits: Sequence[bool]) -> str:
    """Return both sides, that of variable 0 first."""
    sides = (chosen, others) if bits[0] else (others, chosen)
    return " | ".join(f"{{{_list(side)}}}" for side in sides)


def _names(problem: BinaryProblem, letter: str) -> Sequence[str]:
    """Return the names of the variables; those that have none are a letter and their number."""
    return [letter + name for name in problem.labels] if _is_numbered(problem) else problem.labels


def _is_numbered(problem: BinaryProblem) -> bool:
    return problem.labels == tuple(map(str, range(problem.num_variables)))


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
