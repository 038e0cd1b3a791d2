"""Notebooks are stored with outputs, and print the same words when they run from top to bottom on a local service."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest

from docs._execute import printed
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator
from tests.long_form import IS_LONG, long_form
from tests.notebook_helpers import ForkedNotebookClient
from tests.paths import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
IN_EVERY_RUN = ("1-start", "4-failures", "5-cost", "7-languages")  # the others take as long again
RUN = [path for path in NOTEBOOKS if IS_LONG or path.stem in IN_EVERY_RUN]
PRINTED = {"7-languages": "equal counts: True"}  # what must be among the outputs
# what the product warns of; elsewhere of nothing
WARNED = {
    "2-with-an-account": "max_cost: ",
    "4-failures": "retried in",
    "5-cost": "the caps buy no round of the search",
    "6-dissociation-curve": "max_cost: ",
}
OF_THE_WORKSPACE = ("2-with-an-account",)  # it lists what the workspace has
WITH_AN_ACCOUNT = "2-with-an-account"  # the cells for an account, on a workspace of the local service


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_ran(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.cells[0].cell_type == "markdown"
    assert book.cells[0].source.startswith("# ")
    shown = [cell for cell in book.cells if cell.cell_type == "code"]
    assert shown
    assert [cell.execution_count for cell in shown] == list(range(1, len(shown) + 1))
    assert any(cell.outputs for cell in shown)
    assert not any(output.output_type == "error" for cell in shown for output in cell.outputs)
    assert not re.search(r"/(tmp|home|root|work)/", path.read_text("utf-8"))
    assert set(book.metadata) == {"kernelspec", "language_info"}


@pytest.mark.slow
@long_form
@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, emulator: Emulator, prefect_server: PrefectServer, stack_environ: Mapping[str, str], tmp_path: Path
) -> None:
    named = connection_string(emulator.endpoint, emulator.api_key, "account") if path.stem == WITH_AN_ACCOUNT else ""
    environ = {
        **stack_environ,
        "AZURE_QUANTUM_CONNECTION_STRING": named,
        "HYBRIDLOOP_JOURNAL": f"sqlite:///{tmp_path}/journal.db",
        "IPYTHONDIR": f"{tmp_path}/ipython",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    book = nbformat.read(path, as_version=4)
    stored = printed(book)
    folder = {"metadata": {"path": str(tmp_path)}}
    ForkedNotebookClient(book, resources=folder).execute(env=environ)
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    assert path.stem in OF_THE_WORKSPACE or printed(book) == stored
    assert PRINTED.get(path.stem, "") in "".join(output.get("text", "") for output in outputs)
    warnings = "".join(output.text for output in outputs if output.get("name") == "stderr")
    assert all(line.startswith("hybridloop: ") for line in warnings.splitlines()), warnings
    assert bool(warnings) == (path.stem in WARNED), warnings
    assert WARNED.get(path.stem, "") in warnings
