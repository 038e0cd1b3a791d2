"""Ask-and-tell optimizers for noisy energies: Rotosolve, pairwise fits, gradients, SPSA, SciPy's methods."""
