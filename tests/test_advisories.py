"""No pin has a hole of `tests/data/advisories.json`, and no requirement keeps a package at versions that have one.

`make audit` asks a database, where there is a network.
"""

from __future__ import annotations

import json
from importlib.metadata import distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.paths import ROOT

ADVISORIES = json.loads((ROOT / "tests" / "data" / "advisories.json").read_text())
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda advisory: f"{advisory['package']} {advisory['advisory']}")
def test_no_pin_lies_below_the_first_good_version(advisory: dict[str, str]) -> None:
    assert Version(PINS[advisory["package"]]) >= Version(advisory["first_good"])


def test_no_requirement_of_an_installed_package_admits_only_versions_with_a_hole() -> None:
    first_good = {advisory["package"]: advisory["first_good"] for advisory in ADVISORIES}
    lines = [line for distribution in distributions() for line in distribution.requires or []]
    needed = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate({"extra": "dev"})]
    ranges = [one for one in needed if one.name.lower() in first_good]
    assert {one.name.lower() for one in ranges} >= {"cryptography", "starlette", "urllib3"}  # each is found
    assert [
        str(one)
        for one in ranges
        if not one.specifier.contains(first_good[one.name.lower()])
        and not one.specifier.contains(PINS[one.name.lower()])
    ] == []


def test_the_sdk_that_needs_a_cryptography_with_holes_is_not_installed() -> None:
    (sdk,) = [
        one for one in map(Requirement, requires("hybridloop") or []) if one.name == "azure-quantum" and not one.extras
    ]
    assert not sdk.specifier.contains("3.13.0")
    assert sdk.specifier.contains("3.12.0")
    assert sdk.specifier.contains("3.13.1")
