"""How pictures look: colours that colour-blind people tell apart, and SVG that reads on light and dark pages."""

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

# M. Okabe and K. Ito, "Color Universal Design" (2008), beside ink and greys; each has a variable of its own on pages
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
    "text.parse_math": False,  # names come from files, and may have dollars in them
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
    """A figure with the words for those who do not see it: `description` tells what it shows, numbers and all."""

    kind: str
    title: str
    description: str
    figure: Figure

    def save(self, path: str) -> None:
        """Write it as a file of the kind that its name ends with; SVG has its title and description in it."""
        if path.lower().endswith(".svg"):
            Path(path).write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{self.svg()}', encoding="utf-8")
        else:
            self.figure.savefig(path)

    def svg(self, *, themed: bool = False) -> str:
        """One <svg> element with its title and description; `themed` takes the colours of the page it stands in."""
        file = io.StringIO()
        with rc_context({**_RC, "svg.hashsalt": self.kind}):  # ids are the picture's own, and the same every time
            if self.figure.get_layout_engine() is not None:  # laid out anew each time, it would move a little
                self.figure.draw_without_rendering()
                self.figure.set_layout_engine("none")
            self.figure.savefig(file, format="svg", metadata={"Date": None})
        text = _FONTS.sub(r"\1system-ui, sans-serif", _METADATA.sub("", _PROLOGUE.sub("", file.getvalue())))
        text = _own_ids(text, self.kind)
        if themed:
            for colour, variable in VARIABLES.items():
                text = text.replace(colour, f"var({variable})")
        told = f'<title id="{self.kind}-title">{escape(self.title)}</title>'
        told += f'<desc id="{self.kind}-desc">{escape(self.description)}</desc>'
        opening = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
            f' aria-labelledby="{self.kind}-title" aria-describedby="{self.kind}-desc" viewBox="\\g<box>">'
        )
        return _OPENING.sub(lambda match: match.expand(opening) + told, text, count=1)


def _own_ids(text: str, kind: str) -> str:
    """Ids only where something refers to them, each with the picture's kind: several stand on one page."""
    needed = set(_REFERENCE.findall(text))
    text = _ID.sub(lambda match: f' id="{kind}-{match[1]}"' if match[1] in needed else "", text)
    return _REFERENCE.sub(rf"#{kind}-\1", text)


def axes_of(title: str, size: tuple[float, float] = WIDE) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, in our style."""
    with rc_context(_RC):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def legend(axes: Axes, *, below: bool = False) -> None:
    """A legend, inside or below the axes, where anything has a label."""
    if not axes.get_legend_handles_labels()[0]:
        return
    with rc_context(_RC):
        if below:
            axes.get_figure().legend(loc="outside lower center", ncols=4, frameon=False)  # type: ignore[union-attr]  # it has one
        else:
            axes.legend(framealpha=0.9)


def axis_of(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> tuple[str, list[float]] | None:
    """What to draw values over: the first setting that is a number, else the number that ends the problems' names.

    >>> axis_of([{"problem": "h2-0.5"}, {"problem": "h2-0.735"}], ["problem"])
    ('number after h2', [0.5, 0.735])
    """
    for name in (each for each in varied if each != "problem"):
        values = [row.get(name) for row in rows]
        numbers = [float(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
        if len(numbers) == len(rows) and len(set(numbers)) > 1:
            return name, numbers
    found = [match for row in rows if (match := _NUMBERED.fullmatch(str(row["problem"])))]
    ends = [float(match["number"]) for match in found]
    if len(found) == len(rows) and len(set(ends)) > 1 and len({match["name"] for match in found}) == 1:
        return f"number after {found[0]['name']}", ends
    return None
