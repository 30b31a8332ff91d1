"""The API's description at /openapi.json, and /api-docs, a page of our own parts where a person can try calls."""

from __future__ import annotations

from typing import Any

from apiflask import APIFlask
from flask.typing import ResponseReturnValue

from webapp.extensions import csrf
from webapp.lib.problem import CONTENT_TYPE
from webapp.pages import render_page
from webapp.problems import DETAILS, JSON_BODY

API_ROOT = "/api/v1"
DOCS_PATH = "/api-docs"

DESCRIPTION = """\
Everything under `/api/v1` needs an API key of your organisation: make one on the settings page, or with
`footfall api-key create --organisation SLUG --name NAME`, and send it as `Authorization: Bearer ff_…`
(here: the **Authorize** button). A signed-in browser's cookie opens nothing here.

Times are ISO 8601 in UTC. Every error is a problem (RFC 9457) in `application/problem+json`; when values were
refused, `errors` names each field and the reason.
"""

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "A stable name of the kind of problem, for programs."},
        "title": {"type": "string", "description": "The kind of problem, for people."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong here, and what to do about it."},
    },
    "example": {"type": "about:blank", "title": "Not Found", "status": 404, "detail": DETAILS[404]},
}
FIELD_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["in", "field", "message"],
    "properties": {
        "in": {"type": "string", "enum": ["body", "query"]},
        "field": {"type": "string"},
        "message": {"type": "string"},
    },
}
VALIDATION_PROBLEM: dict[str, Any] = {
    **PROBLEM,
    "description": "A problem whose `errors` say which values were refused, and why.",
    "properties": {**PROBLEM["properties"], "errors": {"type": "array", "items": FIELD_ERROR}},
    "example": {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": DETAILS[422],
        "errors": [{"in": "body", "field": "email", "message": "“bob” is not an e-mail address."}],
    },
}


def init_app(app: APIFlask) -> None:
    """Describe whatever API the features registered, so this comes last."""
    app.config.update(
        HTTP_ERROR_SCHEMA=PROBLEM,
        VALIDATION_ERROR_SCHEMA=VALIDATION_PROBLEM,
        AUTO_OPERATION_ID=True,
        INFO={"title": "Footfall", "description": DESCRIPTION},
        SERVERS=[{"url": "/", "description": "This installation"}],
    )
    app.servers = app.config["SERVERS"]
    app.description = DESCRIPTION
    app.spec_processor(polish)
    app.add_url_rule(DOCS_PATH, "api_docs", api_docs)
    for blueprint in app.blueprints.values():
        if (blueprint.url_prefix or "").startswith(API_ROOT):
            csrf.exempt(blueprint)  # a key in a header is nothing that a browser sends by itself


def api_docs() -> ResponseReturnValue:
    """The API's description as a page."""
    return render_page("api_docs.html")


def polish(spec: dict[str, Any] | str) -> dict[str, Any] | str:
    """Leave the pages out, and say of every call how its errors look."""
    if isinstance(spec, str):
        raise TypeError("The description is served as JSON only.")
    spec["paths"] = {path: calls for path, calls in spec["paths"].items() if path.startswith(API_ROOT)}
    for calls in spec["paths"].values():
        for call in calls.values():
            _document_problems(call)
            _name_uuids(call)
    _rename_schemas(spec)
    return spec


def _document_problems(call: dict[str, Any]) -> None:
    expected = [401, 429] + ([400, 415] if JSON_BODY in call.get("requestBody", {}).get("content", {}) else [])
    for status in expected:
        call["responses"].setdefault(str(status), {"description": DETAILS[status], "content": _problem_content()})
    call["responses"].setdefault("default", {"description": "Any other problem", "content": _problem_content()})
    for status, response in call["responses"].items():
        if status[0] in "45" and JSON_BODY in response.get("content", {}):
            response["content"] = {CONTENT_TYPE: response["content"][JSON_BODY]}


def _problem_content() -> dict[str, Any]:
    return {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/HTTPError"}}}


def _name_uuids(call: dict[str, Any]) -> None:
    for parameter in call.get("parameters", []):
        if parameter["in"] == "path" and parameter["name"].endswith("id"):
            parameter["schema"] = {"type": "string", "format": "uuid"}


def _rename_schemas(spec: dict[str, Any]) -> None:
    """APIFlask's names of the two error shapes are not ours."""
    names = {"HTTPError": "Problem", "ValidationError": "ValidationProblem"}
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    schemas["HTTPError"] = PROBLEM
    spec["components"]["schemas"] = {names.get(name, name): schema for name, schema in sorted(schemas.items())}
    _repoint(spec, {f"#/components/schemas/{old}": f"#/components/schemas/{new}" for old, new in names.items()})


def _repoint(part: Any, references: dict[str, str]) -> None:
    if isinstance(part, dict):
        if part.get("$ref") in references:
            part["$ref"] = references[part["$ref"]]
        for inner in part.values():
            _repoint(inner, references)
    elif isinstance(part, list):
        for inner in part:
            _repoint(inner, references)
