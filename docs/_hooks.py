"""The reference of public names, generated when the site is built, and what the theme lacks."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import hybridloop

_FILE = re.compile(r"^(```[a-z]+) ([a-z]+\.[a-z]+)$", re.MULTILINE)
_SEARCH = 'data-md-component="search" role="dialog"'
_RESULTS = (
    "hybridloop.results.result.RunResult",
    "hybridloop.algorithms.outcome.Outcome",
    "hybridloop.algorithms.outcome.RoundProgress",
)
_SESSION = "hybridloop.tasks.session.OpenSession"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated page; mkdocs calls this after it has found all others."""
    files.append(File.generated(config, "reference/python.md", content=python()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn the file name of a code block, as in "```yaml curve.yaml", into the block's title."""
    return _FILE.sub(r'\1 title="\2"', markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Give the theme's search dialog a name for screen readers."""
    return output.replace(_SEARCH, f'{_SEARCH} aria-label="Search"')


def python() -> str:
    """Return the page of the public names, results and sessions."""
    functions = [getattr(hybridloop, name) for name in hybridloop.__all__ if not name.startswith("_")]
    parts = [
        "# Python",
        "All names are in `import hybridloop as hl`. A name is loaded when it is first used.",
        *(f"::: {each.__module__}.{each.__qualname__}" for each in functions),
        "## Results",
        *(_documented(path) for path in _RESULTS),
        "## Session",
        _documented(_SESSION),
    ]
    return "\n\n".join(parts) + "\n"


def _documented(path: str) -> str:
    return f"::: {path}\n    options:\n      heading_level: 3"
