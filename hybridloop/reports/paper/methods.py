"""Methods paragraph of a run in LaTeX, and the references that it cites; see `data/methods.json`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hybridloop.algorithms.choices import OF_ORBITALS, OF_SYMMETRY
from hybridloop.algorithms.facts import SYMMETRY_CONSERVED
from hybridloop.algorithms.geometries import Geometry
from hybridloop.compiler.stored_gates import stored_gate_counts
from hybridloop.data import load_table
from hybridloop.descriptions import ALGORITHMS, Subject, Value
from hybridloop.inputs.formats.energies import geometry_of
from hybridloop.journal import RoundRecord
from hybridloop.journal.provenance import REVISION
from hybridloop.preparation.checks import points_of_scan
from hybridloop.reports.paper.latex import bibtex, escape
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import amounts_text
from hybridloop.runs.recorded import GROUPINGS
from hybridloop.runs.stored_run import StoredRun
from hybridloop.runtime.text_table import count_text
from hybridloop.settings import ProblemText
from hybridloop.settings.parsing import AUTO_SPACE
from hybridloop.targets import recorded_target

_NAME = re.compile(r"[, ].*", re.DOTALL)  # what follows it
_SENTENCE = re.compile(r"(?<=[.])\s+")
_ADVICE = re.compile(r"(Add|Choose|Give|Raise|Run|See|Set|Start|Take|Try|Use|To) ")
_MAPPINGS = {"parity": "parity", "jordan-wigner": "Jordan-Wigner"}
SELF = "hybridloop"  # key of the entry of this software


def _means(geometry: Geometry) -> str:
    """Return what a geometry's integrals depend on beside its atoms, as the middle of a sentence."""
    potential = f" with the effective core potential {geometry.potential}" if geometry.potential else ""
    return f"{geometry.basis}{potential}, charge {geometry.charge}, multiplicity {geometry.multiplicity},"


def _space(space: object) -> str:
    """Return how the settings chose the active orbitals."""
    size = str(space) if isinstance(space, str) else ",".join(map(str, space)) if isinstance(space, Sequence) else ""
    if size.startswith(OF_ORBITALS):
        return f"The active space has the Hartree-Fock orbitals {size.removeprefix(OF_ORBITALS).replace(',', ', ')}"
    if size.startswith(OF_SYMMETRY):
        counts = size.removeprefix(OF_SYMMETRY).replace(":", " (").replace(",", "), ")
        return f"The active space has, of each symmetry, the orbitals nearest to the gap: {counts})"
    name, _, number = size.partition(":")
    electrons, _, orbitals = (number or name).partition(",")
    of = f" of {electrons} electrons in {orbitals} orbitals" if orbitals else ""
    if name == AUTO_SPACE:
        return f"The active space{of} has the natural orbitals of MP2 whose occupation is farthest from 2 and 0"
    return f"The active space{of} is around the highest occupied orbital of Hartree-Fock"


def _without_advice(text: str) -> str:
    """Return a reason or a warning without what it advises the user to do next, and without its full stop."""
    sentences = [each for each in _SENTENCE.split(text) if not _ADVICE.match(each) and "--" not in each]
    clauses = [each for each in " ".join(sentences).split("; ") if not each.startswith("to extend it")]
    return "; ".join(clauses).rstrip(". ")


class MethodsText:
    """Sentences of what a run did, each with its citations, and the keys of all that were cited."""

    def __init__(self, run: StoredRun, result: RunResult) -> None:
        self._run, self._result = run, result
        self._table: Mapping[str, Mapping[str, Any]] = load_table("methods")
        self.cited: dict[str, None] = {}
        settings = run.settings.model_dump(mode="json")
        self.paragraph = " ".join((*self._methods(settings), *self._execution(), *self._claims())) + "\n"

    def bibliography(self) -> str:
        """Return the cited references as a BibTeX file."""
        versions = self._run.record.versions
        own = {
            "type": "misc",
            "author": "{The hybridloop authors}",
            "title": "hybridloop: hybrid quantum algorithms on {Azure Quantum} sessions, run as {Prefect} flows",
            "note": escape(f"Version {versions.get(SELF, 'unknown')}, revision {versions.get(REVISION, 'unknown')}"),
        }
        entries = {**self._table["references"], SELF: own}
        return "\n".join(bibtex(key, entries[key]) for key in self.cited)

    def _cite(self, keys: Sequence[str]) -> str:
        self.cited |= dict.fromkeys(keys)
        return f"~\\cite{{{','.join(keys)}}}" if keys else ""

    def _sentence(self, section: str, name: str, before: str = "", after: str = ".") -> Iterator[str]:
        """Yield the sentence of a method by its name, without one for names that the table does not have."""
        if (entry := self._table[section].get(name)) is not None:
            yield f"{escape(before + entry['text'])}{self._cite(entry['cite'])}{after}"

    def _methods(self, settings: Mapping[str, Any]) -> Iterator[str]:
        result, record = self._result, self._run.record
        title = f"{result.problem} ({result.problem_title})" if result.problem_title else result.problem
        subject = f"The problem is {title}; it was treated by "
        known = [*self._sentence("algorithm", result.algorithm, subject)]
        yield from known or [escape(f"{subject}{ALGORITHMS[result.algorithm].title}.")]
        yield from self._integrals()
        # what was chosen automatically stands in the choices, of a scan in those of its points
        told = [*result.choices, *(str(each) for row in result.table for each in row.get("choices") or ())]
        chosen = {name: text for name, _, text in (each.partition(": ") for each in reversed(told))}
        ansatz, optimizer = str(settings.get("ansatz", "")), str(settings.get("optimizer", ""))
        if ansatz == "auto":  # UCCSD may be no choice; a Pauli sum's levels have no circuit
            ansatz = _NAME.sub("", chosen.get("circuit", "uccsd" if result.unit == "hartree" else ""))
        if ansatz:
            yield from [*self._sentence("ansatz", ansatz)] or ["The circuit was given by the authors."]
        for source in self._table["orbitals"]:
            if chosen.get("orbitals", "").startswith(source):
                yield from self._sentence("orbitals", source)
        layers = len(result.parameters) // 2 if settings.get("extend_to") else settings.get("layers")
        if layers:
            yield f"The circuit has {count_text(layers, 'layer')}."
        pool = str(settings.get("pool", ""))
        yield from self._sentence("pool", pool)
        if settings.get("mapping") and result.unit == "hartree" and ansatz != "puccd":
            mapping = "jordan-wigner" if ansatz == "grown" or pool == "coupled" else settings["mapping"]
            yield escape(f"Spin orbitals are mapped to qubits by the {_MAPPINGS[mapping]} transformation.")
        if optimizer == "auto":
            optimizer = chosen.get("optimizer", "").partition(", as")[0].rpartition(" ")[2]
        if any(progress.phase == "search" for progress in result.history):
            yield from self._sentence("optimizer", optimizer.partition(":")[0])
        elif "search" in chosen:
            yield escape(f"Search: {chosen['search']}.")
        if result.value_name == Value.ENERGY:
            grouped = record.versions.get(GROUPINGS) or str(settings.get("grouping", ""))
            groups = Counter(each.partition(" ")[0] for each in grouped.split(", "))
            for name, number in groups.items():
                where = f" at {number} of {groups.total()} points." if len(groups) > 1 else "."
                yield from self._sentence("grouping", name, after=where)
        is_of_levels = bool(result.table) and "level" in result.table[0]  # whose matrix has shots of its own
        if any(fact.name == SYMMETRY_CONSERVED for fact in result.facts):
            yield from self._sentence("mitigation", "symmetry")
        for name in (*(settings.get("mitigation") or ()), "" if is_of_levels else settings.get("allocation") or ""):
            yield from self._sentence("mitigation" if name in self._table["mitigation"] else "allocation", name)
        if "distance" in result.curve:
            yield from self._sentence("fit", "curve")
        is_about_mass = any("mass" in str(row["observable"]) for row in result.observables)
        if is_about_mass or result.curve.get("wavenumber") is not None:
            yield "Masses are those of the most common isotopes, for centres of mass and vibrations."

    def _integrals(self) -> Iterator[str]:
        """Yield how the integrals of each molecule can be computed again: basis set, charge, atoms, orbitals taken."""
        problem = ProblemText.model_validate(self._run.record.settings["problem"])
        is_series = ALGORITHMS[self._result.algorithm].subject is Subject.SERIES
        points = points_of_scan(problem) if is_series else (problem,)
        geometries = {point.name: found for point in points if (found := geometry_of(point.text or "")) is not None}
        for means in dict.fromkeys(map(_means, geometries.values())):
            program = next(each.program for each in geometries.values() if _means(each) == means)
            version = program.partition(" ")[2]
            after = f" {escape(version)}." if version else "."
            yield from self._sentence("integrals", "pyscf", f"The integrals in {means} ", after)
        if geometries:
            places = (f"{name}: {each.places}" if is_series else each.places for name, each in geometries.items())
            yield escape(f"The atoms are at (in Å) {'; '.join(places)}.")
        settings = self._run.record.settings["settings"]
        space, frozen = settings.get("active_space"), settings.get("frozen_core")
        if space is not None:
            yield escape(f"{_space(space)}.")
        if frozen:
            yield f"The lowest {count_text(frozen, 'orbital')} stayed doubly occupied."

    def _execution(self) -> Iterator[str]:
        result, record = self._result, self._run.record
        is_local = record.is_local
        target, where = recorded_target(result.target), f"the target {result.target} of Azure Quantum"
        if is_local:
            where = (
                f"a simulation of the target {result.target} by the local service of hybridloop, no quantum computer"
            )
        elif not target.is_machine:
            where += ", a simulator or an emulator of a machine"
        rounds = [] if self._run.is_pruned else list(self._run.rounds())
        effort = f"{count_text(result.jobs, 'job')} in {count_text(len(rounds) or result.rounds, 'round')}"
        sessions = count_text(len(result.sessions), "session")
        billed = amounts_text(result.cost)
        yield escape(f"{effort} with {count_text(result.shots, 'shot')} ran on {where}, in {sessions}.")
        if qubits := max((pub.num_clbits for each in rounds for pub in each.pubs), default=0):
            shots = sorted({pub.shots for each in rounds for pub in each.pubs})
            most = f" to {shots[-1]:,}" if len(shots) > 1 else ""
            yield f"The circuits measure up to {count_text(qubits, 'qubit')}, each with {shots[0]:,}{most} shots."
            yield from self._gates(rounds)
        if target.debiases:
            state = f"on in jobs of {target.debiases_from} shots or more" if self._run.settings.debias else "off"
            yield f"The provider's error mitigation (debiasing) was {state}."
        if billed and not is_local:
            yield escape(f"The service billed {billed}.")
        software = [escape(f"{SELF} {record.versions.get(SELF, '')}".strip()) + self._cite([SELF])]
        for name in self._table["software"]:
            if name in record.versions:
                entry = self._table["software"][name]
                software.append(f"{entry['text']} {escape(record.versions[name])}{self._cite(entry['cite'])}")
        yield f"Software: {', '.join(software)}."
        yield escape(f"The run {record.key} has the seed {record.seed}; its bundle has all counts.")

    def _gates(self, rounds: Sequence[RoundRecord]) -> Iterator[str]:
        """Yield the gates of the largest circuit, as the target got it."""
        programs = {pub.program: None for each in rounds for pub in each.pubs}
        if None in programs:  # its points have programs of their own
            own = (job.program for each in rounds for job in each.jobs if each.pubs[job.pub].program is None)
            programs |= dict.fromkeys(own)
        bodies = {key: body for key in programs if key and (body := self._run.program(key)) is not None}
        counts = [stored_gate_counts(*stored) for stored in bodies.items()]
        if any(each.one_qubit + each.two_qubit for each in counts):
            most = max(counts, key=lambda each: (each.two_qubit, each.one_qubit))
            two, one = (
                count_text(n, f"{of}-qubit gate") for n, of in ((most.two_qubit, "two"), (most.one_qubit, "one"))
            )
            yield f"The largest circuit, as it was sent, has {two} and {one}."

    def _claims(self) -> Iterator[str]:
        """Yield the meaning of errors and status, and all reasons to doubt the result."""
        result = self._result
        if result.is_upper_bound:
            yield "The energy is an upper bound without a standard error."
        elif result.is_exact:
            yield "The target does not sample: errors are bounds of rounding."
        else:
            yield "Uncertainties are one standard error of the shots; they contain no errors of the machine or of the"
            yield "circuit."
        if ALGORITHMS[result.algorithm].subject is Subject.SERIES:
            shown = sum(bool(row.get("converged")) for row in result.table)
            if shown < len(result.table):
                yield f"Convergence was shown at {shown} of {len(result.table)} points."
        words = {"converged": "Convergence was shown", "measured": "No convergence was sought"}
        reason = _without_advice(result.reason)
        yield escape(f"{words.get(result.status, 'Convergence was sought and not shown')}: {reason}.")
        if doubts := [*filter(None, map(_without_advice, result.warnings))]:
            yield escape(f"Reasons to doubt the result: {'; '.join(doubts)}.")
