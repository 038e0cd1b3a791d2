"""Words of other libraries for a setting: they are not taken, and the error names the setting that they mean."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection

WORDS = {  # by setting: what Qiskit, PennyLane, Cirq, OpenFermion, SciPy and the Azure Quantum SDK call it
    "layers": "reps p depth num_layers n_layers circuit_depth repetitions",
    "initial_point": "warm_start x0 initial_parameters initial_params init_params initial_angles theta0 start",
    "max_rounds": "maxiter max_iter max_iterations iterations maxfev max_evals max_steps steps epochs",
    "shots": "default_shots n_shots num_shots nshots n_samples repetitions_per_circuit",
    "tolerance": "tol ftol eps conv_tol convergence_threshold rtol",
    "precision": "default_precision accuracy target_precision error standard_error",
    "target": "backend mode device machine provider qpu",
    "seed": "random_seed seed_simulator random_state rng",
    "optimizer": "method minimizer optimiser",
    "max_cost": "budget max_budget cost_limit max_credits",
    "deadline": "timeout time_limit max_time walltime",
    "failure": "job_failure_policy failure_policy on_failure on_error retry_policy",
    "multiplicity": "spin nspin two_s ms2",
    "active_space": "cas ncas nelecas active_electrons active_orbitals num_active_orbitals active",
    "frozen_core": "freeze_core frozen n_frozen",
    "mapping": "mapper qubit_mapping fermion_mapping encoding transformation",
    "mitigation": "error_mitigation resilience_level resilience zne mitigate",
    "grouping": "measurement_grouping group grouping_strategy abelian_grouping",
    "provider_options": "noise_model noise noise_options input_params backend_options",
    "cvar": "alpha cvar_alpha aggregation",
    "ansatz": "circuit ansatz_name state_preparation trial_state",
    "basis": "basis_set",
    "geometry_unit": "unit units length_unit",
    "name": "session_name",
}
_SETTING = {word: setting for setting, words in WORDS.items() for word in words.split()}
_OPTIONS = {"provider_options": "provider_option"}  # settings of which an option gives one part
_EXAMPLES = {
    "provider_options": '{"noise.model": "aria-1"}',
    "provider_option": "noise.model=aria-1",
    "failure": 'hybridloop.FailurePolicy(session_on_job_failure="abort")',
    "active_space": "4,4 (electrons and orbitals)",
    "initial_point": "0.1,-0.2",
    "layers": "3",
    "multiplicity": "3 for two unpaired electrons",
}


def setting_of(name: str) -> str:
    """Return the setting that a word of another library means, the word itself if there is none."""
    word = name.strip("-").lower().replace("-", "_")
    return _SETTING.get(word, word)


def suggestion(name: str, known: Collection[str], show: Callable[[str], str] = str) -> str:
    """Return a sentence with the known setting that a word means, or one of a similar name; empty if there is none.

    `show` writes the name of a setting.
    """
    setting = setting_of(name)
    setting = setting if setting in known else _OPTIONS.get(setting, setting)
    if setting in known and show(setting) != name:
        example = f", such as {_EXAMPLES[setting]}" if setting in _EXAMPLES else ""
        return f"It is called {show(setting)} here{example}."
    similar = difflib.get_close_matches(setting, known, n=1)
    return f"Did you mean {show(similar[0])!r}?" if similar else ""
