"""Reader for clauses of MaxSAT in DIMACS' formats: `cnf`, and `wcnf` of the MaxSAT evaluations, old and new."""

from __future__ import annotations

import itertools
import re
from collections import deque
from typing import Any

from hybridloop.algorithms.binary.graphs import MAX_NODES
from hybridloop.algorithms.binary.ising import is_in_range
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import Clause, max_sat
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

MAX_LITERALS = 12  # of a clause, which becomes 2^12 products of spins
_KINDS = {"cnf": (2,), "wcnf": (2, 3)}  # numbers of the line `p`
_Header = tuple[Any, ...]  # the kind, the numbers of variables and clauses, and the weight of hard ones if there is one
_COUNT = re.compile(r"\d{1,18}", re.ASCII)
_LITERAL = re.compile(r"-?[1-9]\d{0,5}", re.ASCII)
_REMEDY = "Write each clause as numbers of variables, negative for their negation, and 0 at its end."


def read_clauses(text: str, source: str) -> BinaryProblem:
    """Read a MaxSAT problem: `p cnf variables clauses`, then clauses that end with 0; a `wcnf` has their weights first.

    In a `wcnf` without line `p`, `h` begins a hard clause; with it, a weight of at least its last number does. A line
    `%` ends the text, as in SATLIB's. Raises ProblemError with the line.
    """
    header, words = _split(text, source)
    top = header[3] if header is not None and len(header) > 3 else None
    is_weighted = header is None or header[0] == "wcnf"
    clauses = list[Clause]()
    while words:
        line, first = words[0]
        if is_weighted:
            words.popleft()
        weight = _weight(first, top, source, line) if is_weighted else 1.0
        literals = list(itertools.takewhile(lambda each: each[1] != "0", words))
        if len(literals) == len(words):
            raise ProblemError(source, line, "the last clause has no 0 at its end", _REMEDY)
        for _ in range(len(literals) + 1):
            words.popleft()
        clauses.append(Clause(_signs(literals, source), weight))
    count = max((variable + 1 for clause in clauses for variable in clause.signs), default=0)
    if header is not None:
        if count > header[1] or len(clauses) != header[2]:
            stated = f"{header[1]} variables and {header[2]} clauses"
            problem = f"its line `p` states {stated}, and {count} and {len(clauses)} follow"
            raise ProblemError(source, None, problem, "Give the whole file.")
        count = header[1]
    if not 1 <= count <= MAX_NODES:
        raise ProblemError(source, None, f"it has {count} variables", f"Give 1 to {MAX_NODES:,}.")
    return max_sat(count, clauses, source, reading="read as DIMACS")


def _split(text: str, source: str) -> tuple[_Header | None, deque[tuple[int, str]]]:
    """Return the kind, numbers and top weight of line `p`, and the words of all clauses with their lines."""
    header, words = None, deque[tuple[int, str]]()
    for line, content in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        first, *rest = content.split() or ["c"]
        if first == "%":
            break
        if first == "p":
            kind = _KINDS.get(rest[0] if rest else "", ())
            if header is not None or words or len(rest) - 1 not in kind or not all(map(_COUNT.fullmatch, rest[1:])):
                raise ProblemError(source, line, "its line `p` is malformed", "Write `p cnf variables clauses`.")
            header = rest[0], int(rest[1]), int(rest[2]), *map(float, rest[3:])
        elif first != "c":
            words += ((line, word) for word in (first, *rest))
    return header, words


def _weight(word: str, top: float | None, source: str, line: int) -> float | None:
    """Return the weight of a clause; None for a hard one."""
    if word == "h":
        return None
    try:
        weight = parse_decimal(word)
    except ValueError as error:
        raise ProblemError(source, line, f"the clause's weight is {word[:40]!r}", "Give a number.") from error
    if not is_in_range(weight) or weight < 0.0:
        raise ProblemError(source, line, f"the clause's weight is {word[:40]}", "Give a number of at least 0.")
    return None if top is not None and weight >= top else weight


def _signs(literals: list[tuple[int, str]], source: str) -> dict[int, bool]:
    signs: dict[int, bool] = {}
    for line, word in literals:
        if _LITERAL.fullmatch(word) is None:
            raise ProblemError(source, line, f"{word[:40]!r} is no literal", _REMEDY)
        variable, sign = abs(int(word)) - 1, not word.startswith("-")
        if signs.setdefault(variable, sign) is not sign:
            raise ProblemError(
                source, line, "a clause has a variable and its negation, so that it always holds", "Remove it."
            )
    if len(signs) > MAX_LITERALS:
        problem = f"a clause has {len(signs)} variables, and at most {MAX_LITERALS} are taken"
        raise ProblemError(source, literals[0][0], problem, "Split it by further variables.")
    return signs
