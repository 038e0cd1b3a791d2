"""Molecules whose ground state is Hartree-Fock's determinant: answered without a job, and refused where it is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pyscf import gto, scf

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.errors import InputError
from hybridloop.inputs.problem_objects import problem_from_object
from hybridloop.preparation.reference import PreparedReference
from hybridloop.settings import ProblemText
from tests.preparation_helpers import prepared, settings_for

TRIVIAL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "helium, whose only orbital is full": ({"atom": "He 0 0 0"}, {}),
    "an anion of hydrogen, by symmetry": ({"atom": "H 0 0 0; H 0 0 0.74", "charge": -1, "spin": 1}, {}),
    "a triplet of hydrogen": ({"atom": "H 0 0 0; H 0 0 0.74", "spin": 2}, {}),
    "an atom of hydrogen": ({"atom": "H 0 0 0", "spin": 1, "basis": "6-31g"}, {}),
    "a part of hydroxyl": ({"atom": "O 0 0 0; H 0 0 0.97", "spin": 1}, {"active_space": "5,3"}),
}


def no_rounds(_: object) -> list[MeasuredPub]:
    pytest.fail("a round was measured")


@pytest.mark.parametrize("algorithm", ["vqe", "adapt"])
@pytest.mark.parametrize(("given", "values"), TRIVIAL.values(), ids=TRIVIAL)
def test_the_answer_is_hartree_fock_with_the_reason_and_no_job(
    given: dict[str, Any], values: dict[str, Any], algorithm: str
) -> None:
    built = gto.M(verbose=0, **({"basis": "sto-3g"} | given))
    found = prepared(algorithm, problem_from_object(built), settings_for(algorithm, values), 3)
    outcome = found.run(no_rounds)
    energy = scf.ROHF(built).run(conv_tol=1e-12).e_tot
    assert outcome.value == pytest.approx(energy, abs=1e-6)
    assert outcome.value == pytest.approx(found.facts.exact(), abs=1e-8)
    assert (outcome.converged, outcome.rounds, outcome.standard_error) == (True, 0, 0.0)
    assert "Hartree-Fock is the exact ground state" in outcome.reason
    assert outcome.spin_squared == pytest.approx(built.spin / 2 * (built.spin / 2 + 1))


def test_what_is_asked_for_beside_it_is_that_of_the_determinant() -> None:
    built = gto.M(atom="O 0 0 0; H 0 0 0.97", basis="sto-3g", spin=1, verbose=0)
    asked = settings_for("vqe", {"observables": "dipole,occupations", "active_space": "5,3"})
    outcome = prepared("vqe", problem_from_object(built), asked, 3)
    field = scf.ROHF(built).run(conv_tol=1e-12)
    rows = {row["observable"]: row for row in outcome.run(no_rounds).observables}
    assert [rows[f"occupation {number}"]["value"] for number in (1, 2, 3)] == pytest.approx([2.0, 2.0, 1.0])
    density = np.sum(field.make_rdm1(), axis=0)
    electrons = -np.einsum("xpq,qp->x", built.intor("int1e_r"), density)
    nuclei = np.einsum("i,ix->x", built.atom_charges(), built.atom_coords())
    assert rows["dipole z"]["value"] == pytest.approx((electrons + nuclei)[2], abs=1e-5)


def test_a_curve_may_have_points_without_a_job() -> None:
    built = (gto.M(atom=f"H 0 0 0; H 0 0 {r}", basis="sto-3g", spin=2, verbose=0) for r in (1, 2))
    points = [{"name": f"h2-{n}", "text": problem_from_object(each).text} for n, each in enumerate(built)]
    text = json.dumps({"points": points})
    outcome = prepared("scan", ProblemText(name="curve", text=text), settings_for("scan", {}), 3).run(no_rounds)
    assert [row["rounds"] for row in outcome.table] == [0, 0]
    assert outcome.converged


def test_a_named_circuit_is_refused_as_before_and_correlated_electrons_are_measured() -> None:
    hydrogen = problem_from_object(gto.M(atom="H 0 0 0; H 0 0 0.74", basis="sto-3g", charge=-1, spin=1, verbose=0))
    with pytest.raises(InputError, match="uccsd has no excitation"):
        prepared("vqe", hydrogen, settings_for("vqe", {"ansatz": "uccsd"}), 3)
    assert not isinstance(prepared("vqe", ProblemText(name="h2"), settings_for("vqe", {}), 3), PreparedReference)
