"""What tests of visits share: sites, beacons, a collector to post to, and counting what came in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl
from apiflask import APIFlask

from tests.conftest import owner_connection
from webapp.config import Settings, get_settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.redis import beacons_client
from webapp.visits import backlog
from webapp.visits.backlog import Kind, Row
from webapp.visits.collecting.beacon import read_beacon
from webapp.visits.collecting.clients import client_of
from webapp.visits.collecting.collect import Collector
from webapp.visits.collecting.countries import Countries
from webapp.visits.collecting.intake import KnownSite, take
from webapp.visits.collecting.rules import make_rules
from webapp.visits.collecting.senders import Sender, Senders
from webapp.visits.models import RawKind, Site
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, VISIT_SCHEMA, decode
from webapp.visits.service import create_site
from webapp.visits.tasks import roll_up_once

ORIGIN = "https://shop.example"
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
CLIENT = "203.0.113.9"
COUNTRIES = Countries(get_settings().countries_path)
SALT = b"s" * 32
VISITOR = "0190f5a2-1c5f-7f0e-9d5b-6d2f8b6f3a11"
"""A browser, as the tracker calls it."""


@dataclass(frozen=True)
class Answered:
    """What the collector said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


def add_site(app: APIFlask, organisation_id: UUID, origin: str = ORIGIN, time_zone: str = "UTC") -> Site:
    """A site, usable outside a session."""
    with app.app_context(), tenant(organisation_id):
        site = create_site(organisation_id, "Shop", origin, time_zone)
        db.session.commit()
        db.session.refresh(site)
        db.session.expunge(site)
        return site


def make_beacon(site_key: str, **changes: object) -> dict[str, object]:
    beacon: dict[str, object] = {
        "id": str(uuid7()),
        "siteKey": site_key,
        "identifier": VISITOR,
        "pageUrl": f"{ORIGIN}/pricing?utm_source=letter#top",
        "visitedAt": utc_now().isoformat(),
        "referrer": "https://www.google.com/",
        "screen": "1920x1080",
    }
    return {name: value for name, value in {**beacon, **changes}.items() if value is not MISSING}


MISSING = object()


def make_known_site(**changes: Any) -> KnownSite:
    """A site that takes everything from everywhere but for what is given."""
    usual: dict[str, Any] = {
        "origins": (), "query_keys": (), "excluded_pages": (), "excluded_addresses": (), "excluded_countries": (),
        "drops_bots": True, "respects_dnt": False, "is_cookieless": False, "counts_fragments": False,
        "identify_secret": "secret", "rate_limit": 1000,
    }  # fmt: skip
    return KnownSite(uuid7().bytes, uuid7().bytes, make_rules(**usual | changes))


def make_sender(address: str = CLIENT, user_agent: str = BROWSER, **changes: Any) -> Sender:
    """A browser that asks."""
    given = user_agent.encode()
    return Sender(ORIGIN, COUNTRIES.place_of(address), given, client_of(given), **changes)


def take_beacon(
    body: bytes, now_ms: int, site: KnownSite | None = None, sender: Sender | None = None, *, trusted: bool = False
) -> Row:
    """The row that a beacon's body makes, as the edge takes it, or from whoever has a key."""
    beacon = read_beacon(body)
    if trusted:
        sender = Senders(COUNTRIES, ()).spoken_for(beacon, Sender(is_trusted=True))
    return take(beacon, site or make_known_site(), sender or make_sender(), now_ms, SALT)


async def ask(
    collector: Collector,
    body: bytes,
    origin: str | None = ORIGIN,
    method: str = "POST",
    parts: int = 1,
    headers: Mapping[str, str] | None = None,
    client: str = CLIENT,
) -> Answered:
    """Send one request to the ASGI callable, as a browser does, its body in so many parts."""
    given = {"content-type": "text/plain;charset=UTF-8", "user-agent": BROWSER, **(headers or {})}
    if origin is not None:
        given["origin"] = origin
    size = max(1, -(-len(body) // parts))
    chunks = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    sent_headers = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": method, "path": "/collect", "headers": sent_headers, "client": (client, 50_000)}
    await collector.handle(scope, receive, send)
    answer_headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answered(sent[0]["status"], answer_headers, b"".join(message.get("body", b"") for message in sent[1:]))


def post(settings: Settings, *bodies: object, origin: str | None = ORIGIN, **how: Any) -> list[Answered]:
    """Post beacons (or raw bytes) at the same time to a collector of their own."""

    async def run() -> list[Answered]:
        collector = Collector(settings)
        await collector.start()
        try:
            encoded = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
            return list(await asyncio.gather(*(ask(collector, body, origin, **how) for body in encoded)))
        finally:
            await collector.stop()

    return asyncio.run(run())


def make_row(site: Site, visited_at: datetime | None = None, **changes: object) -> Row:
    """An accepted beacon as the stream carries it."""
    at = visited_at or utc_now()
    milliseconds = int(at.timestamp() * 1000)
    values: dict[str, Any] = {
        "id": uuid7().bytes,
        "visitor": "visitor-1",
        "page_url": f"{ORIGIN}/",
        "referrer": "",
        "screen": "",
        **changes,
    }
    return Row(site.organisation_id.bytes, site.id.bytes, visited_ms=milliseconds, received_ms=milliseconds, **values)


def add_rows(settings: Settings, rows: Iterable[Row], group: int = 10) -> None:
    """Put rows into the stream, in groups."""
    rows = list(rows)
    with beacons_client(settings) as client:
        for start in range(0, len(rows), group):
            backlog.add(client, rows[start : start + group], 10**9)


def count_all(app: APIFlask, settings: Settings, batch: int = 20_000) -> None:
    """Roll up until nothing is left."""
    with app.app_context(), beacons_client(settings) as client:
        while roll_up_once(client, batch):
            pass


def scalar(settings: Settings, statement: str, *parameters: object) -> Any:
    """One value, asked behind the scenes, where no policy binds."""
    with owner_connection(settings) as connection:
        row = connection.execute(statement, parameters).fetchone()
        return row[0] if row else None


def rows_of(settings: Settings, statement: str, *parameters: object) -> list[Any]:
    with owner_connection(settings) as connection:
        return connection.execute(statement, parameters).fetchall()


def counted(settings: Settings) -> tuple[int, int, int]:
    """Raw pageviews, and what quarters and days of the sites add up to: three numbers that must agree."""
    raw = read_raw(settings, RawKind.ACTIVITY).filter(pl.col("kind") == Kind.PAGEVIEW).height
    quarters = scalar(settings, "SELECT coalesce(sum(pageview_count), 0) FROM site_roll_ups WHERE grain = 'quarter'")
    days = scalar(settings, "SELECT coalesce(sum(pageview_count), 0) FROM page_roll_ups WHERE grain = 'day'")
    return int(raw), int(quarters), int(days)


def read_raw(settings: Settings, kind: RawKind) -> pl.DataFrame:
    """All chunks of raw rows together, with the site of each row."""
    found = rows_of(settings, "SELECT site_id, content FROM raw_chunks WHERE kind = %s ORDER BY chunk", kind.value)
    schema = {RawKind.ACTIVITY: ACTIVITY_SCHEMA, RawKind.VISIT: VISIT_SCHEMA}[kind]
    empty = pl.DataFrame(schema={**schema, "site_id": pl.String})
    parts = [decode(content).with_columns(site_id=pl.lit(str(site_id))) for site_id, content in found]
    return pl.concat([empty, *parts])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
