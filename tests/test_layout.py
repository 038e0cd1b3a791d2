"""What holds the checkout together: the links at the root, and the versions that are installed."""

from __future__ import annotations

import re
from importlib.metadata import requires, version

import pytest
from packaging.requirements import Requirement

from tests.paths import ROOT

CONSTRAINTS = (ROOT / "constraints.txt").read_text().splitlines()


@pytest.mark.parametrize("room", ["algorithms", "flows", "tasks"])
def test_the_link_at_the_root_leads_to_the_room(room: str) -> None:
    assert (ROOT / room).resolve() == ROOT / "hybridloop" / room


def test_constraints_are_plain_pins_as_pip_demands_of_them() -> None:
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[a-z0-9._-]+==[0-9][0-9a-z.+]*", line)] == []


def test_every_requirement_is_pinned_and_met_by_what_is_installed() -> None:
    pins = dict(line.split("==") for line in CONSTRAINTS)
    for requirement in map(Requirement, requires("hybridloop") or []):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": "dev"}):
            continue  # an extra that developing does not take
        pinned = pins[requirement.name.lower()]
        assert requirement.specifier.contains(pinned), requirement
        assert requirement.specifier.contains(version(requirement.name)), requirement
