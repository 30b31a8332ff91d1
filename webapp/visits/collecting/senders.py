"""Who sent a request, as far as its headers and its connection tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from webapp.lib.addresses import Proxies
from webapp.visits.collecting.beacon import Beacon
from webapp.visits.collecting.checks import language_of
from webapp.visits.collecting.clients import LENGTH_LIMIT, UNKNOWN, Client, client_of
from webapp.visits.collecting.countries import NOWHERE, Countries, Place

Scope = dict[str, Any]

REMEMBERED = 20_000
ADDRESS_LENGTH = 64
ORIGIN_LENGTH = 300
LANGUAGE_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Sender:
    """A browser, or the server that speaks for it. `is_trusted` is who proved to belong to the site."""

    origin: str | None = None
    place: Place = NOWHERE
    user_agent: bytes = b""
    client: Client = UNKNOWN
    language: str = ""
    does_not_want_tracking: bool = False
    sends_privacy_control: bool = False
    signature: str = ""
    is_trusted: bool = False
    is_signed: bool = False


class Senders:
    """Reads senders out of requests: a forwarded address counts only when a trusted proxy says it.

    A browser sends the same headers again and again, so a sender is made once while it is in use.
    """

    def __init__(self, countries: Countries, trusted_proxies: Sequence[str]) -> None:
        self._countries = countries
        self._proxies = Proxies(trusted_proxies)
        self._remembered = lru_cache(REMEMBERED)(self._make)

    def of(self, scope: Scope) -> Sender:
        """The sender of a request to the edge."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        get = headers.get
        sender = self._remembered(
            self._address(scope, headers)[:ADDRESS_LENGTH],
            get(b"user-agent", b"")[:LENGTH_LIMIT],
            get(b"origin", b"")[:ORIGIN_LENGTH],
            get(b"accept-language", b"")[:LANGUAGE_LIMIT],
            get(b"dnt") == b"1",
            get(b"sec-gpc") == b"1",
        )
        if b"x-footfall-signature" in headers:
            return replace(sender, signature=headers[b"x-footfall-signature"].decode("latin-1"))
        return sender

    def _make(
        self, address: str, user_agent: bytes, origin: bytes, accept_language: bytes, dnt: bool, gpc: bool
    ) -> Sender:
        return Sender(
            origin.decode("latin-1") if origin else None,
            self._countries.place_of(address),
            user_agent,
            client_of(user_agent),
            language_of(accept_language.decode("latin-1")),
            dnt,
            gpc,
        )

    def spoken_for(self, beacon: Beacon, server: Sender) -> Sender:
        """The visitor for whom a site's own server speaks: nothing about that server is about the visitor."""
        user_agent = (beacon.user_agent or "").encode()[:LENGTH_LIMIT]
        return Sender(
            origin=server.origin,
            place=self._countries.place_of(beacon.ip[:ADDRESS_LENGTH]) if beacon.ip else NOWHERE,
            user_agent=user_agent,
            client=client_of(user_agent) if user_agent else UNKNOWN,
            is_trusted=True,
            is_signed=server.is_signed,
        )

    def _address(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        peer: str = scope["client"][0] if scope.get("client") else ""
        if not self._proxies:
            return peer
        if b"x-forwarded-for" not in headers or not self._proxies.holds(peer):
            return peer
        lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return self._proxies.address_before(b",".join(lines).decode("latin-1")) or peer
