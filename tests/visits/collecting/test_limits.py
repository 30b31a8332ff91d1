"""How much an address and a site may send, and what is said of what came too fast: at `/collect`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.visits.collecting.test_collect import drops
from tests.visits.collecting.test_lists import change, reason_of, with_collector
from tests.visits.support import ORIGIN, Answered, add_site, ask, make_beacon, make_known_site, post
from webapp.accounts.service import create_api_key
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.redis import async_beacons_client, beacons_client
from webapp.visits.backlog import START, AsyncAdder, Kind, Row, decode_rows, read_after
from webapp.visits.collecting import admission, uncounted
from webapp.visits.collecting.collect import Collector
from webapp.visits.collecting.site_keys import make_site_key
from webapp.visits.collecting.uncounted import Tally
from webapp.visits.models import Site


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


def test_an_address_and_a_site_may_send_only_so_much(services: Settings, site: Site) -> None:
    slow = replace(services, address_rate_limit=1)

    async def run(collector: Collector) -> tuple[list[Answered], Answered]:
        bodies = [json.dumps(make_beacon(site.site_key)).encode() for _ in range(12)]
        answers = [await ask(collector, body) for body in bodies]
        return answers, await ask(collector, bodies[0], client="203.0.113.77")

    answers, other = with_collector(slow, run)
    refused = [answer for answer in answers if answer.status == 429]
    assert 1 <= len(refused) <= 3
    assert {reason_of(answer) for answer in refused} == {"rate-limited"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert all(answer.headers["access-control-allow-origin"] == "*" for answer in refused)
    assert other.status == 202
    assert drops(services) == {"asked-to-return": len(refused)}
    change(services, site, "rate_limit = 1")
    statuses = [answer.status for answer in post(services, *[make_beacon(site.site_key) for _ in range(15)])]
    assert sorted(set(statuses)) == [202, 429]


def test_each_of_several_edges_takes_its_share(services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "time", SimpleNamespace(monotonic=lambda: 1_000.0))

    async def run(collector: Collector) -> list[int]:
        bodies = [json.dumps(make_beacon(site.site_key)).encode() for _ in range(40)]
        return [(await ask(collector, body)).status for body in bodies]

    alone, shared = (
        with_collector(replace(services, address_rate_limit=2, edge_processes=count), run).count(202)
        for count in (1, 4)
    )
    assert (alone, shared) == (19, 4)  # and one for looking up the site


def test_where_no_address_is_known_nobody_shares_a_limit_with_everybody(services: Settings, site: Site) -> None:
    slow = replace(services, address_rate_limit=1)
    answers = post(slow, *[make_beacon(site.site_key) for _ in range(30)], client="")
    assert {answer.status for answer in answers} == {202}


def test_a_list_beyond_the_limit_is_taken_as_far_as_it_goes(services: Settings, site: Site) -> None:
    change(services, site, "rate_limit = 1")
    (answer,) = post(services, [make_beacon(site.site_key) for _ in range(15)])
    told = json.loads(answer.body)
    assert told["accepted"] == 10
    assert {one["reason"] for one in told["refused"]} == {"rate-limited"}
    assert all(one["retryAfter"] >= 1 for one in told["refused"])
    assert drops(services) == {"asked-to-return": 5}

    async def run(collector: Collector) -> Answered:
        body = json.dumps([make_beacon(site.site_key) for _ in range(10)]).encode()
        await ask(collector, body)
        return await ask(collector, json.dumps([make_beacon(site.site_key) for _ in range(3)]).encode())

    late = with_collector(services, run)
    assert (late.status, reason_of(late)) == (429, "rate-limited")
    assert int(late.headers["retry-after"]) >= 1


def test_a_list_of_which_some_may_come_again_is_not_refused_for_good(services: Settings, site: Site) -> None:
    """Whatever else it holds, and whatever comes first: who reads the status alone sends the whole list again."""
    change(services, site, "rate_limit = 1, excluded_pages = '[\"/admin*\"]'")
    broken, admin = make_beacon(site.site_key, screen="x"), make_beacon(site.site_key, pageUrl=f"{ORIGIN}/admin")
    good = [make_beacon(site.site_key) for _ in range(2)]

    async def run(collector: Collector) -> list[Answered]:
        for _ in range(10):
            await ask(collector, json.dumps(make_beacon(site.site_key)).encode())
        lists: list[list[object]] = [
            ["not a beacon", *good],
            [broken, *good],
            [admin, *good],
            [make_beacon("x"), *good],
        ]
        return [await ask(collector, json.dumps(each).encode()) for each in lists]

    answers = with_collector(services, run)
    assert [(answer.status, reason_of(answer)) for answer in answers] == [(429, "rate-limited")] * 4
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    told = answers[0].problem["refused"]
    assert [(one["reason"], "retryAfter" in one) for one in told] == [
        ("wrong-fields", False), ("rate-limited", True), ("rate-limited", True),
    ]  # fmt: skip
    assert drops(services) == {"asked-to-return": 10}  # all else of it comes again, and is noted then


def test_a_flood_that_is_refused_is_one_row_of_the_stream(services: Settings, site: Site) -> None:
    """Counting what is told to wait must not cost what letting it in would."""
    change(services, site, "rate_limit = 1")
    answers = post(services, *[make_beacon(site.site_key) for _ in range(300)])
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) >= 285
    with beacons_client(services) as client:
        rows = [row for entry in read_after(client, START, 10**6) for row in decode_rows(entry.content)]
    [noted] = [row for row in rows if row.kind == Kind.DROPPED]
    assert (noted.name, noted.engaged_ms) == ("asked-to-return", len(refused))


def test_what_was_told_to_wait_is_counted_though_redis_was_away_for_a_while(
    services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uncounted, "WRITE_SECONDS", 0.01)
    added: list[list[Row]] = []

    class Adder(AsyncAdder):
        async def add(self, rows: list[Row]) -> None:
            added.append(rows)
            if len(added) < 3:
                raise ConnectionError

    async def run() -> None:
        tally = Tally(Adder(async_beacons_client(services), 10**6))
        known = make_known_site()
        for _ in range(7):
            tally.add(known, "asked-to-return")
        while len(added) < 3:
            await asyncio.sleep(0.01)
        tally.add(known, "malformed", 2)
        await tally.close()

    asyncio.run(run())
    assert [[(row.name, row.engaged_ms) for row in rows] for rows in added] == [
        *[[("asked-to-return", 7)]] * 3, [("malformed", 2)],
    ]  # fmt: skip
    assert len({row.id for rows in added for row in rows}) == 2  # tried again as what it was


def test_over_the_api_a_site_takes_no_more_than_its_limit(
    app: APIFlask, client: FlaskClient, alice: Person, services: Settings, site: Site
) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        _, secret = create_api_key(alice.organisation_id, "Tests")
        db.session.commit()
    change(services, site, "rate_limit = 1")
    key = {"Authorization": f"Bearer {secret}"}
    answer = client.post("/api/v1/visits", json=[make_beacon(site.site_key) for _ in range(15)], headers=key)
    told = json.loads(answer.data)
    assert (answer.status_code, told["accepted"]) == (202, 10)
    assert {(one["reason"], one["retryAfter"] >= 1) for one in told["refused"]} == {("rate-limited", True)}
    for late in (make_beacon(site.site_key), [make_beacon(site.site_key)]):
        answer = client.post("/api/v1/visits", json=late, headers=key)
        assert (answer.status_code, json.loads(answer.data)["reason"]) == (429, "rate-limited")
        assert int(answer.headers["Retry-After"]) >= 1
    assert drops(services) == {"asked-to-return": 7}


def test_keys_that_nobody_made_are_limited_before_they_are_looked_up(services: Settings, alice: Person) -> None:
    async def run(collector: Collector) -> set[int]:
        keys = [make_site_key(alice.organisation_id) for _ in range(15)]
        bodies = [json.dumps(make_beacon(key)).encode() for key in keys]
        return {(await ask(collector, body)).status for body in bodies}

    assert with_collector(replace(services, address_rate_limit=1), run) == {403, 429}
