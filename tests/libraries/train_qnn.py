"""Training of a small quantum neural network in a session with a run key, as a script that may be killed."""

from __future__ import annotations

import json

import numpy as np
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit_machine_learning.algorithms import NeuralNetworkRegressor
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from qiskit_machine_learning.optimizers import ADAM, COBYLA, SPSA
from qiskit_machine_learning.utils import algorithm_globals

import hybridloop as hl

PRECISION = 0.05
FEATURES = np.array([[0.1, 0.2], [0.4, 0.9], [1.2, 0.3], [0.8, 1.4]])
LABELS = np.array([1.0, -1.0, 1.0, -1.0])
INPUTS, LAYERS = zz_feature_map(2, reps=1), real_amplitudes(2, reps=1)
CIRCUIT = INPUTS.compose(LAYERS)


def main() -> None:
    """Train by values, random directions and gradients; print the weights, and outputs and gradients there."""
    algorithm_globals.random_seed = 7
    with hl.open_session("rigetti.sim.qvm", run_key="qnn", seed=7) as session:
        estimator = session.estimator(precision=PRECISION)
        network = EstimatorQNN(
            circuit=CIRCUIT,
            estimator=estimator,
            input_params=INPUTS.parameters,
            weight_params=LAYERS.parameters,
            gradient=ParamShiftEstimatorGradient(estimator),
            default_precision=PRECISION,
        )
        weights = np.full(network.num_weights, 0.3)
        spsa = SPSA(maxiter=3, learning_rate=0.2, perturbation=0.1)
        for optimizer in (COBYLA(maxiter=8), spsa, ADAM(maxiter=3, lr=0.1)):
            model = NeuralNetworkRegressor(network, optimizer=optimizer, initial_point=weights).fit(FEATURES, LABELS)
            weights = model.weights
        outputs = network.forward(FEATURES, weights)
        _, gradients = network.backward(FEATURES, weights)
        found = {"weights": weights, "outputs": outputs[:, 0], "gradients": gradients[:, 0]}
        print(json.dumps({name: values.tolist() for name, values in found.items()} | {"jobs": session.num_jobs}))


if __name__ == "__main__":
    main()
