"""Style of plots: a colour-blind safe palette, and SVG for light and dark pages."""

from __future__ import annotations

import io
import itertools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from hybridloop.runtime.escaping import escape_control, escape_html

# M. Okabe and K. Ito, "Color Universal Design" (2008), with ink and greys; each has a CSS variable on pages
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#c65102", "#007d5a", "#a8487f"
INK, MUTED, GRID, PAPER = "#1b1f24", "#59636e", "#d1d9e0", "#fefefe"
VARIABLES = {
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    PURPLE: "--purple",
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
}
_LETTERS, _HANDLE = 68, 5  # of a legend's line, and of a line or marker in it
_TITLE = 52  # letters of a line above the axes
WIDE = (5.4, 3.6)  # inches: letters are readable on a phone, and not too large on a desktop
RC: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, selectable, in the reader's font
    "pdf.fonttype": 42,  # TrueType, as journals ask for
    "font.size": 11,
    "text.parse_math": False,  # names come from files and may contain dollars
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.titlesize": "medium",
    "figure.facecolor": PAPER,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.facecolor": PAPER,
    "legend.edgecolor": GRID,
    "legend.fontsize": "small",
}
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
_FONTS = re.compile(r"(font(?:-family)?:[^;\"<]*?)'DejaVu Sans'[^;\"<]*")
_ID = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r"(?<=[\"(])#([A-Za-z_][\w.-]*)(?=[\")])")
_HOVER = re.compile(r'(<g id="(?P<id>hover-\d+)">)')
_OPENING = re.compile(r"<svg [^>]*?viewBox=\"(?P<box>[^\"]+)\"[^>]*>", re.DOTALL)


class ShownFigure(Figure):
    """A figure that notebooks show also where nothing has loaded matplotlib's own display before."""

    def draw(self, renderer: Any) -> None:
        """Draw it, with each text as it is: ticks and notes are made outside of the style, some of them here."""
        for text in self.findobj(Text):
            text.set_parse_math(False)
        with rc_context({"text.parse_math": False}):
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A figure with a title, and a description of its content, with numbers, for those who do not see it."""

    kind: str
    title: str
    description: str
    figure: Figure

    def save(self, path: str) -> None:
        """Write a file in the format of its suffix; an SVG contains the title and description."""
        if path.lower().endswith(".svg"):
            Path(path).write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{self.svg()}', encoding="utf-8")
        else:
            self.figure.savefig(path)

    def svg(self, *, themed: bool = False) -> str:
        """Return an <svg> element with title and description; `themed`: with the page's CSS variables as colours."""
        file = io.StringIO()
        with rc_context({**RC, "svg.hashsalt": self.kind}):  # ids are reproducible and differ between pictures
            if self.figure.get_layout_engine() is not None:  # a second layout would move it a little
                self.figure.draw_without_rendering()
                self.figure.set_layout_engine("none")
            self.figure.savefig(file, format="svg", metadata={"Date": None})
        text = self._with_hover_titles(file.getvalue())
        text = _FONTS.sub(r"\1system-ui, sans-serif", _METADATA.sub("", _PROLOGUE.sub("", text)))
        text = _prefix_ids(text, self.kind)
        if themed:
            for colour, variable in VARIABLES.items():
                text = text.replace(colour, f"var({variable})")
        words = f'<title id="{self.kind}-title">{escape_html(self.title)}</title>'
        words += f'<desc id="{self.kind}-desc">{escape_html(self.description)}</desc>'
        opening = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
            f' aria-labelledby="{self.kind}-title" aria-describedby="{self.kind}-desc" viewBox="\\g<box>">'
        )
        return escape_control(_OPENING.sub(lambda match: match.expand(opening) + words, text, count=1))

    def _with_hover_titles(self, text: str) -> str:
        """Return the SVG with the texts of `hover` as titles, which browsers show under the pointer."""
        marks = self.figure.findobj(lambda artist: (artist.get_gid() or "").startswith("hover-"))
        words = {str(mark.get_gid()): str(mark.get_label())[1:] for mark in marks}
        return _HOVER.sub(lambda match: f"{match[1]}<title>{escape_html(words[match['id']])}</title>", text)


def _prefix_ids(text: str, kind: str) -> str:
    """Remove ids without references, and prefix the others with the kind, since a page has several pictures."""
    used = set(_REFERENCE.findall(text))
    text = _ID.sub(lambda match: f' id="{kind}-{match[1]}"' if match[1] in used else "", text)
    return _REFERENCE.sub(rf"#{kind}-\1", text)


def axes_of(title: str, size: tuple[float, float] = WIDE) -> tuple[Figure, Axes]:
    """Create a figure with one pair of axes in this style."""
    with rc_context(RC):
        figure = ShownFigure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(textwrap.fill(title, _TITLE))
        axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def hover(axes: Axes, x: Sequence[float], y: Sequence[float], texts: Sequence[str]) -> None:
    """Give each point a text, which an SVG shows under the pointer; it is not drawn."""
    before = sum(str(line.get_gid()).startswith("hover-") for line in axes.lines)
    for number, (at, value, text) in enumerate(zip(x, y, texts, strict=True), start=before):
        (mark,) = axes.plot([at], [value], "o", color=PAPER, alpha=0.0, markersize=12, label=f"_{text}")
        mark.set_gid(f"hover-{number}")


def legend(axes: Axes, *, below: bool = False) -> None:
    """Add a legend, inside or below the axes, with each label once; none if nothing has a label."""
    entries: dict[str, Any] = {}
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        entries.setdefault(label, handle)
    if not entries:
        return
    contents = list(entries.values()), list(entries)
    with rc_context(RC):
        if below:
            figure = axes.get_figure()
            assert figure is not None
            figure.legend(*contents, loc="outside lower center", ncols=_columns(list(entries)), frameon=False)
        else:
            axes.legend(*contents, framealpha=0.9)


def _columns(labels: Sequence[str]) -> int:
    """Return the largest number of columns, four at most, in which a legend fits below a figure."""
    for number in (4, 3, 2):
        long, rest = divmod(len(labels), number)
        ends = [0, *itertools.accumulate(long + (column < rest) for column in range(number))]
        columns = [labels[first:end] for first, end in itertools.pairwise(ends) if end > first]
        if sum(max(map(len, column)) + _HANDLE for column in columns) <= _LETTERS:
            return number
    return 1
