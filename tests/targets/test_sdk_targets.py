"""The tables of targets, the client's and the local service's, compared with the lists of the installed SDK."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.emulator.model.latency import load_latency_profiles
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.errors import InputError
from hybridloop.estimate.planner import plan_run
from hybridloop.settings import ProblemText
from hybridloop.targets import known_targets

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK imports deprecated names of its own
    from azure.quantum.qiskit.backends import ionq, qci, quantinuum, rigetti
    from azure.quantum.qiskit.backends.backend import AzureQirBackend
    from azure.quantum.target import IonQ, Quantinuum
    from azure.quantum.target.pasqal import Pasqal
    from azure.quantum.target.rigetti import Rigetti

OURS = known_targets()
LISTED = frozenset(name for target in (IonQ, Quantinuum, Rigetti, Pasqal) for name in target.target_names)

# targets of the SDK that the tables lack, by the beginning of their names, and why
MISSING = {
    "pasqal.": "pulses instead of gates",
    "qci.": "Qiskit backends without a target class, and on none of Microsoft's pages",
}
# number of qubits (the SDK's, ours), and why they differ
OTHER_QUBITS: dict[str, tuple[int, int | None, str]] = {
    "ionq.qpu.forte-1": (35, 36, "Microsoft's page of IonQ states 36"),
    "ionq.qpu.forte-enterprise-1": (35, 36, "Microsoft's page of IonQ states 36"),
    "quantinuum.sim.h2-1e": (56, 32, "the emulator has fewer qubits than the machine; the SDK has one number for both"),
    "quantinuum.sim.h2-2e": (56, 32, "the emulator has fewer qubits than the machine; the SDK has one number for both"),
    "rigetti.sim.qvm": (
        20,
        30,
        "Microsoft's list of targets, 2026-08; larger jobs were not tried",
    ),
}


def qir_backends() -> dict[str, Any]:
    """Return the SDK's Qiskit backends for QIR by target name; there is no workspace behind them."""
    kinds: list[Any] = [kind for module in (ionq, qci, quantinuum, rigetti) for kind in vars(module).values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: kind(name, None)
            for kind in kinds
            if isinstance(kind, type) and issubclass(kind, AzureQirBackend)
            for name in vars(kind).get("backend_names", ())
        }


def test_the_tables_have_the_targets_of_the_sdk_but_those_that_are_named_here() -> None:
    backends = qir_backends().keys()
    missing = (LISTED | backends) - OURS.keys()
    assert {next((begin for begin in MISSING if name.startswith(begin)), name) for name in missing} == MISSING.keys()
    assert OURS.keys() - LISTED == set()
    assert OURS.keys() - backends == set()


def test_qubits_and_profiles_are_those_of_the_sdk_but_for_the_differences_that_are_named_here() -> None:
    different: dict[str, tuple[int, int | None]] = {}
    for name, backend in qir_backends().items():
        if (ours := OURS.get(name)) is None:
            continue
        if backend.num_qubits != ours.qubits:
            different[name] = (backend.num_qubits, ours.qubits)
        profile = backend.options.get("target_profile", "Base")
        assert str(profile).removeprefix("TargetProfile.") == ours.profile, name
    assert different == {name: (sdk, own) for name, (sdk, own, _) in OTHER_QUBITS.items()}


def test_the_local_service_offers_the_targets_of_the_client_with_the_same_facts() -> None:
    catalogue, latency = load_catalogue(), load_latency_profiles()
    providers = {target.provider for target in OURS.values()}
    assert {name for name, (provider, _) in catalogue.targets.items() if provider.id in providers} == OURS.keys()
    for name, ours in OURS.items():
        provider, theirs = catalogue.targets[name]
        assert (provider.id, theirs.profile, theirs.max_shots) == (ours.provider, ours.profile, ours.max_shots), name
        assert (theirs.checks_only, not theirs.exact) == (ours.checks_only, ours.samples), name
        # the simulator of Rigetti has a bound of the service's own
        assert theirs.num_qubits == ours.qubits, name
        assert name in latency


def test_each_target_of_the_sdk_that_takes_gates_plans_h2() -> None:
    settings = VqeSettings(target="ionq.simulator", seed=7)
    others = [name for name in sorted(LISTED & OURS.keys()) if name != settings.target]
    plan = plan_run("vqe", ProblemText(name="h2"), settings, compare=others)
    assert [row.target for row in plan.comparison] == others
    assert all(row.jobs for row in plan.comparison)
    refused = {row.target for row in plan.comparison if "only checks programs" in row.note}
    assert refused == {name for name in others if name.endswith("sc")}
    for name in sorted(LISTED - OURS.keys()):
        with pytest.raises(InputError, match="takes pulse sequences"):
            plan_run("vqe", ProblemText(name="h2"), settings.model_copy(update={"target": name}))
