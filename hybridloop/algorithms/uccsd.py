"""Unitary coupled cluster with singles and doubles, one exact exponential per excitation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import CXGate, HGate, SdgGate, SGate
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import CommutativeInverseCancellation, InverseCancellation

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.fermions import XZ, excitation
from hybridloop.algorithms.trigfit import Frequencies
from hybridloop.errors import InputError

FOLLOWED_STATES = 4096  # more reachable determinants cost seconds to follow, and seldom shorten a circuit

MOST = 10_000  # excitations: 12 electrons in 12 orbitals have 1,818

Excitation = tuple[tuple[int, ...], tuple[int, ...]]  # spin orbitals that are emptied, and filled


def uccsd(problem: ElectronicProblem) -> Ansatz:
    """The Hartree-Fock determinant, then exp(θ (T − T†)) for each double and each single excitation T.

    A. Peruzzo et al., Nat. Commun. 5 (2014) 4213, one Trotter step. Conserves the electrons of either spin under any
    mapping. θ = 0 is Hartree-Fock. Excitations that break a Z2 symmetry of the Hamiltonian are left out: while the
    others keep it, the energy's derivative along them is zero.
    """
    chosen = symmetric_excitations(problem)
    if not chosen:
        raise _no_excitations(problem)
    return excitation_ansatz(problem, chosen, name="uccsd")


def excitation_ansatz(
    problem: ElectronicProblem,
    chosen: Sequence[Excitation],
    name: str,
    *,
    generator_of: Callable[[Iterable[int], Iterable[int]], XZ] = excitation,
    followed_states: int = FOLLOWED_STATES,
) -> Ansatz:
    """The Hartree-Fock determinant, then one exponential per excitation in the order given.

    `generator_of` makes T − T† of the orbitals emptied and filled. The determinants that the circuit can be in are
    followed up to `followed_states` of them: where it is in few, an exponential may be a single rotation, and the
    energy may have fewer frequencies.
    """
    encoding = problem.encoding
    circuit = QuantumCircuit(encoding.num_qubits, name=name)
    for qubit in _bits(problem.reference_state):
        circuit.x(qubit)
    angles = ParameterVector("θ", len(chosen))
    reachable: set[int] | None = {problem.reference_state}
    frequencies: list[Frequencies] = []
    for angle, (emptied, filled) in zip(angles, chosen, strict=True):
        generator = encoding.encode(generator_of(emptied, filled))
        frequencies.append(_frequencies(generator, reachable))
        reachable = _reached(generator, reachable, followed_states)
        for (x, z), coefficient in _shortened(generator, reachable):
            _append_exponential(circuit, x, z, coefficient, angle)
    return Ansatz(name, _without_inverses(circuit), np.zeros(len(chosen)), tuple(frequencies), conserves_electrons=True)


def excitations(problem: ElectronicProblem) -> Iterator[Excitation]:
    """All spin-conserving excitations from the Hartree-Fock determinant: doubles, then singles."""
    norb, (alpha, beta) = problem.molecule.norb, problem.molecule.electrons
    spins = [
        (range(first, first + count), range(first + count, first + norb)) for first, count in ((0, alpha), (norb, beta))
    ]
    (occupied_a, virtual_a), (occupied_b, virtual_b) = spins
    for i, j, a, b in itertools.product(occupied_a, occupied_b, virtual_a, virtual_b):
        yield (i, j), (a, b)
    for occupied, virtual in spins:
        yield from itertools.product(itertools.combinations(occupied, 2), itertools.combinations(virtual, 2))
    for occupied, virtual in spins:
        yield from (((i,), (a,)) for i, a in itertools.product(occupied, virtual))


def symmetric_excitations(problem: ElectronicProblem) -> list[Excitation]:
    """Those of all `excitations` that keep every Z2 symmetry of the Hamiltonian. Raises InputError above `MOST`."""
    count = sum(1 for _ in excitations(problem))
    if count > MOST:
        what = f"{problem.molecule.source} has {count:,} excitations, of which {MOST:,} at most are taken"
        raise InputError("problem", what, "Choose a smaller active space, or take hardware-efficient.")
    return [each for each in excitations(problem) if problem.conserves_symmetry(_mask(each[0]) | _mask(each[1]))]


def _no_excitations(problem: ElectronicProblem) -> InputError:
    molecule = problem.molecule
    alpha, beta = molecule.electrons
    if alpha + beta == 0:
        why = "there are no electrons"
    elif all(count in (0, molecule.norb) for count in molecule.electrons):
        why = "no orbital is empty that an electron could be excited to"
    else:
        why = "the Hamiltonian's symmetries forbid every single and double excitation"
    problem_text = (
        f"uccsd has nothing to vary for {molecule.source} "
        f"({alpha} alpha and {beta} beta electrons in {molecule.norb} orbital(s)): {why}"
    )
    return InputError("ansatz", problem_text, "Check NELEC, MS2 and NORB, or take hardware-efficient.")


def _frequencies(generator: XZ, reachable: set[int] | None) -> Frequencies:
    """T − T† has eigenvalues 0 and ±i: energies have frequencies 1 and 2, but 1 only with a state it annihilates."""
    if reachable is not None and all(_amplitude(generator, state) for state in reachable):
        return (2,)
    return (1, 2)


def _shortened(generator: XZ, states: set[int] | None) -> list[tuple[tuple[int, int], float]]:
    """The generator, as one Pauli where that acts the same on all states that the circuit can be in here."""
    if states is not None:
        for x, z in sorted(generator):
            for sign in (1.0, -1.0):
                if all(abs(_amplitude({(x, z): sign}, s) - _amplitude(generator, s)) < 0.5 for s in states):
                    return [((x, z), sign)]
    # by the letters on low qubits first: neighbours then share the beginnings of their CX ladders, which cancel
    return sorted(generator.items(), key=lambda term: [term[0][1] >> qubit & 1 for qubit in _bits(_spread(generator))])


def _spread(generator: XZ) -> int:
    """All qubits that any term acts on."""
    spread = 0
    for x, z in generator:
        spread |= x | z
    return spread


def _reached(generator: XZ, reachable: set[int] | None, limit: int) -> set[int] | None:
    if reachable is None:
        return None
    flip = next(iter(generator))[0]  # the same in every term: an excitation flips one set of occupations
    after = reachable | {state ^ flip for state in reachable if _amplitude(generator, state)}
    return after if len(after) <= limit else None


def _amplitude(generator: XZ, state: int) -> float:
    """What a basis state is multiplied by: −1, 0 or 1 for an excitation."""
    total = sum(-c if (z & state).bit_count() % 2 else c for (_, z), c in generator.items())
    return float(round(total))


def _append_exponential(circuit: QuantumCircuit, x: int, z: int, coefficient: float, angle: Parameter) -> None:
    """exp(θ c X^x Z^z) for an odd number of Ys: X^x Z^z = (−i)^|x & z| P, so that it is a rotation about P."""
    qubits = _bits(x | z)
    y_count = (x & z).bit_count()
    # (−i)^y c = ∓ i c for y ≡ 1, 3 (mod 4), and exp(−i (φ/2) P) is rz's φ in P's eigenbasis
    turn = 2.0 * coefficient * (1.0 if y_count % 4 == 1 else -1.0)
    for qubit in qubits:
        if x & z & 1 << qubit:
            circuit.sdg(qubit)
        if x & 1 << qubit:
            circuit.h(qubit)
    for control, target in itertools.pairwise(qubits):
        circuit.cx(control, target)
    circuit.rz(turn * angle, qubits[-1])
    for control, target in reversed(list(itertools.pairwise(qubits))):
        circuit.cx(control, target)
    for qubit in qubits:
        if x & 1 << qubit:
            circuit.h(qubit)
        if x & z & 1 << qubit:
            circuit.s(qubit)


def _without_inverses(circuit: QuantumCircuit) -> QuantumCircuit:
    """Gates that undo their neighbours removed; angles are not touched."""
    pairs = [CXGate(), HGate(), (SGate(), SdgGate())]
    return PassManager([InverseCancellation(pairs), CommutativeInverseCancellation(), InverseCancellation(pairs)]).run(
        circuit
    )


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _mask(orbitals: Iterable[int]) -> int:
    return sum(1 << orbital for orbital in orbitals)
