"""Docstrings, messages and guides keep the rules of prose that a machine can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import pytest

from tests.paths import DOCS, ROOT

QUESTION = re.compile(r"(What|How|Whether|Who|Whose|Which|Where|When|Why)\b")
BANNED = (
    r"anew",
    r"whoever",
    r"whatever",
    r"whence",
    r"thereof",
    r"(go|goes|gone|going|went) on with",
    r"(is|are|was|were) to be",
    r"has to be an? ",
    r"be told",
    r"told apart",
    r"is told",
    r"without a word",
    r"nobody",
    r"lest",
    r"heed(s|ed)?",
    r"forbids? itself",
    r"of before",
)
BANNED_TEXT = re.compile(rf"\b({'|'.join(BANNED)})\b", re.IGNORECASE)
CODE = re.compile(r"```.*?```|`[^`]*`|<[^>]*>", re.DOTALL)

SOURCES = sorted(path for path in (ROOT / "hybridloop").rglob("*.py") if "versions" not in path.parts)
GUIDES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")])


@lru_cache(maxsize=1)
def _texts(path: Path) -> Sequence[tuple[int, str, bool]]:
    """Return the line and text of each docstring (True) and of each other string of several words (False)."""
    tree = ast.parse(path.read_text())
    docstrings = {
        statement.value
        for node in ast.walk(tree)
        if isinstance(body := getattr(node, "body", None), list)
        for statement in body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }
    return [
        (node.lineno, node.value, node in docstrings)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node in docstrings or " " in node.value.strip()
    ]


def _faults_of_docstrings(path: Path) -> Iterator[str]:
    for line, text, is_docstring in _texts(path):
        where = f"{path.relative_to(ROOT)}:{line}"
        if is_docstring and QUESTION.match(text):
            yield f"{where}: opens with a question word: {text.splitlines()[0]}"
        if is_docstring and len(text.split()) < 3:
            yield f"{where}: a docstring of under three words: {text}"
        if is_docstring:
            yield from _banned_words(where, text)


def _faults_of_messages(path: Path) -> Iterator[str]:
    for line, text, is_docstring in _texts(path):
        if not is_docstring:
            yield from _banned_words(f"{path.relative_to(ROOT)}:{line}", text)


def _banned_words(where: str, text: str) -> Iterator[str]:
    return (f"{where}: {word[0]!r} in {text[:90]!r}" for word in BANNED_TEXT.finditer(CODE.sub(" ", text)))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "hybridloop")))
def test_docstrings_and_messages_are_plain_english(path: Path) -> None:
    assert not [*_faults_of_docstrings(path), *_faults_of_messages(path)]


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "docs"])
def test_docstrings_outside_the_product_are_plain_english(folder: str) -> None:
    assert not [fault for path in sorted((ROOT / folder).rglob("*.py")) for fault in _faults_of_docstrings(path)]


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_guides_are_plain_english(path: Path) -> None:
    text = CODE.sub(lambda code: "\n" * code[0].count("\n"), path.read_text())
    assert not [
        f"{path.name}:{number}: {word[0]!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for word in BANNED_TEXT.finditer(line)
    ]
