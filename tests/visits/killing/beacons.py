"""Beacons of every kind at random, and the row that each of them must count as."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from tests.visits.support import BROWSER, COUNTRIES
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.visits.backlog import Kind, Row
from webapp.visits.collecting.checks import check_props
from webapp.visits.collecting.signatures import sign
from webapp.visits.models import Site

VISITORS = 150
"""Of each site: few enough that sketches are exact, many enough that several senders meet in one visit."""
PAGES = 30
WEIGHTS = {Kind.PAGEVIEW: 55, Kind.EVENT: 15, Kind.ENGAGEMENT: 15, Kind.PRODUCT: 8, Kind.IDENTIFY: 7}
NETWORKS = ("81.2.69", "8.8.8", "193.0.6", "1.1.1", "10.0.0")
Beacon = dict[str, Any]
Props = dict[str, str | int | float | bool]


@dataclass(frozen=True)
class Made:
    """A beacon, and what it counts as."""

    beacon: Beacon
    row: Row
    address: str

    @property
    def id(self) -> UUID:
        return UUID(bytes=self.row.id)


@dataclass
class Maker:
    """Makes beacons of one site. No visitor does two things in one millisecond: which came first is never open."""

    site: Site
    random: Random
    taken: set[tuple[str, int]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def origin(self) -> str:
        return str(self.site.origins[0])

    def visitor(self) -> int:
        return self.random.randrange(VISITORS)

    def make(self, number: int, *, is_signed: bool = False) -> Made:
        """A beacon of this visitor, at a moment of the last hour or, if late, of as long ago as its sender may tell."""
        with self.lock:
            [kind] = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))
            visitor, address = _identifier(number, is_signed=is_signed), f"{NETWORKS[number % 5]}.{number}"
            visited_ms = self._moment(visitor, is_signed=is_signed)
            page = f"{self.origin}/page/{self.random.randrange(PAGES)}"
            row = self._row(kind, visitor, visited_ms, page, COUNTRIES.place_of(address).country)
            beacon = self._beacon(row, page)
            self._complete(kind, row, beacon)
        if is_signed:
            beacon |= {"ip": address, "userAgent": BROWSER}
        return Made(beacon, row, address)

    def _moment(self, visitor: str, *, is_signed: bool) -> int:
        late = timedelta(days=30) if is_signed else timedelta(hours=40)
        while True:
            reach = late if self.random.random() < 0.15 else timedelta(hours=1)
            at = utc_now() - self.random.random() * reach
            visited_ms = int(at.timestamp() * 1000)
            if (visitor, visited_ms) not in self.taken:
                self.taken.add((visitor, visited_ms))
                return visited_ms

    def _row(self, kind: Kind, visitor: str, visited_ms: int, page: str, country: str) -> Row:
        return Row(
            self.site.organisation_id.bytes, self.site.id.bytes, uuid7().bytes, visited_ms, visited_ms,
            visitor, page, "", "1280x720", kind=int(kind), country=country,
        )  # fmt: skip

    def _beacon(self, row: Row, page: str) -> Beacon:
        return {
            "id": str(UUID(bytes=row.id)),
            "siteKey": self.site.site_key,
            "identifier": row.visitor,
            "kind": Kind(row.kind).name.lower(),
            "pageUrl": f"{page}?utm_source=letter&x={row.visited_ms}#top",
            "visitedAt": datetime.fromtimestamp(row.visited_ms / 1000, UTC).isoformat(),
            "screen": row.screen,
            "language": "en-GB",
        }

    def _complete(self, kind: Kind, row: Row, beacon: Beacon) -> None:
        if kind is Kind.EVENT:
            props: dict[str, str | int | float | bool] = {
                "plan": self.random.choice(["small", "large"]),
                "seats": self.random.randrange(5),
            }
            row.name, row.props = self.random.choice(["signup", "buy"]), check_props(props)
            beacon |= {"name": row.name, "props": props}
        elif kind is Kind.ENGAGEMENT:
            row.engaged_ms, row.scroll = self.random.randrange(60_000), self.random.randrange(101)
            beacon |= {"engagedMs": row.engaged_ms, "scrollPercent": row.scroll}
        elif kind is Kind.PRODUCT:
            row.name = f"SKU-{self.random.randrange(20)}"
            beacon |= {"sku": row.name}
        elif kind is Kind.IDENTIFY:
            row.name = self.random.choice(["alice@example.com", "bob@example.com"])
            signature = sign(self.site.identify_secret, row.name.encode())
            beacon |= {"identity": row.name, "signature": signature}


def _identifier(number: int, *, is_signed: bool) -> str:
    """A server knows addresses, and a browser has the tracker's random number."""
    return f"visitor-{number}@example.com" if is_signed else f"0190f5a2-1c5f-7f0e-9d5b-{number:012x}"


def say_when_sent(made: Made) -> Made:
    """As the tracker does: the server then reckons the moment by its own clock, and again at each try."""
    return Made({**made.beacon, "sentAt": utc_now().isoformat()}, made.row, made.address)
