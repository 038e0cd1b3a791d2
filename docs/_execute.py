"""Run the notebooks from top to bottom on a local stack of their own, and store them with what they print and show.

Usage: python -m docs._execute [NAME …]
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).parent / "notebooks"
_KEPT = ("text/html", "image/svg+xml", "image/png")  # what a page shows in place of text
# what differs from run to run: ids, ports, times, keys that are drawn
_DRAWN = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8,12}\b|127\.0\.0\.1:\d+")


def without_noise(book: Any) -> Any:
    """Return the notebook with outputs that any run of it could have: no metadata, no drawn id, one output a stream."""
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata = {}
        for output in cell.outputs:
            output.pop("metadata", None) if output.output_type == "stream" else output.update(metadata={})
            if "data" in output:
                shown = {kind: output.data[kind] for kind in _KEPT if kind in output.data}
                output.data = shown or {"text/plain": output.data["text/plain"]}
    return book


def printed(book: Any) -> list[set[str]]:
    """Return the lines that each code cell prints, without numbers and drawn ids: the words of a claim, as `converged`.

    Rows of a table that differ in their numbers alone are one: without a seed their number differs.
    """
    cells = [cell.outputs for cell in book.cells if cell.cell_type == "code"]
    texts = ["".join(output.text for output in outputs if output.get("name") == "stdout") for outputs in cells]
    return [set(re.sub(r"[-+]?[\d.,]*\d", "#", _DRAWN.sub("#", text)).splitlines()) for text in texts]


def main(names: list[str]) -> None:
    """Run the notebooks of these names, or all."""
    from nbclient import NotebookClient

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            book = nbformat.read(path, as_version=4)
            environ = {**os.environ, "IPYTHONDIR": f"{folder}/ipython"}
            NotebookClient(book, kernel_name="python3", resources={"metadata": {"path": folder}}).execute(env=environ)
        nbformat.write(without_noise(book), path)
        print(path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
