"""Targets: look-up by name, and limits on qubits and shots."""

from dataclasses import replace

import pytest

from hybridloop.errors import InputError
from hybridloop.targets import DEFAULT_TARGET, check_circuit_fits, find_target, known_targets


def test_every_target_name_begins_with_its_provider() -> None:
    assert all(name.startswith(f"{target.provider}.") for name, target in known_targets().items())
    assert find_target(DEFAULT_TARGET).samples


def test_a_target_is_found_in_any_case_and_a_misspelt_name_gets_a_suggestion() -> None:
    assert find_target("IonQ.Simulator").name == "ionq.simulator"
    with pytest.raises(InputError, match=r"rigetti\.sim\.qvm"):
        find_target("rigetti.sim.qmv")


def test_a_circuit_with_more_qubits_than_the_target_is_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match=r"30 qubits.*29.*such as rigetti\.sim\.qvm "):
        check_circuit_fits(find_target("ionq.simulator"), 30)
    with pytest.raises(
        InputError, match=r"such as quantinuum\.sim\.helios-1e "
    ):  # no machine is advised for a simulator
        check_circuit_fits(find_target("ionq.simulator"), 40)
    with pytest.raises(InputError, match=r"such as quantinuum\.qpu\.h2-1 "):  # a syntax checker's counts mean nothing
        check_circuit_fits(find_target("ionq.qpu.forte-1"), 40)
    with pytest.raises(InputError, match=r"\. Choose a smaller problem"):
        check_circuit_fits(find_target("ionq.simulator"), 500)
    check_circuit_fits(find_target("ionq.simulator"), 29)
    check_circuit_fits(find_target("rigetti.sim.qvm"), 30)
    check_circuit_fits(replace(find_target("rigetti.sim.qvm"), qubits=None), 40)
