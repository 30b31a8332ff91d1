"""The API's description at /openapi.json, and /api-docs, a page of our own parts where a person can try calls."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from apiflask import APIFlask
from flask.typing import ResponseReturnValue

from webapp.extensions import csrf
from webapp.lib.problem import CONTENT_TYPE
from webapp.pages import render_page
from webapp.problems import DETAILS, JSON_BODY

P = ParamSpec("P")

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
        SPEC_DECORATORS=[_quietly],
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
            _complete_inputs(call)
    _tidy_schemas(spec)
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


def _complete_inputs(call: dict[str, Any]) -> None:
    """A declared body is expected, and ids in the path are UUIDs."""
    if "requestBody" in call:
        call["requestBody"]["required"] = True
    for parameter in call.get("parameters", []):
        if parameter["in"] == "path" and parameter["name"].endswith("id"):
            parameter["schema"] = {"type": "string", "format": "uuid"}


def _tidy_schemas(spec: dict[str, Any]) -> None:
    """Our names for APIFlask's two error shapes, and one name for a shape that it lists twice."""
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    schemas["HTTPError"] = PROBLEM
    names = {name: _name_of(name, schemas) for name in schemas}
    spec["components"]["schemas"] = {names[name]: schema for name, schema in sorted(schemas.items())}
    prefix = "#/components/schemas/"
    _rewrite(spec, {prefix + old: prefix + new for old, new in names.items()})


def _name_of(name: str, schemas: dict[str, Any]) -> str:
    plain = name.rstrip("0123456789")
    if plain != name and schemas.get(plain) == schemas[name]:
        return plain
    return {"HTTPError": "Problem", "ValidationError": "ValidationProblem"}.get(name, name)


def _rewrite(part: Any, references: dict[str, str]) -> None:
    """Point at the new names, and say "or null" as OpenAPI 3.1 does."""
    if isinstance(part, list):
        for inner in part:
            _rewrite(inner, references)
    if not isinstance(part, dict):
        return
    if part.get("$ref") in references:
        part["$ref"] = references[part["$ref"]]
    if part.pop("nullable", False):
        part["type"] = [part["type"], "null"]
    for inner in part.values():
        _rewrite(inner, references)


def _quietly(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """APIFlask warns of shapes that stand alone and inside others, which `_tidy_schemas` joins."""

    @wraps(view)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*has already been added to the spec")
            return view(*args, **kwargs)

    return quiet
