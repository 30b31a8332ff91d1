"""Forwarded addresses, believed only when a trusted proxy says them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FORWARDED = "footfall.forwarded"
"""In the environment of a request that a trusted proxy passed on: its headers about the request count."""
FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
ENTRY_LENGTH = 80
REMEMBERED = 20_000


class Proxies:
    """The proxies that are ours: addresses or networks (`10.0.0.1`, `172.30.90.0/24`); ValueError for anything else."""

    def __init__(self, proxies: Sequence[str]) -> None:
        self._networks = [ip_network(proxy, strict=False) for proxy in proxies]
        self.holds = lru_cache(10_000)(self._holds)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def address_before(self, entries: str) -> str:
        """Who came to the first of our proxies, each of which wrote down at the end who came to it; '' if unreadable.

        `entries` are those of X-Forwarded-For, all of its lines. What a stranger wrote before is not read.
        """
        address = ""
        while entries:
            entries, _, entry = entries.rpartition(",")
            address = _bare(entry[-ENTRY_LENGTH:])
            if not self.holds(address):
                break
        return address

    def _holds(self, peer: str) -> bool:
        number = read_address(peer)  # a Unix socket has none
        return number is not None and any(number in network for network in self._networks)


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


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address; one of IPv4 that is written as IPv6 is itself."""
    try:
        number = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(number, IPv6Address) and number.ipv4_mapped is not None:
        return number.ipv4_mapped
    return number


@lru_cache(REMEMBERED)
def _bare(entry: str) -> str:
    """The address of a forwarded entry, which some proxies write with brackets or a port; '' where there is none."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    number = read_address(text)
    return "" if number is None else str(number)
