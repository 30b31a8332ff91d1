"""The pixel: what of a request becomes a beacon, and the picture that every request gets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.collecting.test_collect import drops
from tests.visits.support import ORIGIN, add_site, count_all, scalar
from webapp.config import Settings
from webapp.edge import Edge
from webapp.lib.redis import beacons_client
from webapp.visits import backlog
from webapp.visits.collecting.pixel import GIF, read_pixel

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"


def scope_of(query: str, **headers: str) -> dict[str, Any]:
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "GET", "path": "/pixel.gif", "query_string": query.encode(), "headers": fields}


@pytest.mark.parametrize(
    ("query", "headers", "page_url", "origin"),
    [
        ("site=k", {"referer": "https://shop.example/a?b=c"}, "https://shop.example/a?b=c", "https://shop.example"),
        ("site=k&page=https://shop.example/x%3Fy%3D1", {}, "https://shop.example/x?y=1", "https://shop.example"),
        (
            "site=k&page=https://shop.example/x",
            {"referer": "https://evil.example/", "origin": "https://shop.example"},
            "https://shop.example/x",
            "https://evil.example",
        ),
        ("site=k", {}, "", "null"),
        ("site=k", {"referer": "https://[broken"}, "https://[broken", "null"),
        ("", {"referer": "about:blank"}, "about:blank", "null"),
        ("%ff=%00&page=%00", {}, "\x00", "null"),
    ],
)
def test_a_request_becomes_a_beacon_of_the_page_that_embeds_it(
    query: str, headers: dict[str, str], page_url: str, origin: str
) -> None:
    body, as_posted = read_pixel(scope_of(query, **headers))
    beacon = json.loads(body)
    assert beacon["pageUrl"] == page_url
    assert "identifier" not in beacon
    assert [value for name, value in as_posted["headers"] if name == b"origin"] == [origin.encode()]


def test_the_referrer_of_the_page_can_be_told() -> None:
    body, _ = read_pixel(scope_of("site=k&page=https://shop.example/&referrer=https://news.example/a"))
    assert json.loads(body) == {
        "siteKey": "k",
        "pageUrl": "https://shop.example/",
        "referrer": "https://news.example/a",
    }


def sent_by(settings: Settings, *scopes: dict[str, Any]) -> list[dict[str, Any]]:
    """All messages of the edge that answer these requests."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def run() -> None:
        edge = Edge(settings)
        for scope in scopes:
            await edge(scope, receive, send)
        collector, hub = await edge._start()
        await collector.stop()
        await hub.close()

    asyncio.run(run())
    return sent


def asked(settings: Settings, *scopes: dict[str, Any]) -> list[dict[bytes, bytes]]:
    """The headers of the pictures that these requests get."""
    sent = sent_by(settings, *scopes)
    starts, bodies = sent[::2], sent[1::2]
    assert {start["status"] for start in starts} == {200}
    assert {body["body"] for body in bodies} == {GIF}
    return [dict(start["headers"]) for start in starts]


def test_a_page_without_scripts_counts_as_a_cookieless_pageview(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    headers = {"referer": f"{ORIGIN}/pricing?plan=1", "user-agent": BROWSER}
    answers = asked(services, *[scope_of(f"site={site.site_key}", **headers) for _ in range(2)])
    assert [b"x-footfall-dropped" in answer for answer in answers] == [False, False]
    with beacons_client(services) as client:
        rows = [
            row
            for entry in backlog.read_after(client, backlog.START, 100)
            for row in backlog.decode_rows(entry.content)
        ]
    assert [row.page_url.split("?")[0] for row in rows] == [f"{ORIGIN}/pricing"] * 2
    assert len({row.id for row in rows}) == 2
    assert len({row.visitor for row in rows}) == 1
    count_all(app, services)
    assert scalar(services, "SELECT sum(pageview_count) FROM site_roll_ups WHERE grain = 'quarter'") == 2


def test_another_website_cannot_count_by_the_picture(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    query = f"site={site.site_key}&page={ORIGIN}/"
    evil, unnamed, bot = asked(
        services,
        scope_of(query, **{"referer": "https://evil.example/", "user-agent": BROWSER}),
        scope_of(f"site={site.site_key}", **{"user-agent": BROWSER}),
        scope_of(query, **{"referer": f"{ORIGIN}/", "user-agent": "Googlebot/2.1"}),
    )
    assert evil[b"x-footfall-dropped"] == b"origin-not-allowed"
    assert unnamed[b"x-footfall-dropped"] == b"origin-not-allowed"
    assert bot[b"x-footfall-dropped"] == b"bot"


def test_only_a_picture_that_is_fetched_counts(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    get = scope_of(f"site={site.site_key}", **{"referer": f"{ORIGIN}/", "user-agent": BROWSER})
    others = [{**get, "method": method} for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS")]
    sent = sent_by(services, *others, get)
    head, *refused, options, got = sent[::2]
    assert (head["status"], sent[1].get("body", b"")) == (200, b"")
    assert dict(head["headers"]) == dict(got["headers"])
    assert [start["status"] for start in refused] == [405] * 3
    assert {dict(start["headers"])[b"allow"] for start in refused} == {b"GET, HEAD, OPTIONS"}
    assert options["status"] == 204
    with beacons_client(services) as client:
        assert (
            sum(len(backlog.decode_rows(entry.content)) for entry in backlog.read_after(client, backlog.START, 99)) == 1
        )


def test_a_picture_beyond_the_limit_is_lost_and_counted_so(app: APIFlask, alice: Person, services: Settings) -> None:
    """Nobody sends it again, as the tracker does."""
    site = add_site(app, alice.organisation_id)
    scope = scope_of(f"site={site.site_key}", **{"referer": f"{ORIGIN}/", "user-agent": BROWSER})
    scope["client"] = ("203.0.113.9", 50_000)
    answers = asked(replace(services, address_rate_limit=1), *[scope] * 15)
    lost = [answer[b"x-footfall-dropped"] for answer in answers if b"x-footfall-dropped" in answer]
    assert set(lost) == {b"rate-limited"}
    assert drops(services) == {"rate-limited": len(lost)}


def test_whatever_becomes_of_it_a_browser_gets_its_picture_and_keeps_none(services: Settings) -> None:
    (headers,) = asked(services, scope_of("site=unknown", **{"referer": f"{ORIGIN}/", "user-agent": BROWSER}))
    assert (headers[b"content-type"], headers[b"cache-control"]) == (b"image/gif", b"no-store")
    assert headers[b"x-footfall-dropped"] == b"unknown-site-key"
