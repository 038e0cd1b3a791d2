"""Error mitigation: readout error mitigation, symmetry post-selection, twirling and zero-noise extrapolation.

Each removes an error of the machine from expectation values and includes its own uncertainty in the error bar.
"""
