"""`hybridloop limit`, and its functions: a run that could exceed a limit ends as at a cap, and names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import hybridloop as hl
from hybridloop.api.limits import LimitScope
from hybridloop.errors import InputError
from hybridloop.journal import open_journal
from tests.cli.shell_helpers import CommandResult, Shell, environment, run_in_process
from tests.conftest import Emulator
from tests.prefect_server import own_environ

Inside = Callable[..., CommandResult]


def test_limits_are_set_listed_and_removed(inside: Inside, home: Any) -> None:
    environ = own_environ(str(home), {})
    said = inside(environ, "limit", "set", "team", "500usd", "--target", "ionq.qpu.forte-1", "--tag", "thesis")
    assert said.code == 0, said.err
    assert said.out.startswith(
        "limit team: 500 USD per month for runs of tag thesis and target ionq.qpu.forte-1 in this journal, without "
        "those on the local service; 0.00 USD are spent, and 0.00 USD reserved for jobs in flight; the next period "
        "begins on 20"
    )
    said = inside(environ, "limit", "set", "all", "20HQC", "--per", "ever", "--local", "--json")
    assert json.loads(said.out)["next_period"] is None
    listed = json.loads(inside(environ, "limit", "list", "--json").out)
    assert [(each["name"], each["amount"], each["unit"], each["scope"], each["local"]) for each in listed] == [
        ("all", 20.0, "HQC", "all runs", True),
        ("team", 500.0, "USD", "tag=thesis target=ionq.qpu.forte-1", False),
    ]
    assert inside(environ, "limit", "show", "all").out.startswith(
        "limit all: 20 HQC for all runs in this journal; 0.00"
    )
    assert "there is no limit 'other'" in inside(environ, "limit", "show", "other").err
    assert inside(environ, "limit", "remove", "team").out == "limit team is removed\n"
    again = inside(environ, "limit", "remove", "team")
    assert (again.code, "there is no limit 'team'" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("team", "500"), "amount: '500' is no amount in one unit"),
        (("team", "5USD,5HQC"), "amount: '5USD,5HQC' is no amount in one unit"),
        ((".team", "5USD"), "name: '.team' is no name of a limit"),
        (("a/b", "5USD"), "name: 'a/b' is no name of a limit"),
        (("team", "5USD", "--per", "year"), "'year'"),
        (("team", "5_0USD"), "amount: '5_0USD' is no amount in one unit"),
        (("team", "5USD", "--target", "ionq.qpu.fort-1"), "--target: 'ionq.qpu.fort-1' is not a known target. Did you"),
        (("team", "5USD", "--target", "ionq.qpu.new-1"), "--target: 'ionq.qpu.new-1' is not a known target"),
        (("team", "5USD", "--tag", ""), "tag: '' is no name"),
        (("team", "5USD", "--tag", "\udce4"), "tag: '\\udce4' is no name"),
    ],
)
def test_an_invalid_limit_is_refused(inside: Inside, home: Any, arguments: tuple[str, ...], says: str) -> None:
    refused = inside(own_environ(str(home), {}), "limit", "set", *arguments)
    assert refused.code == 2
    assert says in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.parametrize("command", [("limit", "show"), ("limit", "remove"), ("runs", "show"), ("runs", "stop")])
def test_a_name_that_is_no_text_is_refused(inside: Inside, home: Any, command: tuple[str, str]) -> None:
    refused = inside(own_environ(str(home), {}), *command, "\udce4bcd")
    assert (refused.code, "Traceback" in refused.err) == (2, False)


def test_scopes_that_no_run_has_yet_are_said_and_those_of_runs_are_taken(
    plain_shell: Shell, emulator: Emulator
) -> None:
    shell = plain_shell.at(emulator, "Scopes").shell
    with environment(shell.environ):
        with pytest.raises(InputError, match=r"targets: a limit has no such scope\. Did you mean 'target'\?"):
            hl.set_limit("team", "5USD", targets="ionq.qpu.forte-1")  # type: ignore[call-arg]
        with hl.open_session("ionq.simulator", tags=["thesis"], run_key="tagged"):
            pass
        scopes: tuple[LimitScope, ...] = ({"tag": "thesis"}, {"target": "IonQ.Simulator"}, {"workspace": "SCOPES"})
        for scope in scopes:
            ((kind, value),) = scope.items()
            assert hl.set_limit("known", "5USD", **scope).limit.scope == {kind: str(value).lower()}
        hl.remove_limit("known")
    said = run_in_process(shell.environ, "limit", "set", "x", "5USD", "--tag", "tesis")
    assert (said.code, said.out.startswith("limit x: 5 USD per month for runs of tag tesis")) == (0, True)
    assert "no run of this journal has tag tesis yet; did you mean 'thesis'?" in said.err
    assert run_in_process(shell.environ, "limit", "remove", "x").code == 0


def test_a_period_that_is_none_is_refused_in_python() -> None:
    with pytest.raises(InputError, match="per: 'year' is no period"):
        hl.set_limit("team", "5USD", per="year")


def test_a_plan_names_the_limits_and_what_they_leave(plain_shell: Shell, emulator: Emulator) -> None:
    place = plain_shell.at(emulator, "planned").shell

    def run(*arguments: str) -> CommandResult:
        return run_in_process(place.environ, *arguments)

    for name, amount, *local in (("own", "90USD", "--local"), ("credits", "5HQC", "--local"), ("billed", "90USD")):
        assert run("limit", "set", name, amount, "--workspace", "planned", *local).code == 0
    plan = place.json_inside("plan", "vqe", "h2", "--target", "ionq.qpu.aria-1", "--seed", "7", "--precision", "0.05")
    (line,) = plan["limits"]
    assert line.startswith("own: 90.00 USD of 90 USD per month are left until 20")
    assert "limit own may end the run early: 90.00 USD of it are left" in plan["warnings"]
    time: dict[str, Any] = {"target": "rigetti.qpu.cepheus-1-108q", "seed": 7}
    with environment(place.environ), pytest.raises(InputError, match="so limit own could be exceeded") as refused:
        hl.vqe("h2", **time, host="plain")
    assert str(refused.value).startswith("max_cost_per_job: the maximum price of a job on rigetti.qpu")
    warnings = place.json_inside("plan", "vqe", "h2", "--target", time["target"], "--seed", "7")["warnings"]
    assert "such a run would be refused: limit own needs max_cost_per_job" in warnings
    for name in ("own", "credits", "billed"):
        assert run("limit", "remove", name).code == 0


@pytest.mark.slow
def test_a_run_that_could_exceed_a_limit_is_stopped_and_resumes_under_a_larger_one(
    shell: Shell, emulator: Emulator
) -> None:
    place = shell.at(emulator, "limited").shell
    run = ("run", "vqe", "h2", "--target", "ionq.qpu.aria-1", "--seed", "7", "--precision", "0.05", "--run-key", "held")
    assert place.run("limit", "set", "small", "1USD", "--local", "--workspace", "limited").returncode == 0
    stopped = place.run(*run)
    assert stopped.returncode == 3, stopped.stderr
    assert "limit small is reached: 1 USD per month is the limit, 0.00 USD spent" in stopped.stdout.replace(
        "\n           ", " "
    )
    with open_journal(place.environ) as journal:
        record = journal.run("held")
        assert (record.status, journal.progress(record.uid).rounds) == ("stopped", 0)
    assert place.run("limit", "set", "small", "100000USD", "--local", "--workspace", "limited").returncode == 0
    resumed = place.run("runs", "resume", "held", "--json")
    assert resumed.returncode in (0, 4), resumed.stderr
    (state,) = (each for each in place.json("limit", "list") if each["name"] == "small")
    assert (state["reserved"], state["spent"]) == (0.0, pytest.approx(json.loads(resumed.stdout)["costs"]["USD"]))
    assert place.run("limit", "remove", "small").returncode == 0
