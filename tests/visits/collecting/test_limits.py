"""How much an address and a site may send, and what is said of what came too fast: at `/collect`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.collecting.test_collect import drops
from tests.visits.collecting.test_lists import change, reason_of, with_collector
from tests.visits.support import ORIGIN, Answered, add_site, ask, make_beacon, post
from webapp.config import Settings
from webapp.visits.collecting.collect import Collector
from webapp.visits.collecting.site_keys import make_site_key
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
    assert drops(services) == {}  # they come again
    change(services, site, "rate_limit = 1")
    statuses = [answer.status for answer in post(services, *[make_beacon(site.site_key) for _ in range(15)])]
    assert sorted(set(statuses)) == [202, 429]


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
    assert drops(services) == {}  # they come again

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
    assert drops(services) == {}  # all of it comes again


def test_keys_that_nobody_made_are_limited_before_they_are_looked_up(services: Settings, alice: Person) -> None:
    async def run(collector: Collector) -> set[int]:
        keys = [make_site_key(alice.organisation_id) for _ in range(15)]
        bodies = [json.dumps(make_beacon(key)).encode() for key in keys]
        return {(await ask(collector, body)).status for body in bodies}

    assert with_collector(replace(services, address_rate_limit=1), run) == {403, 429}
