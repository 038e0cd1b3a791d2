"""Former names of built-in problems: new runs are refused, and stored runs are resumed with the same molecule."""

from __future__ import annotations

import pytest

from hybridloop.data import load_table
from hybridloop.errors import InputError
from hybridloop.flows.lifecycle.caller_context import CallerContext, caller_context
from hybridloop.flows.vqe import vqe
from hybridloop.local_stack import PrefectServer
from hybridloop.preparation import prepare
from hybridloop.preparation.checks import check_new_problem
from hybridloop.preparation.prepared import title_of
from hybridloop.settings import ProblemText, QaoaSettings, ScanSettings, VqeSettings
from hybridloop.settings.inputs import read_scan
from tests.conftest import Emulator
from tests.paths import DATA

LIH = ProblemText(name="lih")


@pytest.mark.slow
def test_a_stored_run_goes_on_and_a_new_one_is_refused(
    prefect_server: PrefectServer, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = VqeSettings(seed=7, target="ionq.simulator")
    with caller_context(CallerContext(emulator.workspace("former-name"))):
        with pytest.raises(InputError, match=r"Give lih-3.0-cas22 .* or lih-frozen-core"):
            vqe(LIH, settings, "former-name")
        with monkeypatch.context() as earlier:  # a version that had the name
            earlier.setattr("hybridloop.flows.lifecycle.run.check_new_problem", lambda *_: None)
            begun = vqe(LIH, settings.model_copy(update={"max_jobs": 1}), "former-name")
        ended = vqe(LIH, settings.model_copy(update={"max_jobs": 1000}), "former-name")
    assert (begun.status, ended.status, ended.resumed) == ("stopped", "converged", True)
    assert ended.problem == "lih"
    assert ended.problem_title.startswith("Lithium hydride stretched to 3.0 Å")
    assert ended.value == pytest.approx(load_table("problems")["lih-3.0-cas22"]["exact_energy"], abs=1.6e-3)


def test_a_scan_is_refused_for_one_of_its_points() -> None:
    with pytest.raises(InputError, match="lih-frozen-core"):
        check_new_problem("scan", read_scan(["h2", "lih"]))
    check_new_problem("vqe", ProblemText(name="lih", text="own"))


@pytest.mark.parametrize(
    ("algorithm", "problem", "settings", "title"),
    [
        ("vqe", ProblemText(name="h2"), VqeSettings(), "Hydrogen at 0.735 Å, 2 electrons in 2 orbitals"),
        (
            "vqe",
            ProblemText(name="h4"),
            VqeSettings(active_space=(2, 2)),
            "Hydrogen chain, 4 atoms 1.0 Å apart, 4 electrons in 4 orbitals; taken: 2 electrons in 2 orbitals",
        ),
        (
            "vqe",
            ProblemText(name="h4", text=(DATA / "H2_0.735.fcidump").read_text("utf-8")),
            VqeSettings(),
            "file or object: molecule of 2 electrons in 2 orbitals",
        ),
        (
            "vqe",
            ProblemText(name="a", text='{"terms": {"ZX": 1}}'),
            VqeSettings(),
            "file or object: Pauli sum on 2 qubits, terms: 1",
        ),
        (
            "qaoa",
            ProblemText(name="roads", text="a b\nb c\n"),
            QaoaSettings(),
            "file or object: max-cut of 3 variables",
        ),
        ("qaoa", ProblemText(name="petersen"), QaoaSettings(), load_table("binary_problems")["petersen"]["title"]),
        ("scan", read_scan(["h2", "h2-1.6"]), ScanSettings(), ""),
    ],
)
def test_a_title_says_what_the_problem_is(algorithm: str, problem: ProblemText, settings: object, title: str) -> None:
    facts = prepare(algorithm, problem, settings, seed=7).algorithm.facts
    assert title_of(algorithm, problem, facts) == title
