"""Each request under an id of its own: a line in the log when it is answered, a count, a span."""

from __future__ import annotations

import logging
import re
import time
from contextlib import ExitStack
from uuid import uuid4

from flask import Flask, Response, g, request

from webapp import tracing
from webapp.extensions import current_tenant
from webapp.lib.log import logged
from webapp.lib.proxies import FORWARDED
from webapp.metrics import count_request

ID_HEADER = "X-Request-ID"
GOOD_ID = re.compile(r"[A-Za-z0-9._=+/-]{1,128}")
NO_ENDPOINT = "none"

logger = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    app.before_request(begin)
    app.after_request(tell)
    app.teardown_request(end)


def begin() -> None:
    """Open the request's frame."""
    g.request_began = time.perf_counter()
    g.request_id = _given_id() or uuid4().hex
    route = request.url_rule.rule if request.url_rule else NO_ENDPOINT
    attributes = {"http.request.method": request.method, "http.route": route, "footfall.request_id": g.request_id}
    carrier = dict(request.headers) if FORWARDED in request.environ else {}
    g.request_frame = ExitStack()
    g.request_span = g.request_frame.enter_context(
        tracing.span(f"{request.method} {route}", "server", attributes, {k.lower(): v for k, v in carrier.items()})
    )
    g.request_frame.enter_context(logged(request_id=g.request_id, **tracing.trace_fields()))


def tell(response: Response) -> Response:
    """Say how the request was answered. Its query and its body are nobody's business."""
    if "request_began" not in g:
        return response
    seconds = time.perf_counter() - g.request_began
    organisation_id = current_tenant()
    fields = {
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "milliseconds": round(seconds * 1000, 1),
        "endpoint": request.endpoint or NO_ENDPOINT,
        **({"organisation_id": organisation_id} if organisation_id else {}),
    }
    logger.info("%s %s %s", request.method, request.path, response.status_code, extra={"fields": fields})
    count_request(request.method, request.endpoint or NO_ENDPOINT, response.status_code, seconds)
    tracing.end_request(g.request_span, response.status_code)
    response.headers[ID_HEADER] = g.request_id
    return response


def end(error: BaseException | None = None) -> None:
    """Close the frame."""
    if frame := g.pop("request_frame", None):
        frame.close()


def _given_id() -> str | None:
    """The id that a trusted proxy gave; a stranger's would let him write into our logs what he likes."""
    given = request.headers.get(ID_HEADER, "") if FORWARDED in request.environ else ""
    return given if GOOD_ID.fullmatch(given) else None
