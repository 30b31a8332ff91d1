"""Every error of the API has one shape; a page's errors stay pages."""

from __future__ import annotations

import json

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import Person
from tests.probe import probe_app
from webapp.config import Settings
from webapp.lib.problem import problem_body


@pytest.fixture
def api(app: APIFlask, services: Settings) -> FlaskClient:
    return probe_app(services).test_client()


def assert_problem(answer: TestResponse, status: int, title: str) -> dict[str, object]:
    problem = answer.json
    assert answer.content_type == "application/problem+json"
    assert answer.status_code == status
    assert isinstance(problem, dict)
    assert problem["status"] == status
    assert problem["title"] == title
    assert isinstance(problem["type"], str)
    assert isinstance(problem["detail"], str)
    assert len(problem["detail"]) > 20
    return problem


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/api/v1/nowhere", 404, "Not Found"),
        ("/api/elsewhere", 404, "Not Found"),
        ("/api/v1/probe/403", 403, "Forbidden"),
        ("/api/v1/probe/413", 413, "Request Entity Too Large"),
        ("/api/v1/probe/429", 429, "Too Many Requests"),
        ("/api/v1/probe/503", 503, "Service Unavailable"),
    ],
)
def test_an_error_of_the_api_is_a_problem(api: FlaskClient, path: str, status: int, title: str) -> None:
    problem = assert_problem(api.get(path), status, title)
    assert problem["type"] == "about:blank"


def test_a_wrong_method_names_the_right_ones(api: FlaskClient) -> None:
    answer = api.delete("/api/v1/probe/things")
    assert_problem(answer, 405, "Method Not Allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_failure_of_ours_is_a_problem_that_tells_no_secrets(api: FlaskClient) -> None:
    problem = assert_problem(api.get("/api/v1/probe/broken"), 500, "Internal Server Error")
    assert "division" not in json.dumps(problem)


def test_refused_values_are_named_one_by_one(api: FlaskClient) -> None:
    answer = api.post("/api/v1/probe/things", json={"size": "big", "colour": "red"})
    problem = assert_problem(answer, 422, "Unprocessable Entity")
    assert problem["errors"] == [
        {"in": "body", "field": "name", "message": "Missing data for required field."},
        {"in": "body", "field": "size", "message": "Not a valid integer."},
        {"in": "body", "field": "colour", "message": "Unknown field."},
    ]


def test_a_body_that_is_no_json_object_is_refused(api: FlaskClient) -> None:
    problem = assert_problem(api.post("/api/v1/probe/things", json=["a"]), 422, "Unprocessable Entity")
    assert problem["errors"] == [{"in": "body", "field": "", "message": "Invalid input type."}]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b""])
def test_a_body_that_is_no_json_is_refused(api: FlaskClient, body: bytes) -> None:
    answer = api.post("/api/v1/probe/things", data=body, content_type="application/json")
    assert answer.status_code in {400, 422}
    assert answer.content_type == "application/problem+json"


def test_json_that_is_nested_too_deeply_is_refused(api: FlaskClient) -> None:
    for body in (b"[" * 60_000, b'{"name":' * 60_000):
        answer = api.post("/api/v1/probe/things", data=body, content_type="application/json")
        assert_problem(answer, 400, "Malformed JSON")


def test_a_recursion_of_our_own_is_our_failure(api: FlaskClient) -> None:
    assert_problem(api.get("/api/v1/probe/recursion"), 500, "Internal Server Error")


def test_another_content_type_is_refused_as_such(api: FlaskClient) -> None:
    answer = api.post("/api/v1/probe/things", data="name=a", content_type="text/plain")
    assert_problem(answer, 415, "Unsupported Media Type")


def test_a_problem_of_our_own_carries_its_kind_and_its_extensions(api: FlaskClient) -> None:
    assert api.get("/api/v1/probe/problem").json == {
        "type": "urn:footfall:problem:thing-exists",
        "title": "Thing exists",
        "status": 409,
        "detail": "There is one already.",
        "thing_id": "7",
    }


def test_a_pages_error_stays_a_page(alice: Person, services: Settings) -> None:
    client = probe_app(services).test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = alice.cookie_id
    for path, status in (("/probe/404", 404), ("/probe/boom", 500), ("/nowhere", 404), ("/probe/problem", 409)):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype) == (status, "text/html")


def test_the_log_of_a_failure_holds_nothing_that_people_typed(
    api: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    api.get("/api/v1/probe/flush")
    assert "UniqueViolation" in caplog.text
    assert "Twice" not in caplog.text


@pytest.mark.parametrize("path", ["/probe/broken", "/probe/flush", "/probe/recursion"])
def test_a_failure_is_a_page_whatever_it_left_behind(alice: Person, services: Settings, path: str) -> None:
    client = probe_app(services).test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = alice.cookie_id
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype) == (500, "text/html")
    assert "Something broke on our side" in answer.text
    assert client.get("/probe").status_code == 200


def test_a_page_wants_its_token_and_the_api_does_not(alice: Person, services: Settings) -> None:
    client = probe_app(services, csrf_enabled=True).test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = alice.cookie_id
    assert client.post("/probe/leak").status_code == 400
    assert client.post("/sign-out").status_code == 400
    assert client.post("/api/v1/probe/things", json={"name": "a", "size": 1}).status_code == 200


def test_a_problem_can_be_written_without_flask() -> None:
    assert json.loads(problem_body(413, "Content Too Large", "At most 64 KiB.", limit=65536)) == {
        "type": "urn:footfall:problem:content-too-large",
        "title": "Content Too Large",
        "status": 413,
        "detail": "At most 64 KiB.",
        "limit": 65536,
    }
