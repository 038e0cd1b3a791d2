"""Names of QIR's quantum functions, and the tree of a program's recorded outputs; both parsers of QIR use them."""

from __future__ import annotations

from collections.abc import Iterable

from hybridloop.emulator.model.program import JobInputError, Output, OutputList

INVALID_QIR = "QIRPreProcessingFailed"
MAX_INDEX = 4096  # of a qubit or result: far above any target, and small enough for memory

OutputRecord = int | tuple[bool, int]  # a leaf of the output, or a list: is_tuple and its length

# QIR name -> Qiskit's name; in a call, the angles come before the qubits
GATES: dict[str, str] = {
    **{f"{name}__body": name for name in "h x y z id s t sx rx ry rz cx cy cz swap rxx ryy rzz ccx".split()},
    **{f"{name}__adj": f"{name}dg" for name in ("s", "t", "sx")},
    **{"i__body": "id", "cnot__body": "cx"},
}
MEASUREMENTS = {"m__body": False, "mz__body": False, "mresetz__body": True}  # name -> whether a reset follows


def output_tree(records: Iterable[OutputRecord]) -> Output:
    """Build the output from its records, a tree in pre-order; several roots become a tuple."""
    remaining = list(reversed(list(records)))

    def take(depth: int) -> Output:
        if not remaining or depth > 64:
            raise JobInputError(INVALID_QIR, "the output recording ends early or is nested too deeply")
        record = remaining.pop()
        if isinstance(record, int):
            return record
        is_tuple, length = record
        return OutputList(tuple(take(depth + 1) for _ in range(length)), is_tuple)

    roots = []
    while remaining:
        roots.append(take(0))
    return roots[0] if len(roots) == 1 else OutputList(tuple(roots), is_tuple=True)
