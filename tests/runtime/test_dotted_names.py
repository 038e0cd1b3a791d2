"""Dotted names: nested and flat forms of the same values, and names that contradict each other."""

from typing import Any

import pytest

from hybridloop.runtime.dotted_names import flatten, nest


def test_nested_values_come_back_from_their_dotted_names() -> None:
    values = {"noise": {"model": "aria-1", "seed": 7}, "no-opt": True, "error-params": {"scale": [0.1, 0.2]}}
    assert nest(flatten(values)) == values


def test_a_later_name_replaces_a_value_and_leaves_the_mapping_that_was_given() -> None:
    given = {"options": {"noise": {"model": "ideal", "seed": 7}}, "options.noise.model": "aria-1"}
    assert nest(given) == {"options": {"noise": {"model": "aria-1", "seed": 7}}}
    assert given["options"] == {"noise": {"model": "ideal", "seed": 7}}
    assert nest({"noise.model": "ideal", "noise": {"seed": 7}}) == {"noise": {"model": "ideal", "seed": 7}}


@pytest.mark.parametrize(
    "values",
    [{"noise": 1, "noise.seed": 2}, {"noise.seed": 2, "noise": 1}, {"a.noise": 1, "a": {"noise": {"seed": 2}}}],
    ids=["value first", "mapping first", "inside a mapping"],
)
def test_a_name_is_either_a_value_or_a_mapping(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"noise is given as 1.* already: .*, not both"):
        nest(values)
