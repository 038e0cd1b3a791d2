"""Folder of a run for a paper: its files belong together, claim no more than was shown, and compile."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.choices import Allocation
from hybridloop.algorithms.geometries import Geometry
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.data import load_table
from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.adapt import PoolName
from hybridloop.errors import InputError
from hybridloop.inputs.formats.energies import molecule_text, read_energy_problem
from hybridloop.reports.bundle.archive import read_bundle
from hybridloop.reports.content import report_content
from hybridloop.reports.paper.folder import write_paper
from hybridloop.reports.paper.latex import cell, escape
from hybridloop.reports.paper.methods import SELF, MethodsText
from hybridloop.runs.stored_run import StoredRun
from hybridloop.settings.energies import AnsatzName, GroupingName, MitigationName, OptimizerName
from tests.paths import DATA, ROOT

HOSTILE = r"50%_of $x$ & #1 {a}^b~c\input{/etc/passwd} [*] ⟨S²⟩ 日本 --"
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs,graphicx}
\begin{document}
\input{methods}
\input{table}
\includegraphics{figure}
\bibliographystyle{plain}
\bibliography{references}
\end{document}
"""
LATEX = shutil.which("pdflatex")


@pytest.mark.parametrize("kept", ["vqe", "scan", "qaoa"], indirect=True)
def test_the_files_of_a_folder_belong_together(kept: StoredRun, tmp_path: Path) -> None:
    names = write_paper(kept, tmp_path / "paper")
    folder, result = tmp_path / "paper", kept.result
    assert result is not None
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF")
    assert "</svg>" in (folder / "figure.svg").read_text()
    assert read_bundle(folder / f"{kept.record.key}.zip")[0].record.uid == kept.record.uid
    methods, table = (folder / "methods.tex").read_text(), (folder / "table.tex").read_text()
    cited = {key for keys in re.findall(r"\\cite{([^}]+)}", methods) for key in keys.split(",")}
    assert set(re.findall(r"^@\w+{(\w+),", (folder / "references.bib").read_text(), re.MULTILINE)) == cited
    assert SELF in cited
    assert methods.isascii()
    assert table.isascii()
    assert "no quantum computer" in methods  # it ran on the local service
    rows = list(csv.reader((folder / "table.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 1 + max(1, len(result.table) if kept.record.algorithm != "qaoa" else 1)
    number = next(place for place, name in enumerate(rows[0]) if name.startswith(("energy", "objective")))
    assert float(rows[1][number]) == result.value
    assert table.count(r"\pm") >= 2 * (len(rows) - 1)  # the value and its distance to the exact one


@pytest.mark.parametrize("kept", ["scan"], indirect=True)
def test_operators_beside_the_energy_have_a_table(kept: StoredRun, tmp_path: Path) -> None:
    assert kept.result is not None
    write_paper(kept, tmp_path / "paper")
    rows = list(csv.DictReader((tmp_path / "paper" / "observables.csv").read_text("utf-8").splitlines()))
    measured = [(row["point"], row["observable"], row["value"]) for row in kept.result.observables]
    assert [(row["point"], row["observable"], float(row["value"])) for row in rows] == measured
    assert (tmp_path / "paper" / "observables.tex").read_text().count(r"\pm") == len(rows) == 6
    shown = report_content(kept).observables
    assert shown is not None
    assert [row[:2] for row in shown.rows] == [(row["point"], row["observable"]) for row in rows]


@pytest.mark.parametrize("kept", ["scan"], indirect=True)
def test_the_table_of_a_scan_has_distances_units_and_errors(kept: StoredRun, tmp_path: Path) -> None:
    write_paper(kept, tmp_path / "paper")
    head, first, *_ = csv.reader((tmp_path / "paper" / "table.csv").read_text("utf-8").splitlines())
    assert head[:4] == ["H–H distance (Å)", "point", "energy (hartree)", "standard error (hartree)"]
    assert first[:2] == ["0.3", "h2-0.3"]
    assert "Marked: lowest point, 0.735" in (tmp_path / "paper" / "figure.svg").read_text()


def test_other_files_are_left_alone(vqe_run: StoredRun, tmp_path: Path) -> None:
    (tmp_path / "mine.tex").write_text("mine")
    with pytest.raises(InputError, match=r"--paper: .* has files, which stay as they are\. Give a new or empty folder"):
        write_paper(vqe_run, tmp_path)
    with pytest.raises(InputError, match="has files"):
        write_paper(vqe_run, tmp_path / "mine.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tex"]


@pytest.mark.parametrize("kept", ["stopped", "idled-ping"], indirect=True)
def test_a_run_without_a_value_has_no_paper(kept: StoredRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no result for a paper"):
        write_paper(kept, tmp_path / "paper")
    assert not (tmp_path / "paper").exists()


def test_convergence_is_claimed_only_where_it_was_shown(vqe_run: StoredRun) -> None:
    result = vqe_run.result
    assert result is not None
    assert "Convergence was shown: " in MethodsText(vqe_run, result).paragraph
    doubtful = replace(result, status="finished", reason=HOSTILE)
    told = MethodsText(vqe_run, doubtful).paragraph
    assert "Convergence was sought and not shown: " in told
    assert "Convergence was shown" not in told
    assert r"\input{/" not in told


def test_the_integrals_of_geometries_and_the_layers_of_a_circuit_are_told(vqe_run: StoredRun) -> None:
    result, record = vqe_run.result, vqe_run.record
    assert result is not None
    assert "PySCF" not in MethodsText(vqe_run, result).paragraph
    water = Geometry((("O", (0.0, 0.0, 0.0)),), "6-31g", -1, 9)
    molecule = read_energy_problem((DATA / "fcidump" / "H2O_0.9572.fcidump").read_text(), "h2")
    assert isinstance(molecule, Molecule)
    text = molecule_text(replace(molecule, geometry=water))
    settings = {**record.settings, "problem": {"name": "water", "text": text}}
    settings["settings"] = {**settings["settings"], "ansatz": "hardware-efficient", "layers": 2}
    told = MethodsText(replace(vqe_run, record=replace(record, settings=settings)), result).paragraph
    assert "The integrals in 6-31g, charge -1, multiplicity 1, were computed by PySCF~\\cite{pyscf2020}." in told
    assert "The circuit is hardware-efficient~\\cite{kandala2017}. The circuit has 2 layers." in told


@given(st.text())
def test_escaped_text_is_ascii_without_commands_of_its_own(text: str) -> None:
    escaped = escape(text)
    assert escaped.isascii()
    bare = re.sub(r"\\[{}$&#_%]", "", escaped)
    depth = [bare[:end].count("{") - bare[:end].count("}") for end in range(len(bare) + 1)]
    assert min(depth) == depth[-1] == 0
    assert not set(bare.replace("\\~ ", "")) & set("$&#%~")
    assert all(ord(character) >= 32 for character in escaped)


def test_cells_show_two_digits_of_the_error() -> None:
    assert cell(-1.1383074, 0.000685) == r"$-1.13831 \pm 0.00068$"
    cells = [cell(each) for each in (None, float("nan"), 0.735, [1, 1], "")]
    assert cells == ["--", "--", "$0.735$", "1, 1", "--"]


def test_every_method_that_can_be_chosen_has_its_sentence_and_its_references_exist() -> None:
    table = load_table("methods")
    for section, names in (
        ("algorithm", ALGORITHMS),
        ("ansatz", set(AnsatzName) - {"auto"}),
        ("pool", PoolName),
        ("optimizer", {*OptimizerName, "scipy"} - {"auto"}),
        ("grouping", set(GroupingName) - {"auto"}),
        ("mitigation", MitigationName),
        ("allocation", set(Allocation) - {"uniform"}),
    ):
        assert table[section].keys() >= set(names), section
    cited = {
        key for section in table if section != "references" for each in table[section].values() for key in each["cite"]
    }
    assert cited - {SELF} == table["references"].keys()
    for key, entry in table["references"].items():
        assert {"type", "author", "title", "year"} <= entry.keys(), key
        assert "doi" in entry or "eprint" in entry, key
        assert all(value.isascii() for value in entry.values()), key


@pytest.mark.skipif(LATEX is None, reason="no pdflatex is installed")
@pytest.mark.parametrize("kept", ["vqe", "scan", "qaoa"], indirect=True)
def test_a_document_with_the_files_compiles(kept: StoredRun, tmp_path: Path) -> None:
    assert kept.result is not None
    stored = {**(kept.record.result or {}), "problem": HOSTILE, "reason": HOSTILE, "warnings": [HOSTILE]}
    write_paper(replace(kept, record=replace(kept.record, result=stored)), tmp_path / "paper")
    (tmp_path / "paper" / "main.tex").write_text(DOCUMENT)
    latex = [str(LATEX), "-interaction=nonstopmode", "-halt-on-error", "main"]
    for command in (latex, ["bibtex", "main"], latex, latex):
        done = subprocess.run(command, cwd=tmp_path / "paper", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    assert "undefined" not in (tmp_path / "paper" / "main.log").read_text()


def test_the_citation_file_has_what_its_format_demands_and_the_package_s_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["cff-version"] == "1.2.0"
    assert cited["authors"] == project["authors"]  # an entity, no persons
    assert (str(cited["version"]), cited["license"]) == (project["version"], project["license"])
