"""The routes that starters answer, read from a contract."""

from pathlib import Path

import pytest

from crucible.errors import CrucibleError, Fault
from crucible.planning.contract import Route, read_routes

CONTRACT = """
openapi: 3.1.0
paths:
  /healthz:
    get: {responses: {}}
  /v1/jobs:
    post:
      requestBody: {content: {text/csv: {schema: {type: string}}}}
  /v1/jobs/{job-id}/result:
    parameters: []
    summary: The result
    get: {operationId: readJSONResult}
    delete:
  /v1/events:
    post:
      operationId: import
      requestBody: {$ref: "#/components/requestBodies/Events"}
  /v1/things.all:
    put:
      requestBody: {content: {application/json: {schema: {type: integer}}}}
components:
  requestBodies:
    Events:
      content:
        application/json:
          schema:
            oneOf:
              - {$ref: "#/components/schemas/Event"}
              - {type: array, items: {$ref: "#/components/schemas/Event"}}
  schemas:
    Event: {type: object, properties: {id: {}, at: {}}}
"""


def routes(folder: Path, contract: str = CONTRACT) -> tuple[Route, ...]:
    (folder / "template").mkdir()
    (folder / "template" / "openapi.yaml").write_text(contract)
    return read_routes(folder)


def test_every_operation_is_a_route_in_the_contracts_order_but_for_the_health(tmp_path: Path) -> None:
    assert [route.line for route in routes(tmp_path)] == [
        "POST /v1/jobs",
        "GET /v1/jobs/{job-id}/result",
        "DELETE /v1/jobs/{job-id}/result",
        "POST /v1/events",
        "PUT /v1/things.all",
    ]


def test_a_name_comes_from_the_operations_id_or_from_method_and_path_and_is_no_word_of_python(tmp_path: Path) -> None:
    assert [route.name for route in routes(tmp_path)] == [
        "post_jobs", "read_json_result", "delete_jobs_job_id_result", "post_import", "put_things_all",
    ]  # fmt: skip


def test_a_body_is_shown_by_its_fields_or_its_media_type(tmp_path: Path) -> None:
    event = '{"id": …, "at": …}'
    assert [route.body for route in routes(tmp_path)] == ["text/csv", "", "", f"{event} or [{event}, …]", "…"]


def test_a_path_is_written_as_routers_and_regular_expressions_want_it(tmp_path: Path) -> None:
    found = {route.name: route for route in routes(tmp_path)}
    result = found["read_json_result"]
    assert (result.template, result.pattern) == ("/v1/jobs/{job_id}/result", r"^\/v1\/jobs\/[^/]+\/result$")
    assert found["put_things_all"].pattern == r"^\/v1\/things\.all$"


@pytest.mark.parametrize(
    ("contract", "what"),
    [
        ("openapi: 3.1.0", "`paths` is missing"),
        (CONTRACT.replace("requestBodies/Events", "requestBodies/Lost"), "`#/components/requestBodies/Lost` leads now"),
        (CONTRACT.replace("/schemas/Event", "/schemas/Lost"), "`#/components/schemas/Lost` leads nowhere"),
    ],
)
def test_a_contract_that_cannot_be_followed_is_the_authors_mistake(tmp_path: Path, contract: str, what: str) -> None:
    with pytest.raises(CrucibleError) as caught:
        routes(tmp_path, contract)
    assert caught.value.fault is Fault.AUTHOR
    assert what in caught.value.what
