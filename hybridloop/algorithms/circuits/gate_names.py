"""Names of the gates in which circuits are sent; imports nothing heavy."""

from __future__ import annotations

# Gates that every target accepts as QIR. `rxx`, `ryy` and `rzz` are one native gate on ions instead of two `cx`.
BASIS = "h x y z s sdg t tdg rx ry rz cx cz swap rxx ryy rzz".split()
TWO_QUBIT_ROTATIONS = ("rxx", "ryy", "rzz")
CNOT_BASIS = [name for name in BASIS if name not in TWO_QUBIT_ROTATIONS]  # of targets without these native gates
