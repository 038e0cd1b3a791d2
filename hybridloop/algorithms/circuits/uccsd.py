"""UCCSD ansatz: unitary coupled cluster with singles and doubles, one exact exponential per excitation."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import CXGate, HGate, SdgGate, SGate
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import CommutativeInverseCancellation, InverseCancellation

from hybridloop.algorithms.circuits.ansatz import Ansatz, Frequencies
from hybridloop.algorithms.problems.electronic import (
    ElectronicProblem,
    SymplecticOperator,
    excitation,
    mask_of,
    set_bits,
)
from hybridloop.errors import InputError

MAX_TRACKED_STATES = 4096  # reachable determinants: more take seconds to track, and seldom shorten a circuit
MAX_EXCITATIONS = 10_000  # 12 electrons in 12 orbitals have 1,818

Excitation = tuple[tuple[int, ...], tuple[int, ...]]  # spin orbitals emptied and filled


def uccsd(problem: ElectronicProblem, *, is_tied: bool = False, max_tracked_states: int = MAX_TRACKED_STATES) -> Ansatz:
    """Build the UCCSD ansatz: Hartree-Fock, then exp(θ (T − T†)) for each double and each single excitation T.

    A. Peruzzo et al., Nat. Commun. 5 (2014) 4213, one Trotter step. It conserves the electrons of each spin under any
    mapping; θ = 0 is Hartree-Fock. Excitations that break a Z2 symmetry of the Hamiltonian are left out: as long as the
    others keep it, the energy's derivative along them is zero. With `is_tied`, `mirrored_angles` share an angle. With
    `max_tracked_states` 0 no exponential is shortened: the circuit is the same unitary after any determinant. Raises
    InputError if no excitation is left.
    """
    allowed = symmetry_allowed_excitations(problem)
    if not allowed:
        raise _no_excitations(problem)
    angles = mirrored_angles(problem, allowed) if is_tied else None
    return excitation_ansatz(problem, allowed, name="uccsd", angles=angles, max_tracked_states=max_tracked_states)


def mirrored_angles(problem: ElectronicProblem, selected: Sequence[Excitation]) -> tuple[int, ...]:
    """Return the number of each excitation's angle; an excitation and its mirror image in the other spin share one.

    In a closed shell the lowest singlet has equal amplitudes of both (R. J. Bartlett and M. Musiał, Rev. Mod. Phys. 79
    (2007) 291), and no direction is left that turns it towards a triplet. In an open shell each has its own angle.
    """
    norb, (alpha, beta) = problem.molecule.norb, problem.molecule.electrons
    if alpha != beta:
        return tuple(range(len(selected)))
    angles: dict[Excitation, int] = {}
    count = 0
    for emptied, filled in selected:
        mirrored = _other_spins(emptied, norb), _other_spins(filled, norb)
        is_new = mirrored not in angles
        angles[emptied, filled] = count if is_new else angles[mirrored]
        count += is_new
    return tuple(angles[each] for each in selected)


def _other_spins(orbitals: Iterable[int], norb: int) -> tuple[int, ...]:
    return tuple(sorted((orbital + norb) % (2 * norb) for orbital in orbitals))


def excitation_ansatz(
    problem: ElectronicProblem,
    selected: Sequence[Excitation],
    name: str,
    *,
    angles: Sequence[int] | None = None,
    generator_of: Callable[[Iterable[int], Iterable[int]], SymplecticOperator] = excitation,
    max_tracked_states: int = MAX_TRACKED_STATES,
) -> Ansatz:
    """Build an ansatz of the Hartree-Fock determinant and one exponential per excitation, in the given order.

    `angles` has the number of each one's angle, from 0 on without gaps; None: each has its own. `generator_of` makes
    T − T† from the orbitals emptied and filled. The determinants that the circuit can reach are
    tracked up to `max_tracked_states`: with few of them an exponential may be a single rotation, and the energy may
    have fewer frequencies.
    """
    encoding = problem.encoding
    circuit = QuantumCircuit(encoding.num_qubits, name=name)
    for qubit in set_bits(problem.reference_state):
        circuit.x(qubit)
    # one exponential per excitation, shortened where the reachable determinants allow it
    numbers = range(len(selected)) if angles is None else angles
    count = max(numbers, default=-1) + 1
    parameters = ParameterVector("θ", count)
    reachable: set[int] | None = {problem.reference_state}
    frequencies: list[list[Frequencies]] = [[] for _ in range(count)]
    for number, (emptied, filled) in zip(numbers, selected, strict=True):
        generator = encoding.encode(generator_of(emptied, filled))
        frequencies[number].append(_frequencies(generator, reachable))
        reachable = _reachable_after(generator, reachable, max_tracked_states)
        for (x, z), coefficient in _shorten(generator, reachable):
            _append_exponential(circuit, x, z, coefficient, parameters[number])
    by_angle: list[list[Excitation]] = [[] for _ in range(count)]
    for number, each in zip(numbers, selected, strict=True):
        by_angle[number].append(each)
    are_spin_free = all(_conserves_spin(group, problem.molecule.norb) for group in by_angle)
    return Ansatz(
        name,
        cancel_inverses(circuit),
        np.zeros(count),
        tuple(map(shared_frequencies, frequencies)),
        conserves_electrons=True,
        conserves_spin=generator_of is excitation and are_spin_free,
    )


def excitations(problem: ElectronicProblem) -> Iterator[Excitation]:
    """Yield all spin-conserving excitations from the Hartree-Fock determinant: doubles, then singles."""
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


def symmetry_allowed_excitations(problem: ElectronicProblem) -> list[Excitation]:
    """Return the `excitations` that keep every Z2 symmetry of the Hamiltonian.

    Raises InputError above `MAX_EXCITATIONS`.
    """
    count = sum(1 for _ in excitations(problem))
    if count > MAX_EXCITATIONS:
        what = f"{problem.molecule.source} has {count:,} excitations; at most {MAX_EXCITATIONS:,} are supported"
        raise InputError(
            "problem", what, "Choose a smaller active space, or run vqe with the hardware-efficient ansatz."
        )
    return [
        (emptied, filled)
        for emptied, filled in excitations(problem)
        if problem.conserves_symmetry(mask_of(emptied) | mask_of(filled))
    ]


def _no_excitations(problem: ElectronicProblem) -> InputError:
    molecule = problem.molecule
    alpha, beta = molecule.electrons
    if alpha + beta == 0:
        reason = "there are no electrons"
    elif all(count in (0, molecule.norb) for count in molecule.electrons):
        reason = "no orbital is empty, so no electron can be excited"
    else:
        reason = "the Hamiltonian's symmetries forbid every single and double excitation"
    problem_text = (
        f"uccsd has no excitation for {molecule.source} "
        f"({alpha} alpha and {beta} beta electrons in {molecule.norb} orbital(s)): {reason}"
    )
    return InputError("ansatz", problem_text, "Check NELEC, MS2 and NORB, or choose the hardware-efficient ansatz.")


def _frequencies(generator: SymplecticOperator, reachable: set[int] | None) -> Frequencies:
    """Return the energy's frequencies along exp(θ (T − T†)).

    T − T† has eigenvalues 0 and ±i, so these are 1 and 2; frequency 1 needs a reachable state that it annihilates.
    """
    if reachable is not None and all(_amplitude(generator, state) for state in reachable):
        return (2,)
    return (1, 2)


def shared_frequencies(frequencies: Sequence[Frequencies]) -> Frequencies:
    """Return the frequencies along an angle that exponentials share: sums and differences of theirs.

    If no exponential annihilates a state that reaches it, an angle θ + π only changes the state's sign: all are even.
    """
    step = 2 if all(numbers == (2,) for numbers in frequencies) else 1
    return tuple(range(step, sum(map(max, frequencies)) + 1, step))


def _conserves_spin(group: Sequence[Excitation], norb: int) -> bool:
    """Return whether the exponentials of one angle commute with S²: a single in both spins, or a pair from i to a."""
    emptied, filled = (sorted(orbital for each in group for orbital in each[side]) for side in (0, 1))
    return all(len(orbitals) == 2 and orbitals[1] == orbitals[0] + norb for orbitals in (emptied, filled))


def _shorten(generator: SymplecticOperator, states: set[int] | None) -> list[tuple[tuple[int, int], float]]:
    """Return the generator's terms, or one Pauli if that acts the same on all states reachable here."""
    if states is not None:
        for x, z in sorted(generator):
            for sign in (1.0, -1.0):
                if all(abs(_amplitude({(x, z): sign}, s) - _amplitude(generator, s)) < 0.5 for s in states):
                    return [((x, z), sign)]
    # sorted by the letters on low qubits: neighbours then share the beginnings of their CX ladders, which cancel
    support = set_bits(functools.reduce(operator.or_, (x | z for x, z in generator)))
    return sorted(generator.items(), key=lambda term: [term[0][1] >> qubit & 1 for qubit in support])


def _reachable_after(generator: SymplecticOperator, reachable: set[int] | None, limit: int) -> set[int] | None:
    if reachable is None:
        return None
    flip = next(iter(generator))[0]  # all terms of an excitation flip the same orbitals
    after = reachable | {state ^ flip for state in reachable if _amplitude(generator, state)}
    return after if len(after) <= limit else None


def _amplitude(generator: SymplecticOperator, state: int) -> float:
    """Return the factor of a basis state under the generator: −1, 0 or 1 for an excitation."""
    total = sum(-c if (z & state).bit_count() % 2 else c for (_, z), c in generator.items())
    return float(round(total))


def _append_exponential(circuit: QuantumCircuit, x: int, z: int, coefficient: float, angle: Parameter) -> None:
    """Append exp(θ c X^x Z^z) with an odd number of Ys: X^x Z^z = (−i)^|x & z| P, so it is a rotation about P."""
    qubits = set_bits(x | z)
    y_count = (x & z).bit_count()
    # (−i)^y c = ∓ i c for y ≡ 1, 3 (mod 4), and exp(−i (φ/2) P) is rz's φ in P's eigenbasis
    factor = 2.0 * coefficient * (1.0 if y_count % 4 == 1 else -1.0)
    # into P's eigenbasis
    for qubit in qubits:
        if x & z & 1 << qubit:
            circuit.sdg(qubit)
        if x & 1 << qubit:
            circuit.h(qubit)
    # the rotation on the parity of all qubits
    for control, target in itertools.pairwise(qubits):
        circuit.cx(control, target)
    circuit.rz(factor * angle, qubits[-1])
    for control, target in reversed(list(itertools.pairwise(qubits))):
        circuit.cx(control, target)
    # back from the eigenbasis
    for qubit in qubits:
        if x & 1 << qubit:
            circuit.h(qubit)
        if x & z & 1 << qubit:
            circuit.s(qubit)


def cancel_inverses(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit without neighbouring CX, H, S and S† gates that cancel."""
    pairs = [CXGate(), HGate(), (SGate(), SdgGate())]
    return PassManager([InverseCancellation(pairs), CommutativeInverseCancellation(), InverseCancellation(pairs)]).run(
        circuit
    )
