"""The collector: every answer it gives, and what Redis holds after it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from uuid import uuid4

from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import MISSING, ORIGIN, VISITOR, add_site, ask, make_beacon, post
from webapp.config import Settings
from webapp.lib.redis import beacons_client
from webapp.visits import backlog
from webapp.visits.backlog import Kind
from webapp.visits.collecting.collect import Collector
from webapp.visits.collecting.site_keys import make_site_key

NOWHERE = "postgresql://footfall@127.0.0.1:21399/footfall"


def waiting(settings: Settings) -> list[backlog.Row]:
    with beacons_client(settings) as client:
        entries = backlog.read_after(client, backlog.START, 10**6)
    return [row for entry in entries for row in backlog.decode_rows(entry.content) if row.kind != Kind.DROPPED]


def drops(settings: Settings) -> dict[str, int]:
    """How many beacons the stream says were not counted, by reason."""
    counts: Counter[str] = Counter()
    with beacons_client(settings) as client:
        for entry in backlog.read_after(client, backlog.START, 10**6):
            for row in backlog.decode_rows(entry.content):
                if row.kind == Kind.DROPPED:
                    counts[row.name] += row.engaged_ms
    return dict(counts)


def test_a_beacon_is_accepted_once_redis_has_it(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    (answer,) = post(services, make_beacon(site.site_key))
    assert (answer.status, answer.body) == (202, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    (row,) = waiting(services)
    assert (row.organisation_id, row.site_id) == (site.organisation_id.bytes, site.id.bytes)
    assert row.visitor == VISITOR


def test_beacons_that_come_together_are_written_as_one_group(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    answers = post(services, *[make_beacon(site.site_key) for _ in range(200)])
    assert {answer.status for answer in answers} == {202}
    with beacons_client(services) as client:
        assert backlog.waiting_count(client) < 20
        assert int(client.get(backlog.COUNT_KEY) or 0) == 200
    assert len(waiting(services)) == 200


def test_every_refusal_has_its_reason_and_can_be_read_across_origins(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    cases: list[tuple[object, int, str]] = [
        (b"not json", 400, "malformed"),
        (make_beacon(site.site_key, pageUrl=MISSING), 422, "wrong-fields"),
        (make_beacon(site.site_key, pageUrl="x"), 422, "bad-page-url"),
        (make_beacon("nonsense"), 403, "unknown-site-key"),
        (make_beacon(make_site_key(alice.organisation_id)), 403, "unknown-site-key"),
        (make_beacon(make_site_key(uuid4())), 403, "unknown-site-key"),
        (make_beacon(site.site_key, junk="x" * 65_536), 413, "too-large"),
    ]
    answers = post(services, *[body for body, _, _ in cases])
    for answer, (_, status, reason) in zip(answers, cases, strict=True):
        assert (answer.status, answer.headers["x-footfall-dropped"]) == (status, reason)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-expose-headers"] == "*"
        assert (answer.problem["status"], answer.problem["reason"]) == (status, reason)
        assert answer.problem["detail"]
    assert waiting(services) == []
    assert drops(services) == {"wrong-fields": 1, "bad-page-url": 1, "too-large": 1}  # the others name no site


def test_a_body_in_many_parts_is_one_body(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    (answer,) = post(services, make_beacon(site.site_key), parts=7)
    assert answer.status == 202
    (answer,) = post(services, b"x" * 200_000, parts=9)
    assert (answer.status, answer.headers["x-footfall-dropped"]) == (413, "too-large")


def test_only_the_sites_own_origins_may_report(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    cases = [(ORIGIN, 202), (ORIGIN.upper(), 202), (None, 202), ("https://evil.example", 403), ("null", 403)]
    for origin, status in cases:
        (answer,) = post(services, make_beacon(site.site_key), origin=origin)
        assert answer.status == status, origin
    assert answer.headers["x-footfall-dropped"] == "origin-not-allowed"
    assert len(waiting(services)) == 3


def test_a_preflight_is_allowed_and_other_methods_are_not(services: Settings) -> None:
    async def run() -> list[int]:
        collector = Collector(services)
        answers = [await ask(collector, b"", method=method) for method in ("OPTIONS", "GET", "PUT")]
        assert all(answer.headers["access-control-allow-origin"] == "*" for answer in answers)
        await collector.stop()
        return [answer.status for answer in answers]

    assert asyncio.run(run()) == [204, 405, 405]


def test_over_its_bound_the_collector_asks_to_come_back(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    narrow = replace(services, beacons_limit=3)
    for _ in range(3):
        assert post(narrow, make_beacon(site.site_key))[0].status == 202
    (answer,) = post(narrow, make_beacon(site.site_key))
    assert (answer.status, answer.headers["x-footfall-dropped"]) == (503, "backlog-full")
    assert int(answer.headers["retry-after"]) > 0
    assert len(waiting(services)) == 3


def test_without_redis_nothing_is_said_to_be_accepted(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    (answer,) = post(replace(services, beacons_redis_url="redis://127.0.0.1:21398"), make_beacon(site.site_key))
    assert (answer.status, answer.headers["x-footfall-dropped"]) == (503, "try-again")
    assert int(answer.headers["retry-after"]) > 0


def test_an_unknown_key_waits_for_a_database_that_is_away(alice: Person, services: Settings) -> None:
    (answer,) = post(replace(services, database_url=NOWHERE), make_beacon(make_site_key(alice.organisation_id)))
    assert (answer.status, answer.headers["x-footfall-dropped"]) == (503, "try-again")
    assert int(answer.headers["retry-after"]) > 0


def test_a_known_key_is_served_without_the_database(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: object
) -> None:
    site = add_site(app, alice.organisation_id)
    body = json.dumps(make_beacon(site.site_key)).encode()
    other = json.dumps(make_beacon(make_site_key(alice.organisation_id))).encode()

    async def run() -> list[int]:
        collector = Collector(services)
        await collector.start()
        first = await ask(collector, body)
        directory = collector._directory
        await directory._pool.close()  # the database is gone for good
        known = directory._known[site.site_key]
        directory._known[site.site_key] = replace(known, looked_up_at=known.looked_up_at - 3600)  # and the answer old
        second = await ask(collector, body)
        await asyncio.sleep(0.05)
        third = await ask(collector, body)
        unknown = await ask(collector, other)
        await collector.stop()
        return [first.status, second.status, third.status, unknown.status]

    assert asyncio.run(run()) == [202, 202, 202, 503]


def test_made_up_keys_do_not_fill_the_memory(services: Settings, alice: Person) -> None:
    async def run() -> int:
        collector = Collector(services)
        await collector.start()
        for _ in range(50):
            beacon = make_beacon(make_site_key(alice.organisation_id))
            assert (await ask(collector, json.dumps(beacon).encode())).status == 403
        size = len(collector._directory._unknown)
        await collector.stop()
        return size

    assert asyncio.run(run()) == 50
