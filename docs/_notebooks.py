"""Notebooks as pages of the site: their cells without outputs, and the file itself for download."""

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
    (_, first), *cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"]]
    title, _, rest = first.partition("\n")
    parts = [title, f"[This page as a notebook, to run it]({name}){{ download={name} }}", rest.strip()]
    parts += [f"```python\n{text}\n```" if kind == "code" else text for kind, text in cells]
    return "\n\n".join(filter(None, parts)) + "\n"
