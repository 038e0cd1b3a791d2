"""LaTeX of a paper's folder: escaped text in ASCII, numbers with uncertainties, a booktabs table, BibTeX entries."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

from hybridloop.results.result_text import measured_text

_ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327", "`'^~\"rvc", strict=True))
_WORDS = {
    **{each: f"\\{each}" for each in "$&#_%"},
    **{"{": r"\textbraceleft{}", "}": r"\textbraceright{}"},  # BibTeX counts `\{`, too
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": "{`}", '"': "''"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "*": "{*}", "[": "{[}", "]": "{]}"},
    **{"±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}", "·": r"\ensuremath{\cdot}", "−": r"\ensuremath{-}"},
    **{"²": r"\ensuremath{^2}", "³": r"\ensuremath{^3}", "⟨": r"\ensuremath{\langle}", "⟩": r"\ensuremath{\rangle}"},
    **{"°": r"\ensuremath{^\circ}", "→": r"\ensuremath{\to}", "π": r"\ensuremath{\pi}", "θ": r"\ensuremath{\theta}"},
    **{
        "–": r"\textendash{}",
        "—": r"\textemdash{}",
        "’": "'",
        "…": r"\dots{}",
        "ß": r"{\ss}",
        "ø": r"{\o}",
        "Ø": r"{\O}",
    },
}


def escape(text: str) -> str:
    """Return text as LaTeX in ASCII, in which no character is a command; an unknown character is its code point.

    >>> escape("50% of H–H (Å)")
    '50\\\\% of H\\\\textendash{}H ({\\\\r A})'
    """
    return "".join(map(_escaped, " ".join(text.split()))).replace("--", "-{-}")


def _escaped(character: str) -> str:
    if character in _WORDS or (character.isascii() and character.isprintable()):
        return _WORDS.get(character, character)
    base, *marks = list(unicodedata.normalize("NFD", character))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        return f"{{\\{_ACCENTS[marks[0]]} {base}}}"
    return f"{{[}}U+{ord(character):04X}{{]}}"


def cell(value: object, error: float | None = None) -> str:
    """Return a table's cell: a number in mathematics, with two digits of its error; other values as text."""
    match value:
        case None | "":
            return "--"
        case bool():
            return "yes" if value else "no"
        case float() if not math.isfinite(value):
            return "--"
        case float() if error:
            return f"${measured_text(value, error).replace('±', chr(92) + 'pm')}$"
        case float():
            shown = f"{value:g}" if value == round(value, 4) or abs(value) < 1e-4 else f"{value:.6f}"
            digits, _, power = shown.partition("e")
            return f"${digits} \\times 10^{{{int(power)}}}$" if power else f"${digits}$"
        case int():
            return f"${value}$"
        case list() | tuple():
            return escape(", ".join(map(str, value)))
    return escape(str(value))


def _as_label(text: str) -> str:
    """Return text as a label: LaTeX takes these characters as they are."""
    return re.sub(r"[^A-Za-z0-9:.-]", "-", text)


def table(caption: str, label: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of the package booktabs; the cells are LaTeX, the caption and headings are text."""
    lines = [" & ".join(row) + r" \\" for row in rows]
    head = " & ".join(map(escape, headings)) + r" \\"
    opening = [r"% \usepackage{booktabs,graphicx}", r"\begin{table}", r"\centering", rf"\caption{{{escape(caption)}}}"]
    begin = [
        rf"\label{{{_as_label(label)}}}",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{{'l' * len(headings)}}}",
    ]
    body = [r"\toprule", head, r"\midrule", *lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    return "\n".join([*opening, *begin, *body]) + "\n"


def bibtex(key: str, entry: Mapping[str, str]) -> str:
    """Return a BibTeX entry, whose values are LaTeX already."""
    fields = "".join(f"  {name} = {{{value}}},\n" for name, value in entry.items() if name != "type")
    return f"@{entry['type']}{{{key},\n{fields}}}\n"
