"""Figures of the source stay within bounds, and the count of circles finds one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import import_circles, imports_by_module, parameters_by_function, source_figures
from tests.paths import ROOT

BOUNDS = {
    "words of the guides": 28_600,
    "files that name an algorithm": 9,
    "circles of imports": 0,
}


WAY = {"functions that --shots passes": 80, "steps between their modules": 53, "steps back": 14}
MOST_IMPORTS, MOST_PARAMETERS = 20, 8
HUBS = {  # modules that may import more of ours, and why
    "hybridloop.emulator.server": "it puts the service together",
    "hybridloop.tasks.session": "the members of the public session are one part of it each",
}
LISTS = {  # functions that may have more parameters
    "hybridloop.journal.journal:begin_round": "the columns of a round, written at once",
}


def test_no_module_is_a_hub_but_the_named() -> None:
    imports = {name: number for name, number in imports_by_module(ROOT).items() if number > MOST_IMPORTS}
    assert imports.keys() == HUBS.keys()


def test_no_function_takes_more_than_eight_parameters_but_commands_and_the_named() -> None:
    found = {name for name, number in parameters_by_function(ROOT).items() if number > MOST_PARAMETERS}
    assert {name for name in found if not name.startswith("hybridloop.cli.commands.")} == LISTS.keys()


def test_every_figure_of_the_source_is_within_its_bound() -> None:
    figures = source_figures(ROOT)
    assert figures.keys() >= BOUNDS.keys()
    assert {name: figures[name] for name, bound in BOUNDS.items() if figures[name] > bound} == {}


@pytest.mark.slow
def test_the_way_of_the_shots_is_within_its_bounds() -> None:
    printed = subprocess.run([sys.executable, "-m", "benchmarks.figures"], cwd=ROOT, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    figures = dict(re.findall(r"^(.+?) {2,}([\d,]+)$", printed.stdout, re.MULTILINE))
    assert {name: int(figures[name]) <= bound for name, bound in WAY.items()} == dict.fromkeys(WAY, True)


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
