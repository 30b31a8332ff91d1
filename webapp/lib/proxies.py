"""Forwarded addresses, believed only when a trusted proxy says them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FORWARDED = "footfall.forwarded"
"""In the environment of a request that a trusted proxy passed on: its headers about the request count."""
FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


class TrustedProxies:
    """WSGI middleware: X-Forwarded-For, -Proto and -Host count when the peer is in one of the networks.

    `proxies` are addresses or networks (`10.0.0.1`, `172.30.90.0/24`); raises ValueError for anything else.
    """

    def __init__(self, app: WSGIApplication, proxies: Sequence[str]) -> None:
        self._plain = app
        self._forwarded = ProxyFix(app, x_for=1, x_proto=1, x_host=1)
        self._networks = [ip_network(proxy, strict=False) for proxy in proxies]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._is_trusted(str(environ.get("REMOTE_ADDR", ""))):
            return self._plain(environ, start_response)
        environ[FORWARDED] = True
        return self._forwarded(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False  # a Unix socket has no address
        return any(address in network for network in self._networks)
