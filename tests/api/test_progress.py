"""Progress in a notebook: one display that is updated, and the result as a table, with a real kernel."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import nbformat
import pytest

from hybridloop.api.progress import show_progress
from hybridloop.descriptions.levels import LEVELS
from hybridloop.local_stack import PrefectServer
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import answer, effort, heading
from hybridloop.results.summary import as_html
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator
from tests.notebook_helpers import ForkedNotebookClient
from tests.prefect_server import as_own_server
from tests.result_helpers import a_result, answered

ATTACK = "<script>alert('h2')</script>"


def test_all_foreign_text_in_a_result_is_escaped() -> None:
    row = dict.fromkeys(LEVELS.columns, ATTACK)
    texts: dict[str, Any] = {"problem": ATTACK, "target": ATTACK, "reason": ATTACK, "run_key": ATTACK}
    notes: dict[str, Any] = {"warnings": (ATTACK,), "choices": (f"{ATTACK}: {ATTACK}",)}
    shown = as_html(replace(answered(a_result(), table=(row,), **notes), algorithm="levels", **texts))
    assert "<script" not in shown
    cells = len(row) - 2  # no column has errors alone
    assert html.unescape(shown).count(ATTACK) == len(texts) + cells  # the warning in place of the reason


def test_a_result_is_printed_as_text_with_its_table() -> None:
    rows = [
        {**dict.fromkeys(LEVELS.columns), "level": n, "energy": -1.5 + n, "standard_error": n * 2e-3, "symmetry": n}
        for n in range(2)
    ]
    lines = replace(answered(a_result(), table=tuple(rows)), algorithm="levels").details().splitlines()
    assert lines[0] == heading(a_result())
    assert "  of         the ground state, the lowest of 2 levels" in lines
    head, ground, excited = (re.split(" {2,}", line.strip()) for line in lines[-3:])
    energies = ["level", "energy", "exact", "noise_bias", "excitation", "excitation_eV"]
    assert head == [*energies, "multiplicity", "electrons", "symmetry"]
    assert len(ground) == len(excited) == len(head)
    assert (ground[:2], ground[-1]) == (["0", "-1.500000"], "0")
    assert (excited[:2], excited[-1]) == (["1", "-0.5000 ± 0.0020"], "1")
    plain = a_result().details().splitlines()
    assert len(plain) == 1 + len([*answer(a_result()), *effort(a_result())])


@pytest.mark.slow
def test_a_run_in_a_notebook_updates_one_display_and_then_shows_its_result(
    emulator: Emulator, prefect_server: PrefectServer, stack_environ: Mapping[str, str], tmp_path: Any
) -> None:
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("import hybridloop as hl"),
            nbformat.v4.new_code_cell("result = hl.vqe('h2', seed=7)\nresult"),
            nbformat.v4.new_code_cell("print(type(result).__name__, result.status)"),
            nbformat.v4.new_code_cell(
                "print(f'{result.value:.6f} ± {result.standard_error:.6f} hartree')\nprint(result)"
            ),
        ]
    )
    environ = {
        **stack_environ,
        **as_own_server(prefect_server),
        "AZURE_QUANTUM_CONNECTION_STRING": connection_string(emulator.endpoint, emulator.api_key, "notebook"),
        "HYBRIDLOOP_JOURNAL": f"sqlite:///{tmp_path}/journal.db",
        "IPYTHONDIR": f"{tmp_path}/ipython",
        "PYTHONPATH": os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH")))),
    }
    updates: list[dict[str, Any]] = []

    class RecordingKernelClient(ForkedNotebookClient):
        def process_message(self, msg: dict[str, Any], cell: Any, index: int) -> Any:
            if msg["msg_type"] == "update_display_data":
                updates.append(msg["content"])
            return super().process_message(msg, cell, index)

    RecordingKernelClient(book).execute(env=environ)
    display, result = book.cells[1].outputs
    assert (display["output_type"], result["output_type"]) == ("display_data", "execute_result")
    assert "converged" in display["data"]["text/html"]  # the last update of the display
    energy, *lines = book.cells[3].outputs[0]["text"].splitlines()
    (error,) = [line.removeprefix("  error").strip() for line in lines if line.startswith("  error")]
    assert energy.startswith("-1.13")
    assert energy in display["data"]["text/plain"]
    assert len({update["transient"]["display_id"] for update in updates}) == 1
    assert len(updates) >= 1
    assert " mHa from the exact energy; within chemical accuracy" in error
    assert error in html.unescape(result["data"]["text/html"])
    assert book.cells[2].outputs[0]["text"] == "RunResult converged\n"
    assert [output.get("name") for cell in book.cells for output in cell.outputs].count("stderr") == 0


def test_outside_of_a_notebook_nothing_is_displayed(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("vqe", "h2", "here", None):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_result_has_the_same_facts_in_a_notebook_and_on_a_terminal() -> None:
    result: RunResult = a_result()
    assert result._repr_html_() == as_html(result)
