"""Signed requests: what a signature vouches for, and what checking one may cost the edge."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.collecting.test_collect import drops, waiting
from tests.visits.collecting.test_lists import with_collector
from tests.visits.support import add_site, ask, make_beacon
from webapp.config import Settings
from webapp.visits.collecting import signatures
from webapp.visits.collecting.collect import Collector
from webapp.visits.collecting.signatures import sign
from webapp.visits.models import Site

GERMAN = "193.99.144.80"
WRONG = "0" * 64


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of what was signed in order to compare it."""
    lengths: list[int] = []

    def count_and_sign(secret: str, content: bytes) -> str:
        lengths.append(len(content))
        return sign(secret, content)

    monkeypatch.setattr(signatures, "sign", count_and_sign)
    return lengths


def list_of(count: int, *site_keys: str) -> bytes:
    beacons = [make_beacon(key, ip=GERMAN, kind="event", name="Sale") for key in site_keys for _ in range(count)]
    return json.dumps(beacons).encode()


async def ask_signed(collector: Collector, body: bytes, signature: str) -> tuple[int, str, dict[str, Any]]:
    answer = await ask(collector, body, origin=None, headers={"x-footfall-signature": signature})
    told = json.loads(answer.body) if answer.body else {}
    return answer.status, answer.headers.get("x-footfall-dropped", ""), told


def test_a_lists_signature_is_checked_once(services: Settings, site: Site, signed: list[int]) -> None:
    body = list_of(500, site.site_key)

    async def run(collector: Collector) -> list[Any]:
        right = await ask_signed(collector, body, sign(site.identify_secret, body))
        return [right, await ask_signed(collector, body, WRONG)]

    (status, _, told), (wrong_status, reason, _) = with_collector(services, run)
    assert (status, told["accepted"]) == (202, 500)
    assert (wrong_status, reason) == (422, "bad-signature")
    assert signed == [len(body)] * 2
    assert {row.country for row in waiting(services)} == {"DE"}
    assert drops(services) == {"bad-signature": 500}


def test_a_list_for_two_sites_is_vouched_for_by_the_one_whose_secret_signed_it(
    app: APIFlask, alice: Person, services: Settings, site: Site, signed: list[int]
) -> None:
    other = add_site(app, alice.organisation_id, "https://other.example")
    body = list_of(3, site.site_key, other.site_key)

    async def run(collector: Collector) -> Any:
        return await ask_signed(collector, body, sign(site.identify_secret, body))

    status, _, told = with_collector(services, run)
    assert (status, told["accepted"]) == (202, 3)
    assert [(one["index"], one["reason"]) for one in told["refused"]] == [
        (index, "bad-signature") for index in (3, 4, 5)
    ]
    assert len(signed) == 2


def test_wrong_signatures_are_no_longer_looked_at_when_an_address_sent_too_many(
    services: Settings, site: Site, signed: list[int]
) -> None:
    body = list_of(2, site.site_key)

    async def run(collector: Collector) -> list[Any]:
        wrong = [await ask_signed(collector, body, WRONG) for _ in range(20)]
        return [*wrong, await ask_signed(collector, body, sign(site.identify_secret, body))]

    answers = with_collector(replace(services, address_rate_limit=1), run)
    assert [status for status, _, _ in answers[:9]] == [422] * 9
    assert [(status, reason) for status, reason, _ in answers[12:]] == [(429, "rate-limited")] * 9
    assert 9 <= len(signed) <= 11


def test_a_long_body_costs_an_address_more(services: Settings, site: Site, signed: list[int]) -> None:
    body = list_of(2, site.site_key) + b" " * 4_000_000

    async def run(collector: Collector) -> list[Any]:
        return [await ask_signed(collector, body, WRONG) for _ in range(40)]

    with_collector(replace(services, address_rate_limit=10), run)
    assert 8 <= len(signed) <= 11


def test_a_right_signature_costs_its_server_nothing(services: Settings, site: Site) -> None:
    async def run(collector: Collector) -> set[int]:
        bodies = [list_of(1, site.site_key) for _ in range(30)]
        answers = [await ask_signed(collector, body, sign(site.identify_secret, body)) for body in bodies]
        return {status for status, _, _ in answers}

    assert with_collector(replace(services, address_rate_limit=1), run) == {202}
