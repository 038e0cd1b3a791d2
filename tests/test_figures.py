"""Figures of the source stay within bounds, and the count of circles finds one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import import_circles, source_figures
from tests.paths import ROOT

BOUNDS = {
    "words of the guides": 29_000,
    "files that name an algorithm": 9,
    "files in the fullest folder": 14,
    "circles of imports": 0,
}


def test_every_figure_of_the_source_is_within_its_bound() -> None:
    figures = source_figures()
    assert figures.keys() >= BOUNDS.keys()
    assert {name: figures[name] for name, bound in BOUNDS.items() if figures[name] > bound} == {}


def test_the_first_pages_are_short() -> None:
    pages = {path.name: len(path.read_text().split()) for path in (ROOT / "docs").glob("for-*.md")}
    assert len(pages) == 5
    assert {name: words for name, words in pages.items() if words > 400} == {}
    assert len((ROOT / "README.md").read_text().split()) <= 500


def test_a_circle_is_found_through_functions_but_not_through_imports_for_type_checkers(tmp_path: Path) -> None:
    texts = {
        "one": "import two",
        "two": "def f():\n    from three import x",
        "three": "import one",
        "above": "if TYPE_CHECKING:\n    import below",
        "below": "import above",
    }
    modules = {name: tmp_path / f"{name}.py" for name in texts}
    for name, text in texts.items():
        modules[name].write_text(text)
    assert import_circles(modules) == [{"one", "two", "three"}]
