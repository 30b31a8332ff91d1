"""Who sent a request, as far as its headers and its connection tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from webapp.visits.collecting.beacon import Beacon
from webapp.visits.collecting.clients import LENGTH_LIMIT, UNKNOWN, Client, client_of
from webapp.visits.collecting.countries import NOWHERE, Countries, Place, read_address

Scope = dict[str, Any]


@dataclass(slots=True)
class Sender:
    """A browser, or the server that speaks for it. `is_trusted` is who proved to belong to the site."""

    origin: str | None = None
    place: Place = NOWHERE
    user_agent: bytes = b""
    client: Client = UNKNOWN
    accept_language: bytes = b""
    does_not_want_tracking: bool = False
    sends_privacy_control: bool = False
    signature: str = ""
    is_trusted: bool = False
    is_signed: bool = False


class Senders:
    """Reads senders out of requests: a forwarded address counts only when a trusted proxy says it."""

    def __init__(self, countries: Countries, trusted_proxies: Sequence[str]) -> None:
        self._countries = countries
        self._networks = [ip_network(proxy, strict=False) for proxy in trusted_proxies]
        self._is_proxy = lru_cache(10_000)(self._is_in_networks)

    def of(self, scope: Scope) -> Sender:
        """The sender of a request to the edge."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin = headers.get(b"origin")
        user_agent = headers.get(b"user-agent", b"")[:LENGTH_LIMIT]
        return Sender(
            None if origin is None else origin.decode("latin-1"),
            self._countries.place_of(self._address(scope, headers)),
            user_agent,
            client_of(user_agent),
            headers.get(b"accept-language", b""),
            headers.get(b"dnt") == b"1",
            headers.get(b"sec-gpc") == b"1",
            headers[b"x-footfall-signature"].decode("latin-1") if b"x-footfall-signature" in headers else "",
        )

    def spoken_for(self, beacon: Beacon, server: Sender) -> Sender:
        """The visitor for whom a site's own server speaks: nothing about that server is about the visitor."""
        user_agent = (beacon.user_agent or "").encode()[:LENGTH_LIMIT]
        return Sender(
            origin=server.origin,
            place=self._countries.place_of(beacon.ip) if beacon.ip else NOWHERE,
            user_agent=user_agent,
            client=client_of(user_agent) if user_agent else UNKNOWN,
            is_trusted=True,
            is_signed=server.is_signed,
        )

    def _address(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        peer: str = scope["client"][0] if scope.get("client") else ""
        forwarded = headers.get(b"x-forwarded-for")
        if forwarded is None or not self._is_proxy(peer):
            return peer
        return forwarded.decode("latin-1").rpartition(",")[2].strip()

    def _is_in_networks(self, peer: str) -> bool:
        number = read_address(peer)
        return number is not None and any(number in network for network in self._networks)
