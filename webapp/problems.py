"""Errors of the API as problem details; a page's errors stay pages."""

from __future__ import annotations

import json.decoder
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from webapp.lib.outage import disk_is_full
from webapp.lib.problem import CONTENT_TYPE, problem_body

API_PREFIX = "/api/"
JSON_BODY = "application/json"

DETAILS = {
    400: "The request could not be read. A body must be valid JSON in UTF-8.",
    401: "Send an API key as `Authorization: Bearer ff_…`.",
    403: "This API key may not do that.",
    404: "There is nothing at this address, or it belongs to another organisation.",
    405: "This address does not answer that method; the Allow header lists those that it does.",
    413: "The body is larger than this address accepts.",
    415: "This address does not read that content type.",
    422: "Some values cannot be used; `errors` says which and why.",
    429: "Too many requests; the Retry-After header says when to come back.",
    500: "Something failed on our side. The request may be tried again; the server's log has the reason.",
}

FULL_DISK = "Nothing was changed. Tell whoever runs Footfall to free some space; then try again."


class Problem(HTTPException):
    """Ends the request with problem details (in the API) or an error page (elsewhere).

    Extensions become members of the answer's JSON beside type, title, status and detail.
    """

    def __init__(
        self, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **extensions: object
    ) -> None:
        super().__init__(description=detail)
        self.code = status
        self.title = title
        self.detail = detail
        self.extensions = extensions
        self.headers = dict(headers or {})

    @property
    def name(self) -> str:
        return self.title


def init_app(app: APIFlask) -> None:
    """Answer errors below /api/ with problem details, from whatever part of the stack they come."""
    pages_handler = app.error_handler_spec[None][None].get(HTTPException)

    def answer_http_exception(error: HTTPException) -> ResponseReturnValue:
        error = full_disk_of(error) or error
        if is_api_request():
            return answer(problem_of(error))
        return current_app.ensure_sync(pages_handler)(error) if pages_handler else error

    app.register_error_handler(HTTPException, answer_http_exception)
    app.register_error_handler(HTTPError, lambda error: answer(problem_of_apiflask(error)))
    app.register_error_handler(RecursionError, answer_deep_json)
    app.before_request(require_json_where_json_is_read)


def is_api_request() -> bool:
    """Whether a program asked, so that errors must be JSON."""
    return request.path.startswith(API_PREFIX)


def full_disk_of(error: HTTPException) -> Problem | None:
    """The problem to tell when there was no room for a file or a row: nobody but the operator can help."""
    original = getattr(error, "original_exception", None)
    if not isinstance(original, Exception) or not disk_is_full(original):
        return None
    return Problem(HTTPStatus.INSUFFICIENT_STORAGE, "The disk of this server is full", FULL_DISK)


def answer_deep_json(error: RecursionError) -> Response:
    """JSON nested too deeply to be read is the sender's mistake; any other recursion without end is ours."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    if last is None or last.tb_frame.f_globals.get("__name__") != json.decoder.__name__:
        raise error
    return answer(Problem(HTTPStatus.BAD_REQUEST, "Malformed JSON", "The body is nested too deeply to be read."))


def answer(problem: Problem) -> Response:
    """The problem as a response."""
    status = problem.code or HTTPStatus.INTERNAL_SERVER_ERROR
    body = problem_body(status, problem.title, problem.detail, **problem.extensions)
    return Response(body, status, problem.headers, content_type=CONTENT_TYPE)


def problem_of(error: HTTPException) -> Problem:
    """Any HTTP error of Flask's or ours; its headers (Allow, Retry-After) are kept."""
    if isinstance(error, Problem):
        return error
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    phrase = HTTPStatus(status).phrase
    return Problem(status, phrase, DETAILS.get(status, error.description or phrase), headers=headers)


def problem_of_apiflask(error: HTTPError) -> Problem:
    """An error of APIFlask's, with one entry for each value that did not pass validation."""
    phrase = HTTPStatus(error.status_code).phrase
    detail = DETAILS.get(error.status_code, error.message or phrase)
    headers = dict(Headers(error.headers).items())
    extensions: dict[str, object] = {"errors": field_errors(error.detail)} if error.detail else {}
    return Problem(error.status_code, phrase, detail, headers=headers, **extensions)


def field_errors(messages: Mapping[str, Any]) -> list[dict[str, str]]:
    """Marshmallow's nested messages as a flat list of `{in, field, message}`."""
    return [
        {"in": _place(location), "field": field, "message": message}
        for location, fields in messages.items()
        for field, message in _flatten(fields)
    ]


def require_json_where_json_is_read() -> None:
    """Say 415 rather than call every field missing when a body is not JSON."""
    view = current_app.view_functions.get(request.endpoint or "")
    reads = getattr(view, "_spec", {}).get("content_type")
    if reads == JSON_BODY and request.content_length and not request.is_json:
        raise UnsupportedMediaType


def _place(location: str) -> str:
    return "body" if location in {"json", "form", "files", "form_and_files"} else location


def _flatten(messages: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(messages, Mapping):
        return [pair for key, inner in messages.items() for pair in _flatten(inner, _join(path, str(key)))]
    if isinstance(messages, list):
        return [(path, str(message)) for message in messages]
    return [(path, str(messages))]


def _join(path: str, key: str) -> str:
    """A nested field's name; what is wrong with the whole has no name."""
    if key == "_schema":
        return path
    return f"{path}.{key}" if path else key
