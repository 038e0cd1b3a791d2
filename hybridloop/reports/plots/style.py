"""Style of plots: a colour-blind safe palette, and SVG for light and dark pages."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
WIDE = (7.0, 3.8)  # inches
_NUMBERED = re.compile(r"(?P<name>.*)[-_](?P<number>\d+(\.\d+)?)")
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, selectable, in the reader's font
    "font.size": 10,
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
_FONTS = re.compile(r"(font(?:-family)?:[^;\"]*?)'DejaVu Sans'[^;\"]*")
_ID = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r"(?<=[\"(])#([A-Za-z_][\w.-]*)(?=[\")])")
_OPENING = re.compile(r"<svg [^>]*?viewBox=\"(?P<box>[^\"]+)\"[^>]*>", re.DOTALL)


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
        with rc_context({**_RC, "svg.hashsalt": self.kind}):  # ids are reproducible and differ between pictures
            if self.figure.get_layout_engine() is not None:  # a second layout would move it a little
                self.figure.draw_without_rendering()
                self.figure.set_layout_engine("none")
            self.figure.savefig(file, format="svg", metadata={"Date": None})
        text = _FONTS.sub(r"\1system-ui, sans-serif", _METADATA.sub("", _PROLOGUE.sub("", file.getvalue())))
        text = _prefix_ids(text, self.kind)
        if themed:
            for colour, variable in VARIABLES.items():
                text = text.replace(colour, f"var({variable})")
        words = f'<title id="{self.kind}-title">{escape(self.title)}</title>'
        words += f'<desc id="{self.kind}-desc">{escape(self.description)}</desc>'
        opening = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
            f' aria-labelledby="{self.kind}-title" aria-describedby="{self.kind}-desc" viewBox="\\g<box>">'
        )
        return _OPENING.sub(lambda match: match.expand(opening) + words, text, count=1)


def _prefix_ids(text: str, kind: str) -> str:
    """Remove ids without references, and prefix the others with the kind, since a page has several pictures."""
    used = set(_REFERENCE.findall(text))
    text = _ID.sub(lambda match: f' id="{kind}-{match[1]}"' if match[1] in used else "", text)
    return _REFERENCE.sub(rf"#{kind}-\1", text)


def axes_of(title: str, size: tuple[float, float] = WIDE) -> tuple[Figure, Axes]:
    """Create a figure with one pair of axes in this style."""
    with rc_context(_RC):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def legend(axes: Axes, *, below: bool = False) -> None:
    """Add a legend, inside or below the axes, with each label once; none if nothing has a label."""
    entries: dict[str, Any] = {}
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        entries.setdefault(label, handle)
    if not entries:
        return
    contents = list(entries.values()), list(entries)
    with rc_context(_RC):
        if below:
            figure = axes.get_figure()
            assert figure is not None
            figure.legend(*contents, loc="outside lower center", ncols=4, frameon=False)
        else:
            axes.legend(*contents, framealpha=0.9)


def numeric_axis(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> tuple[str, list[float]] | None:
    """Return a numeric axis: the first numeric setting that varies, else the number at the end of problem names.

    >>> numeric_axis([{"problem": "h2-0.5"}, {"problem": "h2-0.735"}], ["problem"])
    ('number after h2', [0.5, 0.735])
    """
    for name in (setting for setting in varied if setting != "problem"):
        values = [row.get(name) for row in rows]
        numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) == len(rows) and len(set(numbers)) > 1:
            return name, numbers
    matches = [match for row in rows if (match := _NUMBERED.fullmatch(str(row["problem"])))]
    numbers = [float(match["number"]) for match in matches]
    if len(matches) == len(rows) and len(set(numbers)) > 1 and len({match["name"] for match in matches}) == 1:
        return f"number after {matches[0]['name']}", numbers
    return None
