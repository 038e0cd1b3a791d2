"""Deployments file on a real server: one command deploys all, schedules make runs, invalid settings are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
import pytest
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.filters import FlowRunFilterStateName as StateName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema
from pydantic import BaseModel

from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.flows import load_flow
from hybridloop.flows.deploying.deployments import merge_settings, unset_settings
from hybridloop.flows.housekeeping import housekeeping
from hybridloop.flows.sweep import sweep
from hybridloop.journal import check_key
from hybridloop.local_stack import PrefectServer
from hybridloop.settings import RunKey
from tests.deployments.checkout_helpers import WRITTEN, flow_of, full_name
from tests.deployments.worker_helpers import POOL
from tests.prefect_server import prefect_client
from tests.waiting import eventually

SCHEDULED = [each for each in WRITTEN if each.get("schedules")]
H2 = {"name": "h2"}
form_of = cache(parameter_schema)  # takes half a second


@pytest.mark.parametrize("written", WRITTEN, ids=full_name)
def test_a_deployment_has_valid_parameters_and_a_description(written: Mapping[str, Any]) -> None:
    parameters = written.get("parameters", {})
    schema = form_of(flow_of(written)).model_dump()
    assert "schedules" in written  # without them Prefect prompts in a terminal
    if written["name"] == "on-demand":
        assert schema["required"] == [
            "spec" if flow_of(written) is sweep else "problem"
        ]  # the form in Prefect asks for it
    else:
        for each in written["schedules"]:
            flow_of(written).validate_parameters({**parameters, **each.get("parameters", {})})
    assert written["description"].endswith(".")


def test_every_flow_is_deployed() -> None:
    flows = [*map(load_flow, ALGORITHMS), sweep, housekeeping]
    assert {flow_of(each).name for each in WRITTEN} >= {flow.name for flow in flows}


@pytest.mark.slow
def test_one_command_deploys_all_and_nothing_is_pulled(deployed: Mapping[str, DeploymentResponse]) -> None:
    for each in WRITTEN:
        there = deployed[full_name(each)]
        assert (there.entrypoint, there.pull_steps, there.work_pool_name) == (each["entrypoint"], [], POOL)
        assert there.enforce_parameter_schema
        assert there.parameters == each.get("parameters", {})
        assert len(there.schedules) == len(each.get("schedules", []))


@pytest.mark.slow
def test_each_schedule_makes_runs(deployed: Mapping[str, DeploymentResponse], prefect_server: PrefectServer) -> None:
    wanted = {deployed[full_name(each)].id: len(each["schedules"]) for each in SCHEDULED}
    with prefect_client(prefect_server) as client:
        for each in wanted:
            client.resume_deployment(each)

        def are_scheduled() -> bool:
            ours = DeploymentFilter(id=DeploymentFilterId(any_=list(wanted)))
            state = FlowRunFilter(state=FlowRunFilterState(name=StateName(any_=["Scheduled"])))
            runs = client.read_flow_runs(deployment_filter=ours, flow_run_filter=state)
            kinds = {(run.deployment_id, json.dumps(run.parameters, sort_keys=True)) for run in runs}
            return all(sum(of == each for of, _ in kinds) == number for each, number in wanted.items())

        eventually(are_scheduled)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"settings": {"shots": 0}}, ("settings.shots", "less than the minimum of 1")),
        ({"settings": {"shot": 100}}, ("settings", "'shot' was unexpected")),
        ({"settings": {"mapping": "bravyi"}}, ("settings.mapping", "'bravyi' is not one of")),
        ({"settings": {"failure": {"retries": -1}}}, ("settings.failure.retries", "less than the minimum of 0")),
        ({"settings": {"deadline": "tomorrow"}}, ("settings.deadline", "tomorrow")),
        ({"problem": {}}, ("problem", "'name' is a required property")),
        ({"run_key": "two words"}, ("run_key", "two words")),
    ],
)
def test_a_run_with_a_bad_setting_is_refused_at_creation_with_the_fields_name(
    parameters: dict[str, Any],
    says: tuple[str, ...],
    deployed: Mapping[str, DeploymentResponse],
    prefect_server: PrefectServer,
) -> None:
    with prefect_client(prefect_server) as client, pytest.raises(PrefectHTTPStatusError) as refusal:
        client.create_flow_run_from_deployment(deployed["vqe/on-demand"].id, parameters={"problem": H2, **parameters})
    assert refusal.value.response.status_code == 409
    assert all(part in refusal.value.response.json()["detail"] for part in says), refusal.value.response.json()


@pytest.mark.slow
def test_prefect_itself_replaces_all_settings_by_those_of_the_run(
    deployed: Mapping[str, DeploymentResponse], prefect_server: PrefectServer
) -> None:
    """The reason that the flow reads the deployment's settings itself."""
    with prefect_client(prefect_server) as client:
        run = client.create_flow_run_from_deployment(
            deployed["vqe/nightly"].id, parameters={"settings": {"shots": 100}}
        )
        assert run.parameters == {"problem": H2, "settings": {"shots": 100}}
        client.delete_flow_run(run.id)


def test_settings_not_given_to_a_run_come_from_its_deployment() -> None:
    own = {"precision": 0.01, "max_cost": "5USD", "seed": 7, "failure": {"retries": 5, "max_renewals": 2}}
    given = VqeSettings.model_validate({"shots": 100, "seed": None, "failure": {"retries": 1}})
    assert unset_settings(given, own) == {"precision": 0.01, "max_cost": "5USD", "failure": {"max_renewals": 2}}
    got = merge_settings(given, own)
    assert (got.shots, got.precision, got.max_cost, got.seed) == (100, 0.01, {"USD": 5.0}, None)
    assert (got.failure.retries, got.failure.max_renewals) == (1, 2)
    assert merge_settings(got, own) == got
    assert unset_settings(VqeSettings(), own) == own
    assert unset_settings(VqeSettings.model_validate(own), own) == {}


def test_settings_that_conflict_with_the_deployments_are_refused() -> None:
    own = {"failure": {"on_lost_job": "penalize", "penalty": 0.0}}
    with pytest.raises(
        InputError,
        match=r"settings: with the deployment's .*failure: a penalty is for.*Give null for settings of the deployment",
    ):
        merge_settings(VqeSettings.model_validate({"failure": {"on_lost_job": "fail"}}), own)


IN_EVERY_RUN = {"vqe", "qaoa", "sqd"}  # the other algorithms' settings have the same bases


@pytest.mark.parametrize(
    "flow",
    [
        *(pytest.param(load_flow(name), marks=() if name in IN_EVERY_RUN else pytest.mark.slow) for name in ALGORITHMS),
        sweep,
        housekeeping,
    ],
    ids=lambda flow: str(flow.name),
)
def test_a_flows_form_has_description_type_and_default_of_every_field(
    flow: Flow[..., Any],
) -> None:
    schema = form_of(flow).model_dump()
    definitions = schema["definitions"] or {}
    groups = [schema["properties"]] + [value["properties"] for value in definitions.values() if "properties" in value]
    for fields in groups:
        for name, field in fields.items():
            assert field.get("description"), name
            is_required = name in {"problem", "name", "spec", "algorithm"}
            assert "default" in field or is_required, name
            for example in field.get("examples", []):
                jsonschema.validate(example, {**field, "definitions": definitions})
    assert all(value.get("enum") or value.get("properties") for value in definitions.values())
    if flow.name in ALGORITHMS:
        assert set(definitions) >= {ALGORITHMS[flow.name].settings.__name__, "ProblemText", "FailurePolicy"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_form_has_every_bound_of_the_settings(algorithm: str) -> None:
    """A bound that pydantic cannot express in JSON Schema appears under its own name, which nothing checks."""

    def keywords(schema: object) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema
        for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
            yield from keywords(each)

    words = set(keywords(ALGORITHMS[algorithm].settings.model_json_schema()))
    assert words.isdisjoint({"gt", "ge", "lt", "le", "min_length", "max_length", "multiple_of"})
    for bound in ("minimum", "maximum", "enum", "pattern"):
        assert bound in words


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_form_begins_with_problem_target_shots_and_caps(algorithm: str) -> None:
    def in_order(properties: Mapping[str, Any]) -> list[str]:
        return sorted(properties, key=lambda name: properties[name].get("position", math.inf))  # as Prefect's form does

    form = form_of(load_flow(algorithm))
    assert in_order(form.properties)[:2] == ["problem", "settings"]
    fields = in_order(form.definitions[ALGORITHMS[algorithm].settings.__name__]["properties"])
    assert [name for name in fields if name != "precision"][:4] == ["target", "shots", "max_cost", "max_jobs"]
    assert "precision" not in fields or fields[2] == "precision"


@pytest.mark.parametrize("key", ["night", "a.b_c-D9", "x" * 100, "", "x" * 101, "two words", "a/b", "ä", "line\n"])
def test_a_form_accepts_the_run_keys_that_the_journal_accepts(key: str) -> None:
    class Form(BaseModel):
        run_key: RunKey = None

    def is_taken(check: Any) -> bool:
        try:
            check()
        except (InputError, ValueError, jsonschema.ValidationError):
            return False
        return True

    in_the_form = is_taken(lambda: jsonschema.validate({"run_key": key}, Form.model_json_schema()))
    assert is_taken(lambda: Form(run_key=key)) == is_taken(lambda: check_key(key))
    assert in_the_form == is_taken(lambda: check_key(key)) or key.endswith("\n")  # the meaning of `$` in JSON Schema
