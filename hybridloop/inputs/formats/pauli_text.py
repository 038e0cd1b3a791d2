"""Pauli sums as libraries print them and people write them, as pairs of label and coefficient in text.

OpenFermion's `0.5 [Z0 Z1] +`, Qiskit's `SparsePauliOp([…], coeffs=[…])`, and a term on each line, `ZZI 0.5`, `0.5 ZZI`
or `0.5 * Z0 Z1`, with a header or without. It imports no numerical library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

MAX_QUBITS = 64

Term = tuple[str, str, int | None]  # label, coefficient, line

_LABEL = re.compile(r"[IXYZ]+")
_FACTOR = re.compile(r"([XYZ])_?(\d{1,4})")
_FACTORS = re.compile(r"(?:[XYZ]_?\d{1,4}|I\d{0,4})(?:[\s*@]+(?:[XYZ]_?\d{1,4}|I\d{0,4}))*")
_CALL = re.compile(r"([IXYZ])\((\d{1,4})\)")  # as PennyLane prints them
_BRACKETS = re.compile(
    r"\s*+(?P<sign>[+-]?)\s*+(?P<number>\([^()\[\]]*\)|[^\s()\[\]]*+)\s*+\*?\s*+\[(?P<word>[^\[\]]*+)\]\s*+"
)
_REPR = re.compile(r"\s*SparsePauliOp\(\s*\[(?P<labels>[^\]]*)\]\s*,\s*coeffs\s*=\s*\[(?P<numbers>[^\]]*)\]\s*\)\s*")
_COMPLEX = re.compile(
    r"\(?(?P<real>[-+]?[\d.]+(?:[eE][-+]?\d+)?)(?:(?P<imaginary>[-+][\d.]*(?:[eE][-+]?\d+)?)[ji])?\)?"
)
_LABEL_NAMES = {
    "label",
    "labels",
    "pauli",
    "paulis",
    "term",
    "terms",
    "string",
    "operator",
    "pauli_string",
    "pauli string",
}
_NUMBER_NAMES = {"coefficient", "coefficients", "coeff", "coeffs", "weight", "value", "real", "c", "h"}
_SPLIT = re.compile(r"(?<!\s)\s*[,;\t|]\s*+")
_BETWEEN = re.compile(r"(?<=[IXYZ\d)])\s(?=[-+]\s)")
_COMMENT = re.compile(r"\s#.*$")
_MARKS = ("#", "%", "//")


def is_pauli_text(text: str) -> bool:
    """Return whether a text is a Pauli sum in one of these forms, whole or cut."""
    start = _without_comments(text)
    if start.startswith("SparsePauliOp("):
        return True
    if "[" in start and (found := _BRACKETS.match(start)) is not None:
        return _is_coefficient(found["number"]) and _is_word(found["word"])
    lines = _lines(text)
    if not lines or _term_of(lines[0][1]) is None:
        return False
    return 2 * sum(_term_of(line) is not None for _, line in lines) > len(lines)


def pauli_terms(text: str, source: str) -> list[Term]:
    """Return the terms of a text, all labels of one width, with the rightmost letter on qubit 0.

    Raises ProblemError with the line of what is malformed.
    """
    start = _without_comments(text)
    if start.startswith("SparsePauliOp("):
        return _of_repr(start, source)
    if "[" in start:
        return _of_brackets("\n" * text[: text.index(start[:1])].count("\n") + start, source)
    terms: list[Term] = []
    for number, line in _lines(text):
        found = _term_of(line)
        if found is None:
            problem = f"{line.strip()[:80]!r} is not a label of I, X, Y, Z and a number"
            raise ProblemError(source, number, problem, "Write `ZZI 0.5` or `0.5 ZZI` on each line.")
        terms.append((*found, number))
    return with_labels(terms, source)


def with_labels(terms: Iterable[Term], source: str) -> list[Term]:
    """Return terms with labels in place of factors such as `Z0 Z1`, all of one width."""
    listed = list(terms)
    if not any(map(_is_sparse, (label for label, _, _ in listed))):
        return listed
    words = []
    for label, number, line in listed:
        if not (_is_sparse(label) or set(label) <= {"I"}):
            problem = f"{label[:80]!r} has no numbers of qubits, and other terms have"
            raise ProblemError(source, line, problem, "Write all terms in one way.")
        words.append((_factors(label, line, source), number, line))
    width = 1 + max((qubit for word, _, _ in words for qubit in word), default=0)
    if width > MAX_QUBITS:
        raise ProblemError(source, None, f"a term is on qubit {width - 1}", f"Use at most {MAX_QUBITS} qubits.")
    return [("".join(word.get(q, "I") for q in reversed(range(width))), number, line) for word, number, line in words]


def real_part(word: str, source: str, line: int | None) -> float:
    """Return a coefficient that may be written as complex. Raises ProblemError for one that is not real."""
    found = _COMPLEX.fullmatch(re.sub(r"\s", "", word))
    try:
        if found is None:
            raise ValueError
        imaginary = found["imaginary"]
        number = parse_decimal(found["real"])
        is_real = imaginary is None or parse_decimal(imaginary) == 0.0
    except ValueError:
        problem = f"the coefficient {word.strip()[:40]!r} is not a number"
        raise ProblemError(source, line, problem, "Correct the term.") from None
    if not is_real:
        problem = f"the coefficient {word.strip()[:40]!r} is not real"
        raise ProblemError(source, line, problem, "A Hermitian sum has real coefficients.")
    return number


def is_label(word: str) -> bool:
    """Return whether a word is a label of I, X, Y, Z, or factors such as `X0 Z3`."""
    return _LABEL.fullmatch(word) is not None or _is_word(word)


def _without_comments(text: str) -> str:
    lines = text.lstrip("\ufeff \t\r\n").split("\n")
    return "\n".join("" if line.lstrip().startswith(_MARKS) else line for line in lines).lstrip()


def _lines(text: str) -> list[tuple[int, str]]:
    """Return the numbered lines of terms, without comments and a header."""
    lines = [
        (number, term)
        for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1)
        for term in _BETWEEN.split(_COMMENT.sub("", line))  # several terms of a sum
        if line.strip() and not line.lstrip().startswith(_MARKS)
    ]
    if lines and len(lines) > 1:
        words = {word.strip().lower() for word in _SPLIT.split(lines[0][1])} | set(lines[0][1].lower().split())
        if words & _LABEL_NAMES and words & _NUMBER_NAMES:
            return lines[1:]
    return lines


def _term_of(line: str) -> tuple[str, str] | None:
    """Return label and coefficient of a line in either order; None for a line that is no term."""
    line = re.sub(r"^([-+])\s+", r"\1", line.strip())
    line = _CALL.sub(r"\1\2", line).strip().strip("+").strip().rstrip(",;").strip()
    line = re.sub(r"[\"']", "", line)
    parts = [part for part in _SPLIT.split(line) if part]
    if len(parts) == 1:
        parts = re.split(r"\s*\*\s*|\s+", line, maxsplit=1)
        if len(parts) == 2 and not _is_coefficient(parts[0]):
            parts = re.split(r"\s*:\s*|\s+", line)
            parts = [" ".join(parts[:-1]), parts[-1]]
    if len(parts) != 2:
        return None
    first, second = (part.strip().strip("()").strip() if _is_word(part.strip().strip("()")) else part for part in parts)
    if is_label(first) and _is_coefficient(second):
        return first, second
    if _is_coefficient(first) and is_label(second):
        return second, first
    return None


def _of_repr(text: str, source: str) -> list[Term]:
    found = _REPR.fullmatch(text)
    if found is None or "..." in text:
        problem = "the printed SparsePauliOp is not whole"
        remedy = "Write its terms: for label, c in operator.to_list(): print(label, c.real)."
        raise ProblemError(source, None, problem, remedy)
    labels = [label.strip(" \n\t'\"") for label in found["labels"].split(",")]
    numbers = found["numbers"].split(",")
    if len(labels) != len(numbers):
        problem = f"there are {len(labels)} labels and {len(numbers)} coefficients"
        raise ProblemError(source, None, problem, "Print the operator again.")
    return [(label, number, None) for label, number in zip(labels, numbers, strict=True)]


def _of_brackets(text: str, source: str) -> list[Term]:
    """Return the terms of `0.5 [Z0 Z1] + 1.0 [X2]`, as OpenFermion and PennyLane print them."""
    terms: list[Term] = []
    text = text.rstrip()
    if text.endswith("+"):
        problem = "the last line ends with +, so that a term is missing: the text was cut"
        raise ProblemError(source, text.count("\n") + 1, problem, "Give the whole text.")
    place, counted, line = 0, 0, 1
    while place < len(text):
        found = _BRACKETS.match(text, place)
        start = place + len(text[place : place + 200]) - len(text[place : place + 200].lstrip("+- \t\n"))
        line, counted = line + text.count("\n", counted, start), start
        if found is None or not (_is_coefficient(found["number"]) and _is_word(found["word"])):
            excerpt = text[place : place + 200].strip("+ \t\n").split("\n")[0][:80]
            problem = f"{excerpt!r} is no term such as 0.5 [Z0 Z1]: the text may have been cut"
            raise ProblemError(source, line, problem, "Print the operator again.")
        if terms and not found["sign"]:
            raise ProblemError(source, line, "there is no + between two terms", "Print the operator again.")
        sign = "-" if found["sign"] == "-" else ""
        terms.append((found["word"] or "I", sign + found["number"].strip("()"), line))
        place = found.end()
    return with_labels(terms, source)


def _factors(label: str, line: int | None, source: str) -> dict[int, str]:
    word: dict[int, str] = {}
    for letter, qubit in _FACTOR.findall(label):
        if int(qubit) in word:
            raise ProblemError(source, line, f"{label[:80]!r} names qubit {qubit} twice", "Multiply the factors.")
        word[int(qubit)] = letter
    return word


def _is_sparse(label: str) -> bool:
    return any(letter.isdigit() for letter in label)


def _is_word(word: str) -> bool:
    return not word.strip() or _FACTORS.fullmatch(word.strip()) is not None


def _is_coefficient(word: str) -> bool:
    return _COMPLEX.fullmatch(re.sub(r"\s", "", word)) is not None
