"""Foreign text is escaped by one function for each destination, and each writer uses it."""

from __future__ import annotations

import csv
import io
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.azure.redaction import foreign_text
from hybridloop.reports.paper.latex import bibtex, escape
from hybridloop.reports.plots.style import Picture, axes_of
from hybridloop.runtime.escaping import csv_text, escape_html, escape_line, escape_markdown, spreadsheet_cell
from hybridloop.runtime.messages import EscapedFormatter
from hybridloop.runtime.text_table import facts_as_html, format_cell
from hybridloop.settings import ProblemText
from tests.paths import ROOT

LIE = "h2\n  s-2  converged  -1.137"
ESCAPE = "\x1b]0;other title\x07"


@given(st.text())
def test_a_line_stays_one(text: str) -> None:
    assert len(escape_line(text).splitlines()) <= 1


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=3))
def test_no_cell_of_a_spreadsheet_is_a_formula(rows: list[list[str]]) -> None:
    table = list(csv.reader(io.StringIO(csv_text(["=1+2", "\n=1"], rows), newline="")))
    assert len(table) == 1 + len(rows)
    cells = [cell for row in table for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "\t", "\r", "\n", "＝"))]


@pytest.mark.parametrize("text", ["-inf", "+nan", "-x", "\n=1", "＝1+1", "=cmd|' /C calc'!A0"])
def test_what_begins_like_a_formula_is_text(text: str) -> None:
    assert str(spreadsheet_cell(text)).startswith("'")


@pytest.mark.parametrize("value", [-1.13, "-1.13", "-0.5 1.0", None, "h2"])
def test_numbers_stay_numbers(value: object) -> None:
    assert spreadsheet_cell(value) == value


@pytest.mark.parametrize("text", ["![x](https://a.example/p)", "[sign in](http://a)", "<script>", "www.a.example"])
def test_markdown_has_no_link_picture_or_element(text: str) -> None:
    escaped = escape_markdown(text)
    assert re.search(r"(?<!\\)[\[\]<>!()]|(?<!\\)://|www(?<!\\)\.", escaped) is None


def test_values_of_one_line_can_not_forge_another() -> None:
    assert "\n" not in ProblemText(name=LIE).name
    assert "\n" not in format_cell(LIE)
    assert "\n" not in foreign_text("boom\nhybridloop: run night ended as converged", 200)


def test_html_and_log_lines_have_no_control_characters() -> None:
    assert "\x1b" not in escape_html(ESCAPE) + facts_as_html(ESCAPE, [(ESCAPE, ESCAPE)])
    record = logging.LogRecord("a", logging.WARNING, "", 0, "flow run %s", (ESCAPE,), None)
    assert "\x1b" not in EscapedFormatter("%(message)s").format(record)


@pytest.mark.parametrize("title", ["font:'DejaVu Sans' x", "x\x1b[2J", "a <b> & 'c'"])
def test_any_title_leaves_a_picture_well_formed(title: str) -> None:
    from xml.etree import ElementTree

    figure, _ = axes_of("plain", (2.0, 1.0))
    ElementTree.fromstring(Picture("plain", title, title, figure).svg())


def test_dollars_of_a_name_are_no_mathematics_wherever_a_picture_has_it() -> None:
    figure, axes = axes_of("a$\\frac$", (3.0, 2.0))
    axes.plot([0, 1], [0, 1], label="b$\\frac$")
    axes.set_xticks([0, 1], ["c$\\frac$", "$x$"])
    axes.annotate("d$\\frac$", (0, 0))
    axes.legend()
    svg = Picture("plain", "a", "b", figure).svg()
    assert all(f"{letter}$\\frac$" in svg for letter in "abcd")
    assert "$x$" in svg
    assert figure._repr_png_()  # type: ignore[attr-defined]


def test_a_brace_of_others_leaves_the_braces_of_bibtex_in_pairs() -> None:
    entry = bibtex("x", {"type": "misc", "note": escape("version 1{ }} \\input{/etc/passwd}")})
    assert entry.count("{") == entry.count("}")
    assert r"\input" not in entry


def test_no_other_function_escapes() -> None:
    allowed = {"runtime/escaping.py"}
    for path in (ROOT / "hybridloop").rglob("*.py"):
        name = path.relative_to(ROOT / "hybridloop").as_posix()
        if name not in allowed and not name.startswith("emulator/"):  # which imports nothing of the others
            text = path.read_text(encoding="utf-8")
            assert re.search(r"html\.escape|saxutils|from html import", text) is None, name
