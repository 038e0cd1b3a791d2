"""Claims and their tests: sentences of the README, rows of the guide to failures, invariants of CONTRIBUTING.

A test shows a claim by words of it: `@pytest.mark.claim("closes the session, also after an error")`. What has such a
marker is the first ring, which `make test` runs; `python -m tests.claims` prints the table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.paths import DOCS, ROOT

NO_PROMISE = (  # sentences of the README that no test can show: they lead elsewhere, or say what is needed
    "You need Linux or macOS",
    "Start at the page for you",
    "See the ",
    "Quick start, sessions",
    "Apache-2.0",
)
_SENTENCE_END = re.compile(r"(?<=\.)\s+(?=[A-Z`])")
_INVARIANT = re.compile(r"^\d+\. (.+?)(?=\n\d+\. |\n\n|\Z)", re.MULTILINE | re.DOTALL)


def claims() -> list[str]:
    """Return the texts of all claims, in the order of their documents."""
    readme = [each for each in sentences((ROOT / "README.md").read_text("utf-8")) if not each.startswith(NO_PROMISE)]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in _section(DOCS / "failures.md", "Overview")]
    invariants = _INVARIANT.findall("\n".join(_section(ROOT / "CONTRIBUTING.md", "Invariants")))
    return [_plain(each) for each in (*readme, *rows[3:], *invariants)]


def _section(page: Path, title: str) -> list[str]:
    """Return the lines of a page below a heading."""
    return page.read_text("utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0].rstrip().splitlines()


def sentences(page: str) -> list[str]:
    """Return the sentences of a page in Markdown: no headings, pictures and commands, but the comments beside these."""
    page = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    paragraphs = re.split(r"\n\s*\n", page)
    found: list[str] = []
    for paragraph in paragraphs:
        if paragraph.startswith("    "):
            found += [line.partition(" # ")[2].strip() for line in paragraph.splitlines() if " # " in line]
        elif not paragraph.startswith(("#", "![")):
            found += _SENTENCE_END.split(_plain(paragraph))
    return [each for each in found if each]


def _plain(text: str) -> str:
    """Return a text of Markdown on one line, without emphasis and the targets of links."""
    return " ".join(re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text).replace("**", "").split())


def marked() -> dict[str, list[str]]:
    """Return the tests that have a marker, as `path::name`, by the words in their markers."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in tree.body:
            name = node.name if isinstance(node, ast.FunctionDef) else "*"
            for words in _words(node):
                found.setdefault(words, []).append(f"{path.relative_to(ROOT / 'tests')}::{name}")
    return found


def _words(node: ast.AST) -> Iterator[str]:
    """Yield the arguments of the markers in a test's decorators, or in an assignment to `pytestmark`."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and ast.unparse(each.func) == "pytest.mark.claim":
            yield from (ast.literal_eval(argument) for argument in each.args)


def table() -> dict[str, list[str]]:
    """Return the tests of each claim. Raises ValueError for words that are not those of exactly one claim."""
    tests = {claim: list[str]() for claim in claims()}
    for words, names in marked().items():
        found = [claim for claim in tests if words in claim]
        if len(found) != 1:
            raise ValueError(f"{words!r} of {names} is in {len(found)} claims")
        tests[found[0]] += names
    return tests


if __name__ == "__main__":
    for claim, names in table().items():
        print(claim, *(f"    {name}" for name in dict.fromkeys(names)), sep="\n")
