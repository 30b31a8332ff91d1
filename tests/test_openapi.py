"""The API's description is valid, whole, and shown by a page that asks no other site."""

from __future__ import annotations

import re
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from webapp.openapi import API_ROOT

PARAMETER = re.compile(r"<(?:[^:<>]*:)?([^<>]*)>")


@pytest.fixture
def spec(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    assert isinstance(answer.json, dict)
    return answer.json


def calls_of(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{method.upper()} {path}": call for path, calls in spec["paths"].items() for method, call in calls.items()}


def test_the_description_is_valid(spec: dict[str, Any]) -> None:
    validate(spec)
    assert spec["openapi"].startswith("3.1")
    assert spec["info"]["title"] == "Footfall"


def test_every_call_of_the_api_is_described(app: APIFlask, spec: dict[str, Any]) -> None:
    served = {
        method + " " + PARAMETER.sub(r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(API_ROOT)
    }
    assert set(calls_of(spec)) == served
    assert "GET /api/v1/contacts" in served


def test_every_call_says_what_it_does_who_may_and_how_it_fails(spec: dict[str, Any]) -> None:
    for name, call in calls_of(spec).items():
        assert call["summary"], name
        assert call["tags"], name
        assert call["security"] == [{"ApiKey": []}], name
        assert "401" in call["responses"], name
        for status, response in call["responses"].items():
            if status[0] in "45d" and "content" in response:
                assert list(response["content"]) == ["application/problem+json"], (name, status)


def test_every_shape_has_one_name(spec: dict[str, Any]) -> None:
    assert not [name for name in spec["components"]["schemas"] if name[-1].isdigit()]
    assert {"Problem", "ValidationProblem"} <= set(spec["components"]["schemas"])
    assert '"nullable"' not in str(spec)


def test_the_page_loads_nothing_from_another_site_and_has_no_inline_script(client: FlaskClient) -> None:
    page = client.get("/api-docs")
    assert page.status_code == 200
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
