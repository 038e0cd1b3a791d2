"""Tables that travel with the package: built-in problems and kin, as JSON."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def load(name: str) -> Any:
    """The table `name`, as JSON gives it.

    >>> sorted(load("problems"))[:2]
    ['h2', 'h2o']
    """
    return json.loads(resources.files("hybridloop.data").joinpath(f"{name}.json").read_text("utf-8"))
