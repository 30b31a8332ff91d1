"""Forwarded addresses, believed only when a trusted proxy says them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

from webapp.lib.addresses import Proxies

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FORWARDED = "footfall.forwarded"
"""In the environment of a request that a trusted proxy passed on: its headers about the request count."""
FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


class TrustedProxies:
    """WSGI middleware: X-Forwarded-For, -Proto and -Host count when the peer is one of the proxies."""

    def __init__(self, app: WSGIApplication, proxies: Sequence[str]) -> None:
        self._plain = app
        self._forwarded = ProxyFix(app, x_for=0, x_proto=1, x_host=1)
        self._proxies = Proxies(proxies)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._proxies.holds(str(environ.get("REMOTE_ADDR", ""))):
            return self._plain(environ, start_response)
        environ[FORWARDED] = True
        if address := self._proxies.address_before(str(environ.get("HTTP_X_FORWARDED_FOR", ""))):
            environ["REMOTE_ADDR"] = address
        return self._forwarded(environ, start_response)
