"""The pixel: what of a request becomes a beacon, and the picture that every request gets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from webapp.config import Settings
from webapp.edge import Edge
from webapp.visits.collecting.pixel import GIF, read_pixel


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


def test_whatever_becomes_of_it_a_browser_gets_its_picture_and_keeps_none(services: Settings) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def run() -> None:
        edge = Edge(services)
        await edge(scope_of("site=unknown", referer="https://shop.example/"), receive, send)
        collector, hub = await edge._start()
        await collector.stop()
        await hub.close()

    asyncio.run(run())
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], sent[1]["body"]) == (200, GIF)
    assert (headers[b"content-type"], headers[b"cache-control"]) == (b"image/gif", b"no-store")
    assert headers[b"x-footfall-dropped"]
