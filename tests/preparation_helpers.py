"""Prepared algorithms for tests, on the target of their settings."""

from __future__ import annotations

from typing import Any

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.rqaoa import RqaoaSettings
from hybridloop.descriptions.scan import ScanSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.inputs.sources import CALL, Layer, resolve_settings
from hybridloop.preparation import prepare
from hybridloop.preparation.adapt import PreparedAdapt
from hybridloop.preparation.adapt import prepare_adapt as build_adapt
from hybridloop.preparation.checks import check_problem
from hybridloop.preparation.prepared import PreparedAlgorithm
from hybridloop.preparation.problem import parse_problem as parse_unchecked
from hybridloop.preparation.qaoa import PreparedQaoa
from hybridloop.preparation.qaoa import prepare_qaoa as build_qaoa
from hybridloop.preparation.rqaoa import prepare_rqaoa as build_rqaoa
from hybridloop.preparation.scan import PreparedScan
from hybridloop.preparation.scan import prepare_scan as build_scan
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.preparation.vqe import prepare_vqe as build_vqe
from hybridloop.settings import NOTHING, ProblemText, Recorded, RunSettings
from hybridloop.targets import find_target


def settings_for(algorithm: str, values: dict[str, Any]) -> RunSettings:
    """Return an algorithm's settings as given in a call."""
    return resolve_settings(algorithm, Layer(CALL, values)).settings


def prepared(algorithm: str, problem: ProblemText, settings: RunSettings, seed: int) -> PreparedAlgorithm:
    """Return an algorithm after all checks."""
    return prepare(algorithm, problem, settings, seed).algorithm


def prepare_vqe(problem: ProblemText, settings: VqeSettings, seed: int, recorded: Recorded = NOTHING) -> PreparedVqe:
    """Return a prepared VQE for inspection."""
    found = build_vqe(problem, settings, seed, find_target(settings.target), recorded)
    assert isinstance(found, PreparedVqe)  # no molecule whose ground state is Hartree-Fock
    return found


def prepare_adapt(problem: ProblemText, settings: AdaptSettings, seed: int) -> PreparedAdapt:
    """Return a prepared ADAPT-VQE for inspection."""
    found = build_adapt(problem, settings, seed, find_target(settings.target))
    assert isinstance(found, PreparedAdapt)
    return found


def prepare_scan(problem: ProblemText, settings: ScanSettings, seed: int) -> PreparedScan:
    """Return a prepared scan for inspection."""
    check_problem("scan", problem)
    return build_scan(problem, settings, seed, find_target(settings.target))


def prepare_qaoa(problem: ProblemText, settings: QaoaSettings, seed: int) -> PreparedQaoa:
    """Return a prepared QAOA run for inspection."""
    return build_qaoa(problem, settings, seed, find_target(settings.target))


def prepare_rqaoa(problem: ProblemText, settings: RqaoaSettings, seed: int) -> PreparedQaoa:
    """Return a prepared recursive QAOA run for inspection."""
    return build_rqaoa(problem, settings, seed, find_target(settings.target))


def parse_problem(problem: ProblemText) -> Molecule | PauliProblem:
    """Return the molecule or operator of a problem, after the checks of its name and kind."""
    check_problem("vqe", problem)
    return parse_unchecked(problem)
