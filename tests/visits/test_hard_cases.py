"""What would stop the counting of everybody, or lose what was accepted: found by trying to."""

from __future__ import annotations

import asyncio
import json
import random

from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.visits.support import add_rows, add_site, ask, count_all, counted, make_beacon, make_row, post, scalar
from webapp.config import Settings
from webapp.lib.redis import beacons_client
from webapp.visits import backlog
from webapp.visits.backlog import Row
from webapp.visits.collecting.collect import Collector


def incompressible(length: int) -> str:
    """A name that no index can make smaller."""
    chance = random.Random(1)
    return "".join(chr(chance.randrange(0x4E00, 0x9FA0)) for _ in range(length))


def test_a_referrer_longer_than_any_name_is_no_website(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    long_name = make_beacon(site.site_key, referrer=f"https://{incompressible(1_900)}/")
    answers = post(services, long_name, make_beacon(site.site_key))
    assert [answer.status for answer in answers] == [202, 202]
    count_all(app, services)
    assert counted(services) == (2, 2, 2)


def test_a_row_too_large_for_an_index_is_laid_aside(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    too_large = make_row(site, referrer=f"https://{incompressible(1_900)}/", visitor="visitor-2")
    add_rows(services, [make_row(site), too_large, make_row(site)])
    count_all(app, services)
    assert counted(services) == (2, 2, 2)
    assert scalar(services, "SELECT count(*) FROM dead_beacons") == 1


def test_an_error_that_nobody_foresaw_refuses_one_group_and_not_the_next(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    body = json.dumps(make_beacon(site.site_key)).encode()

    async def fail(rows: list[Row]) -> None:
        raise RuntimeError("nobody foresaw this")

    async def two_beacons() -> list[int]:
        collector = Collector(services)
        await collector.start()
        adder = collector._group._adder
        healthy, adder.add = adder.add, fail  # type: ignore[method-assign]
        first = await ask(collector, body)
        adder.add = healthy  # type: ignore[method-assign]
        second = await ask(collector, body)
        await collector.stop()
        return [first.status, second.status]

    assert asyncio.run(two_beacons()) == [503, 202]


def test_a_redis_whose_clock_is_behind_loses_nothing(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site)])
    count_all(app, services)
    with owner_connection(services) as connection:
        connection.execute(
            "UPDATE stream_positions SET last_id = (split_part(last_id, '-', 1)::bigint + 60000) || '-0'"
        )
    with beacons_client(services) as client:
        client.flushall()
    add_rows(services, [make_row(site), make_row(site)])
    count_all(app, services)
    assert counted(services) == (3, 3, 3)
    add_rows(services, [make_row(site)])
    count_all(app, services)
    assert counted(services) == (4, 4, 4)


def test_large_groups_are_read_a_few_at_a_time(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    rows = [make_row(site, page_url="https://shop.example/" + "x" * 2_000) for _ in range(500)]
    with beacons_client(services) as client:
        for _ in range(60):
            backlog.add(client, rows, limit=1_000_000)
        some = backlog.read_after(client, backlog.START, beacon_limit=1_000_000)
        few = backlog.read_after(client, backlog.START, beacon_limit=600)
    assert len(few) == 2
    assert sum(len(entry.content) for entry in some) < backlog.READ_LIMIT_BYTES + 2 * len(some[0].content)
