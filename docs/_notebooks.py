"""Notebooks as pages of the site: their cells with what they print, and the file itself for download."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, which can be downloaded there; mkdocs calls this after it has found all files."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = PurePosixPath(notebook.src_uri)
        written = page(notebook.content_string, path.name)
        files.append(File.generated(config, str(path.with_suffix(".md")), content=written))
    return files


def page(notebook: str, name: str) -> str:
    """Return a notebook as Markdown: a link to `name` after its title, code in fences. The first cell has the title."""
    first, *cells = json.loads(notebook)["cells"]
    title, _, rest = "".join(first["source"]).partition("\n")
    parts = [title, f"[This page as a notebook, to run it]({name}){{ download={name} }}", rest.strip()]
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
        printed = "".join(
            "".join(output["text"]) for output in cell.get("outputs", ()) if output.get("name") == "stdout"
        )
        parts.append(f"```text\n{printed.rstrip()}\n```" if printed.strip() else "")
    return "\n\n".join(filter(None, parts)) + "\n"
