"""Whatever is asked of the edge over HTTP, it answers, never with a fault of its own; and what it accepts is stored.

The whole edge runs, with real Redis and PostgreSQL; requests reach it as a server hands them over.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote_from_bytes
from uuid import UUID

import pytest
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Person, owner_connection
from tests.visits.collecting.test_fuzz import BEACONS, HARD, TRACKER_BODIES, URLS, VALUES
from tests.visits.support import BROWSER, ORIGIN, add_site
from webapp.config import Settings
from webapp.edge import Edge
from webapp.lib.redis import beacons_client
from webapp.visits import backlog
from webapp.visits.backlog import Kind
from webapp.visits.collecting.pixel import GIF
from webapp.visits.collecting.signatures import sign
from webapp.visits.models import Site

TRACKED = st.sampled_from([json.loads(path.read_bytes()) for path in TRACKER_BODIES])
CHANGED = st.builds(
    lambda beacon, changes: {**beacon, **changes},
    TRACKED,
    st.dictionaries(
        st.sampled_from(["id", "kind", "pageUrl", "name", "props", "referrer", "visitedAt"]), VALUES, max_size=2
    ),
)
ANY = BEACONS | TRACKED | CHANGED
LISTS = st.lists(ANY | VALUES, max_size=8)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "origin": st.sampled_from([ORIGIN, "null", "https://evil.example"]) | HEADER,
        "user-agent": st.sampled_from([BROWSER, "Googlebot/2.1", ""]) | HEADER,
        "x-forwarded-for": st.sampled_from(["81.2.69.1", "::1, 8.8.8.8", ","]) | HEADER,
        "content-length": st.sampled_from(["0", "-1", "x", "99999999999"]),
        "dnt": st.sampled_from(["1", "0", "x"]),
        "x-footfall-signature": HEADER,
        "referer": URLS.map(lambda url: url.encode("utf-8", "replace").decode("latin-1")) | HEADER,
    },
)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["site", "page", "referrer", "x", ""]), st.sampled_from(["KEY", f"{ORIGIN}/a"]) | HARD | URLS
    ),
    max_size=5,
)
Beacon = dict[str, Any]


@dataclass
class Asked:
    """An edge that is asked in its own event loop, and the place up to which its stream was read."""

    settings: Settings
    site: Site
    edge: Edge
    loop: asyncio.AbstractEventLoop
    read_up_to: str = backlog.START
    statuses: set[int] = field(default_factory=set)

    def ask(self, path: str, body: bytes, headers: dict[str, str], query: bytes = b"", method: str = "POST") -> Any:
        """Status, headers and body of the answer."""
        sent: list[dict[str, Any]] = []
        fields = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {
            "type": "http", "method": method, "path": path, "query_string": query, "headers": fields,
            "client": ("203.0.113.9", 50_000),
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        self.loop.run_until_complete(self.edge(scope, receive, send))
        self.statuses.add(sent[0]["status"])
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:])

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        """What `/collect` says, checked against what is stored since."""
        status, told, content = self.ask(self.settings.collect_path, body, headers)
        assert status in {202, 204} or 400 <= status < 500, (status, content)
        answer = json.loads(content) if content else {}
        ids = self.stored_ids()
        if status == 202 and b"x-footfall-dropped" not in told:
            accepted = answer.get("accepted", 1)
            assert len(ids) == accepted
            assert {UUID(text) for text in answer.get("ids", [])} <= set(ids)
        else:
            assert ids == []
        return status, answer

    def stored_ids(self) -> list[UUID]:
        """What the stream holds since the last time, without what was counted as dropped."""
        with beacons_client(self.settings) as client:
            entries = backlog.read_after(client, self.read_up_to, 10**4)
        if entries:
            self.read_up_to = entries[-1].id
        rows = [row for entry in entries for row in backlog.decode_rows(entry.content)]
        return [UUID(bytes=row.id) for row in rows if row.kind != Kind.DROPPED]

    def of_site(self, beacon: Any) -> Any:
        """The beacon with this site's key."""
        return {**beacon, "siteKey": self.site.site_key} if isinstance(beacon, dict) and "pageUrl" in beacon else beacon


@contextmanager
def asking(settings: Settings, site: Site) -> Iterator[Asked]:
    loop = asyncio.new_event_loop()
    edge = Edge(replace(settings, address_rate_limit=10**6))
    collector, hub = loop.run_until_complete(edge._start())
    try:
        yield Asked(settings, site, edge, loop)
    finally:
        loop.run_until_complete(collector.stop())
        loop.run_until_complete(hub.close())
        loop.close()


@pytest.fixture
def asked(app: APIFlask, alice: Person, services: Settings) -> Iterator[Asked]:
    site = add_site(app, alice.organisation_id)
    with owner_connection(services) as connection:
        connection.execute("UPDATE sites SET rate_limit = 1000000")
    with asking(services, site) as opened:
        yield opened


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_one_beacon_with_any_headers(asked: Asked) -> None:
    @given(ANY, HEADERS)
    @settings(max_examples=300, deadline=None)
    def check(beacon: Beacon, headers: dict[str, str]) -> None:
        asked.post(encode(asked.of_site(beacon)), {"origin": ORIGIN, "user-agent": BROWSER, **headers})

    check()
    assert {202, 422} <= asked.statuses


def test_lists_of_any_items(asked: Asked) -> None:
    counts = {"accepted": 0, "refused": 0}

    @given(LISTS)
    @settings(max_examples=250, deadline=None)
    def check(items: list[Any]) -> None:
        status, answer = asked.post(
            encode([asked.of_site(item) for item in items]), {"origin": ORIGIN, "user-agent": BROWSER}
        )
        if status == 202:
            assert answer["accepted"] + len(answer["refused"]) + len(answer["dropped"]) == len(items)
            counts["accepted"] += answer["accepted"]
            counts["refused"] += len(answer["refused"])

    check()
    assert min(counts.values()) > 0


def test_damaged_bodies_and_any_bytes(asked: Asked) -> None:
    @given(LISTS | ANY, st.integers(0, 2_000), st.binary(max_size=4), st.integers(0, 6))
    @settings(max_examples=250, deadline=None)
    def damaged(value: Any, at: int, put: bytes, cut: int) -> None:
        body = encode([asked.of_site(one) for one in value] if isinstance(value, list) else asked.of_site(value))
        asked.post(body[:at] + put + body[at + cut :], {"origin": ORIGIN, "user-agent": BROWSER})

    @given(st.binary(max_size=200), HEADERS)
    @settings(max_examples=150, deadline=None)
    def anything(body: bytes, headers: dict[str, str]) -> None:
        asked.post(body, headers)

    damaged()
    anything()


def test_signed_bodies_rightly_and_wrongly(asked: Asked) -> None:
    """A server says whose address, browser and moment it was; a wrong signature takes nothing."""
    told = st.fixed_dictionaries({}, optional={"ip": HARD | st.just("8.8.8.8"), "userAgent": HARD | st.just(BROWSER)})

    @given(LISTS | ANY, told, st.sampled_from(["right", "cut", "other", "none"]))
    @settings(max_examples=250, deadline=None)
    def check(value: Any, more: Beacon, way: str) -> None:
        items = [asked.of_site(one) for one in (value if isinstance(value, list) else [value])]
        items = [{**one, **more} if isinstance(one, dict) and "pageUrl" in one else one for one in items]
        body = encode(items if isinstance(value, list) else items[0])
        right = sign(asked.site.identify_secret, body)
        signature = {"right": right, "cut": right[:-1], "other": sign("another", body), "none": ""}[way]
        status, answer = asked.post(body, {"x-footfall-signature": signature} if signature else {})
        if way in {"cut", "other"}:
            assert status != 202 or answer["accepted"] == 0

    check()
    assert {202, 422} <= asked.statuses


def test_the_pixel_with_any_query(asked: Asked) -> None:
    @given(QUERIES | st.binary(max_size=60), HEADERS)
    @settings(max_examples=300, deadline=None)
    def check(query: Any, headers: dict[str, str]) -> None:
        text = (
            query
            if isinstance(query, bytes)
            else b"&".join(
                f"{name}={quote_from_bytes(value.encode('utf-8', 'surrogatepass'))}".encode() for name, value in query
            )
        )
        text = text.replace(b"KEY", asked.site.site_key.encode())
        given_headers = {"user-agent": BROWSER, **headers}
        status, told, content = asked.ask(asked.settings.pixel_path, b"", given_headers, text, "GET")
        ids = asked.stored_ids()
        assert (status, content) == (200, GIF)
        assert len(ids) == (b"x-footfall-dropped" not in told)

    check()
    status, told, _ = asked.ask(
        asked.settings.pixel_path, b"", {"user-agent": BROWSER, "referer": f"{ORIGIN}/"},
        f"site={asked.site.site_key}".encode(), "GET",
    )  # fmt: skip
    assert (status, b"x-footfall-dropped" in told) == (200, False)
    assert len(asked.stored_ids()) == 1
