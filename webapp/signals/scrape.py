"""`GET /metrics`, for Prometheus: what every process counted, and how the whole installation is at this moment."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from webapp.config import LOOPBACK_NAMES, Settings
from webapp.lib.proxies import FORWARDED, FORWARDING_HEADERS
from webapp.metrics import whole_registry
from webapp.signals.installation import Installation

REFUSAL = (
    "Metrics are read on the machine itself, or with the METRICS_TOKEN of this installation as bearer token.\n"
    "docs/operating.md says how.\n"
)
PLAIN = "text/plain; charset=utf-8"
NOT_CACHED = {"Cache-Control": "no-store"}


def init_app(app: Flask) -> None:
    app.extensions["installation"] = Installation(app.extensions["settings"])
    app.add_url_rule("/metrics", "metrics", metrics)


def metrics() -> ResponseReturnValue:
    """All of it in Prometheus' text format."""
    settings: Settings = current_app.extensions["settings"]
    if not ((settings.is_local and _is_local()) or _has_token(settings.metrics_token)):
        return Response(REFUSAL, 403, NOT_CACHED, content_type=PLAIN)
    text = generate_latest(whole_registry()) + generate_latest(current_app.extensions["installation"])
    return Response(text, 200, NOT_CACHED, content_type=CONTENT_TYPE_LATEST)


def _is_local() -> bool:
    """Whether the request began on this machine: one that a proxy on it passes on did not, nor one that a page of
    another site sends here under that site's name."""
    if (urlsplit(request.host_url).hostname or "") not in LOOPBACK_NAMES:
        return False
    if FORWARDED in request.environ or any(name in request.headers for name in FORWARDING_HEADERS):
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _has_token(token: str) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())
