"""A forwarded address counts only from a trusted proxy."""

from __future__ import annotations

import pytest
from flask import Flask, request

from webapp.lib.proxies import TrustedProxies


def seen_by_the_app(peer: str) -> str:
    app = Flask("test")
    app.add_url_rule("/", "who", lambda: f"{request.remote_addr} {request.scheme} {request.host}")
    app.wsgi_app = TrustedProxies(app.wsgi_app, ["10.0.0.1", "172.30.90.0/24"])  # type: ignore[method-assign]
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "desk.example"}
    return app.test_client().get("/", headers=headers, environ_overrides={"REMOTE_ADDR": peer}).text


@pytest.mark.parametrize("peer", ["10.0.0.1", "172.30.90.17"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert seen_by_the_app(peer) == "203.0.113.7 https desk.example"


@pytest.mark.parametrize("peer", ["10.0.0.2", "172.30.91.1", "::1", ""])
def test_anyone_else_is_not(peer: str) -> None:
    assert seen_by_the_app(peer) == f"{peer} http localhost"


def test_what_is_no_network_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        TrustedProxies(Flask("test").wsgi_app, ["proxy.internal"])
