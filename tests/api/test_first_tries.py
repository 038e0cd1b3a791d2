"""The first tries of users of other libraries work, or are refused with what to write instead."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.api.first_tries import TRIES
from tests.cli.shell_helpers import Shell


@pytest.mark.slow
def test_first_tries_work_or_are_refused_in_words(stack_environ: Mapping[str, str]) -> None:
    done = Shell(stack_environ).run_python("-m", "tests.api.first_tries")
    outcomes: dict[str, str | None] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):  # other lines are of libraries
            outcomes |= json.loads(line)
    assert outcomes.keys() == TRIES.keys(), done.stderr
    wrong = {}
    for name, (_, refusal) in TRIES.items():
        error = outcomes[name]
        if (
            (error is None) != (refusal == "")
            or refusal not in (error or "")
            or (error or "").startswith("NOT REFUSED")
        ):
            wrong[name] = error
    assert wrong == {}
