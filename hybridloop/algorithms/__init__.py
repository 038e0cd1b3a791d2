"""Pure numerics: problems, ansätze, measurement, optimizers, algorithms; no clock, file, network or log."""
