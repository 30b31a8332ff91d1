"""Many beacons at once, beacons of a site's own server, and settings that change: at `/collect`."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from redis.exceptions import RedisError

from tests.conftest import Person, owner_connection
from tests.visits.collecting.test_collect import drops, waiting
from tests.visits.support import (
    BROWSER,
    MISSING,
    ORIGIN,
    Answered,
    add_site,
    ask,
    count_all,
    counted,
    make_beacon,
    post,
    rows_of,
)
from webapp.accounts.service import create_api_key
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.redis import beacons_client
from webapp.visits.collecting import site_directory
from webapp.visits.collecting.collect import Collector
from webapp.visits.collecting.visitors import SALT_SECONDS, day_of, salt_key
from webapp.visits.models import Site

GERMAN = "193.99.144.80"
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


def change(settings: Settings, site: Site, assignment: str) -> None:
    with owner_connection(settings) as connection:
        connection.execute(f"UPDATE sites SET {assignment} WHERE id = %s", [site.id])


def with_collector(settings: Settings, work: Callable[[Collector], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        collector = Collector(settings)
        await collector.start()
        try:
            return await work(collector)
        finally:
            await collector.stop()

    return asyncio.run(run())


def reason_of(answer: Answered) -> str:
    return answer.headers.get("x-footfall-dropped", "")


def test_a_list_is_taken_one_by_one_with_a_reason_for_each_that_is_not(services: Settings, site: Site) -> None:
    beacons = [
        make_beacon(site.site_key),
        make_beacon(site.site_key, pageUrl="x"),
        make_beacon(site.site_key, kind="event", name="Sign-up"),
        make_beacon("nonsense"),
        make_beacon(site.site_key, identifier=7),
    ]
    (answer,) = post(services, beacons)
    assert (answer.status, answer.headers["content-type"]) == (202, "application/json")
    assert answer.headers["access-control-allow-origin"] == "*"
    told = json.loads(answer.body)
    assert (told["accepted"], told["ids"]) == (2, [beacons[0]["id"], beacons[2]["id"]])
    assert [(one["index"], one["reason"]) for one in told["refused"]] == [
        (1, "bad-page-url"), (3, "unknown-site-key"), (4, "wrong-fields"),
    ]  # fmt: skip
    assert all(one["detail"] for one in told["refused"])
    assert len(waiting(services)) == 2
    assert drops(services) == {"bad-page-url": 1, "wrong-fields": 1}


def test_five_hundred_are_one_group_and_more_are_too_many(services: Settings, site: Site) -> None:
    (answer,) = post(services, [make_beacon(site.site_key) for _ in range(500)])
    assert json.loads(answer.body)["accepted"] == 500
    with beacons_client(services) as client:
        assert client.xlen("beacons") == 1
    (answer,) = post(services, [make_beacon(site.site_key) for _ in range(501)])
    assert (answer.status, reason_of(answer)) == (422, "wrong-count")
    assert [reason_of(one) for one in post(services, [], b" [1", b"[" * 9999)] == ["wrong-count", *["malformed"] * 2]
    assert drops(services) == {"wrong-count": 501}


def test_what_is_no_beacon_counts_for_the_site_that_it_names(services: Settings, site: Site) -> None:
    name = f'{{"siteKey": "{site.site_key}", '.encode()
    bodies = [
        name + b'"pageUrl": ',
        name + b'"pageUrl": "https://shop.example/", "referrer": "\xff"}',
        name + b'"props": "' + b"x" * 70_000 + b'"}',
        b"[" + name + b'"props": "' + b"x" * 4_300_000 + b'"}]',
        b'{"siteKey": "fs_1", ',
        b"junk",
    ]
    answers = post(services, *bodies)
    assert [(answer.status, reason_of(answer)) for answer in answers] == [
        *[(400, "malformed")] * 2, *[(413, "too-large")] * 2, *[(400, "malformed")] * 2,
    ]  # fmt: skip
    assert drops(services) == {"malformed": 2, "too-large": 2}


def test_a_beacon_that_is_dropped_again_is_dropped_once_and_counts_when_it_was_mended(
    app: APIFlask, services: Settings, site: Site
) -> None:
    """A page that is left sends what is unanswered twice; a program sends again what it has mended."""
    change(services, site, "excluded_pages = '[\"/admin*\"]'")
    admin, wrong = make_beacon(site.site_key, pageUrl=f"{ORIGIN}/admin"), make_beacon(site.site_key, screen="x")
    for body in (admin, admin, [admin, wrong], wrong, {**wrong, "screen": "1x1"}, make_beacon(site.site_key, id="x")):
        post(services, body)
        count_all(app, services)
    counts = rows_of(services, "SELECT reason, drop_count FROM drop_counts ORDER BY reason")
    assert counts == [("bad-id", 1), ("bad-screen", 1), ("excluded-page", 1)]
    assert counted(services) == (1, 1, 1)


def test_a_list_of_which_nothing_can_be_taken_is_refused(services: Settings, site: Site) -> None:
    (answer,) = post(services, [make_beacon("x"), make_beacon(site.site_key, screen="x")])
    assert (answer.status, reason_of(answer)) == (422, "unknown-site-key")
    assert [one["reason"] for one in answer.problem["refused"]] == ["unknown-site-key", "bad-screen"]
    assert drops(services) == {"bad-screen": 1}


def test_a_list_tells_what_the_site_itself_leaves_out(services: Settings, site: Site) -> None:
    change(services, site, "excluded_pages = '[\"/admin*\"]'")
    (answer,) = post(services, [make_beacon(site.site_key, pageUrl=f"{ORIGIN}/admin"), make_beacon(site.site_key)])
    told = json.loads(answer.body)
    assert (answer.status, told["accepted"], told["refused"]) == (202, 1, [])
    assert [(one["index"], one["reason"]) for one in told["dropped"]] == [(0, "excluded-page")]
    assert drops(services) == {"excluded-page": 1}


def test_what_the_site_leaves_out_is_answered_as_taken_and_counted_by_reason(services: Settings, site: Site) -> None:
    change(services, site, "respects_dnt = true, excluded_addresses = '[\"198.51.100.0/24\"]'")

    async def run(collector: Collector) -> list[Answered]:
        body = json.dumps(make_beacon(site.site_key)).encode()
        return [
            await ask(collector, body, headers={"user-agent": CRAWLER}),
            await ask(collector, body, headers={"user-agent": ""}),
            await ask(collector, body, headers={"dnt": "1"}),
            await ask(collector, body, headers={"sec-gpc": "1"}),
            await ask(collector, body, client="198.51.100.77"),
            await ask(collector, body, headers={"dnt": "0"}),
        ]

    answers = with_collector(services, run)
    reasons = ["bot", "bot", "do-not-track", "privacy-control", "excluded-address", ""]
    assert [(answer.status, reason_of(answer)) for answer in answers] == [(202, reason) for reason in reasons]
    assert all(answer.headers["access-control-allow-origin"] == "*" for answer in answers)
    assert len(waiting(services)) == 1
    assert drops(services) == {"bot": 2, "do-not-track": 1, "privacy-control": 1, "excluded-address": 1}


def test_a_drop_is_answered_only_when_redis_has_counted_it(services: Settings, site: Site) -> None:
    body = make_beacon(site.site_key)
    (answer,) = post(replace(services, beacons_limit=0), body, headers={"user-agent": CRAWLER})
    assert (answer.status, reason_of(answer)) == (503, "backlog-full")


def test_a_row_tells_country_device_and_language_and_neither_address_nor_browser_text(
    services: Settings, site: Site
) -> None:
    proxied = replace(services, trusted_proxies=("10.0.0.0/8",))
    headers = {"x-forwarded-for": f"203.0.113.1, {GERMAN}", "accept-language": "de-AT,de;q=0.9"}
    (answer,) = post(proxied, make_beacon(site.site_key, identifier=MISSING), headers=headers, client="10.0.0.1")
    assert answer.status == 202
    (row,) = waiting(services)
    assert (row.country, row.device, row.browser, row.system, row.language) == (
        "DE", "desktop", "Chrome", "Windows", "de-at",
    )  # fmt: skip
    with beacons_client(services) as client:
        stored = repr(client.xrange("beacons"))
        assert 0 < client.ttl(salt_key(day_of(time.time_ns() // 1_000_000))) <= SALT_SECONDS
    assert GERMAN not in stored
    assert BROWSER not in stored


def test_every_process_makes_the_same_hash_of_a_visitor(services: Settings, site: Site) -> None:
    for _ in range(2):  # each with a collector of its own
        post(services, make_beacon(site.site_key, identifier=MISSING))
    one, other = waiting(services)
    assert one.visitor == other.visitor
    with beacons_client(services) as client:
        client.delete(salt_key(day_of(time.time_ns() // 1_000_000)))  # as when the day is over
    post(services, make_beacon(site.site_key, identifier=MISSING))
    assert waiting(services)[2].visitor != one.visitor


def test_a_sites_server_signs_what_it_says_of_its_visitors(services: Settings, site: Site) -> None:
    beacon = make_beacon(site.site_key, ip=GERMAN, userAgent=BROWSER, visitedAt="2020-02-29T10:00:00Z")
    body = json.dumps(beacon).encode()
    right = hmac.new(site.identify_secret.encode(), body, hashlib.sha256).hexdigest()

    def sent(body: bytes, signature: str) -> Answered:
        headers = {"x-footfall-signature": signature, "user-agent": "python-requests/2.32", "dnt": "1"}
        (answer,) = post(services, body, origin=None, headers=headers)
        return answer

    assert sent(body, right).status == 202
    (row,) = waiting(services)
    assert (row.country, row.device, row.visited_ms) == ("DE", "desktop", 1_582_970_400_000)
    assert reason_of(sent(body, "0" * 64)) == "bad-signature"
    assert reason_of(sent(body + b" ", right)) == "bad-signature"
    without_id = json.dumps(make_beacon(site.site_key, id=MISSING)).encode()
    signature = hmac.new(site.identify_secret.encode(), without_id, hashlib.sha256).hexdigest()
    assert reason_of(sent(without_id, signature)) == "missing-id"
    (answer,) = post(services, beacon)
    assert (answer.status, reason_of(answer)) == (403, "needs-signature")
    assert len(waiting(services)) == 1


def test_over_the_api_a_server_describes_its_visitors_and_drops_are_counted(
    app: APIFlask, client: FlaskClient, alice: Person, services: Settings, site: Site
) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        _, secret = create_api_key(alice.organisation_id, "Tests")
        db.session.commit()
    key = {"Authorization": f"Bearer {secret}"}
    beacons = [
        make_beacon(site.site_key, identifier=MISSING, ip=GERMAN, userAgent=BROWSER),
        make_beacon(site.site_key, userAgent=CRAWLER),
        make_beacon(site.site_key, screen="x"),
        make_beacon(site.site_key, kind="identify", identity="alice@example.com"),
    ]
    told = client.post("/api/v1/visits", json=beacons, headers=key).json or {}
    assert told["accepted"] == 2
    assert [(one["index"], one["reason"]) for one in told["dropped"]] == [(1, "bot")]
    assert [(one["index"], one["reason"]) for one in told["refused"]] == [(2, "bad-screen")]
    seen, person = waiting(services)
    assert (seen.country, len(seen.visitor), person.name) == ("DE", 32, "alice@example.com")
    assert drops(services) == {"bot": 1, "bad-screen": 1}
    only = client.post("/api/v1/visits", json=beacons[1], headers=key)
    assert (only.status_code, (only.json or {})["accepted"]) == (202, 0)


def test_changed_settings_are_in_force_when_the_old_answer_is_no_longer_fresh(
    services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a site that nobody asked for in the meantime: its next beacon is taken by the new ones."""

    async def run(collector: Collector) -> list[str]:
        body = json.dumps(make_beacon(site.site_key)).encode()
        reasons = [reason_of(await ask(collector, body))]
        change(services, site, "excluded_pages = '[\"*\"]'")
        reasons.append(reason_of(await ask(collector, body)))
        known = collector._directory._known[site.site_key]
        old = known.looked_up_at - site_directory.FRESH_SECONDS - 1
        collector._directory._known[site.site_key] = replace(known, looked_up_at=old)
        reasons.append(reason_of(await ask(collector, body)))
        return reasons

    assert with_collector(services, run) == ["", "", "excluded-page"]


def test_a_busy_site_is_asked_again_before_its_answer_is_old(services: Settings, site: Site) -> None:
    async def run(collector: Collector) -> tuple[str, str]:
        body = json.dumps(make_beacon(site.site_key)).encode()
        await ask(collector, body)
        change(services, site, "excluded_pages = '[\"*\"]'")
        directory = collector._directory
        known = directory._known[site.site_key]
        directory._known[site.site_key] = replace(known, looked_up_at=known.looked_up_at - 20)
        first = await ask(collector, body)
        await asyncio.gather(*directory._pending.values())
        return reason_of(first), reason_of(await ask(collector, body))

    assert with_collector(services, run) == ("", "excluded-page")


def test_a_deleted_sites_key_ends(services: Settings, site: Site) -> None:
    async def run(collector: Collector) -> tuple[int, str]:
        body = json.dumps(make_beacon(site.site_key)).encode()
        first = await ask(collector, body)
        with owner_connection(services) as connection:
            connection.execute("DELETE FROM sites WHERE id = %s", [site.id])
        known = collector._directory._known[site.site_key]
        collector._directory._known[site.site_key] = replace(known, looked_up_at=known.looked_up_at - 3600)
        return first.status, reason_of(await ask(collector, body))

    assert with_collector(services, run) == (202, "unknown-site-key")


def test_without_redis_a_visitor_without_identifier_must_come_again(services: Settings, site: Site) -> None:
    away = replace(services, beacons_redis_url="redis://127.0.0.1:21398")
    (answer,) = post(away, make_beacon(site.site_key, identifier=MISSING))
    assert (answer.status, reason_of(answer)) == (503, "try-again")
    with pytest.raises(RedisError), beacons_client(away) as client:
        client.ping()
