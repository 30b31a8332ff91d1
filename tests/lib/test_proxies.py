"""A forwarded address counts only from a trusted proxy."""

from __future__ import annotations

import pytest
from flask import Flask, request

from webapp.lib.proxies import TrustedProxies


def seen_by_the_app(peer: str, forwarded: str = "203.0.113.7") -> str:
    app = Flask("test")
    app.add_url_rule("/", "who", lambda: f"{request.remote_addr} {request.scheme} {request.host}")
    app.wsgi_app = TrustedProxies(app.wsgi_app, ["10.0.0.1", "172.30.90.0/24"])  # type: ignore[method-assign]
    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "desk.example"}
    return app.test_client().get("/", headers=headers, environ_overrides={"REMOTE_ADDR": peer}).text


@pytest.mark.parametrize("peer", ["10.0.0.1", "172.30.90.17"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert seen_by_the_app(peer) == "203.0.113.7 https desk.example"


@pytest.mark.parametrize("peer", ["10.0.0.2", "172.30.91.1", "::1", ""])
def test_anyone_else_is_not(peer: str) -> None:
    assert seen_by_the_app(peer) == f"{peer} http localhost"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),  # whoever came wrote the first one
        ("203.0.113.7, 172.30.90.4", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7:5123, 172.30.90.4:80, 10.0.0.1", "203.0.113.7"),
        ("[2001:db8::1]:44, 172.30.90.4", "2001:db8::1"),
        ("172.30.90.5, 172.30.90.4", "172.30.90.5"),  # a visitor beside the proxies
        ("203.0.113.7, garbage", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_who_came_to_the_first_of_several_proxies_is_seen(forwarded: str, address: str) -> None:
    assert seen_by_the_app("10.0.0.1", forwarded) == f"{address} https desk.example"


def test_a_proxy_whose_address_is_written_as_ipv6_is_believed() -> None:
    assert seen_by_the_app("::ffff:10.0.0.1") == "203.0.113.7 https desk.example"


def test_what_is_no_network_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        TrustedProxies(Flask("test").wsgi_app, ["proxy.internal"])
