"""How much may come from an address and for a site, and for whom a signed request may speak."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from webapp.visits.collecting.intake import KnownSite
from webapp.visits.collecting.rate_limits import Buckets
from webapp.visits.collecting.refusals import BODY_LIMIT_BYTES, RefusedError, bad_signature, rate_limited
from webapp.visits.collecting.senders import Sender
from webapp.visits.collecting.signatures import is_signed


@dataclass(slots=True)
class Request:
    """A body and who sent it. Its signature is over the whole body, so each site's secret is tried once."""

    body: bytes
    sender: Sender
    tried: dict[bytes, Sender | RefusedError] = field(default_factory=dict)


class Admission:
    """The limits of one process of the edge, of so many."""

    def __init__(self, address_rate: int, processes: int = 1) -> None:
        self._by_address, self._by_site = Buckets(processes), Buckets(processes)
        self._address_rate = address_rate

    def admit(self, site: KnownSite, request: Request) -> Sender:
        """Who sends one beacon of a request to a site; raises RefusedError.

        A site's own server speaks for many visitors, so its address has no limit of its own.
        """
        sender = self._vouched_for(site, request) if request.sender.signature else request.sender
        if not sender.is_trusted:
            self.charge(sender)
        wait = self._by_site.wait_seconds(site.site_id, 1, site.rules.rate_limit, time.monotonic())
        if wait:
            raise rate_limited(wait)
        return sender

    def charge(self, sender: Sender, count: float = 1) -> None:
        """Take so many beacons from the sender's address; one that nobody knows would be everybody's, so is free."""
        key = sender.place.limit_key
        wait = self._by_address.wait_seconds(key, count, self._address_rate, time.monotonic()) if key else 0
        if wait:
            raise rate_limited(wait)

    def _vouched_for(self, site: KnownSite, request: Request) -> Sender:
        found = request.tried.get(site.site_id)
        if found is None:
            found = request.tried[site.site_id] = self._try(site, request)
        if isinstance(found, RefusedError):
            raise found
        return found

    def _try(self, site: KnownSite, request: Request) -> Sender | RefusedError:
        """Anyone can send a wrong signature, so looking at one is paid for in advance; a right one gets it back."""
        sender, cost = request.sender, self._cost(request.body)
        try:
            self.charge(sender, cost)
        except RefusedError as refusal:
            return refusal
        if not is_signed(site.rules.identify_secret, request.body, sender.signature):
            return bad_signature()
        self._by_address.give_back(sender.place.limit_key, cost, self._address_rate)
        return replace(sender, is_trusted=True, is_signed=True)

    def _cost(self, body: bytes) -> float:
        """As much as the beacons that the body has room for, but never more than may come in a second."""
        return min(1 + len(body) // BODY_LIMIT_BYTES, self._by_address.share(self._address_rate))
