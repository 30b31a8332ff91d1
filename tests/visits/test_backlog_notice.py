"""What the jobs page says of beacons that wait: how many, for how long, and what to do."""

from __future__ import annotations

import html
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import add_rows, add_site, make_beacon, make_row, post
from webapp.config import Settings
from webapp.lib.clock import utc_now
from webapp.lib.redis import beacons_client
from webapp.visits.backlog import COUNT_KEY, STREAM, Backlog, encode_rows, read_backlog
from webapp.visits.backlog_notice import notice_of
from webapp.visits.models import Site

NOW = utc_now()


def jobs_page(person: Person) -> str:
    answer = person.client.get("/jobs")
    assert answer.status_code == 200
    return html.unescape(answer.text)


def add_old_group(settings: Settings, site: Site, count: int, added_at: datetime) -> None:
    """A group that Redis took at that moment."""
    content = encode_rows([make_row(site) for _ in range(count)])
    with beacons_client(settings) as client:
        client.xadd(STREAM, {"n": count, "rows": content}, id=f"{int(added_at.timestamp() * 1000)}-0")
        client.incrby(COUNT_KEY, count)


def test_what_waits_is_told_with_its_number_age_and_bound(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    with beacons_client(services) as client:
        assert read_backlog(client, 50) == Backlog(0, 0, 50, None)
        at = utc_now().replace(microsecond=0) - timedelta(minutes=5)
        add_old_group(services, site, 4, at)
        add_rows(services, [make_row(site) for _ in range(15)])
        assert read_backlog(client, 50) == Backlog(19, 3, 50, at)


def test_the_jobs_page_is_silent_while_beacons_are_counted_in_time(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    add_rows(services, [make_row(add_site(app, alice.organisation_id)) for _ in range(9)])
    page = jobs_page(alice)
    assert "counted late" not in page
    assert "wait to be counted" not in page


def test_the_jobs_page_says_for_how_long_beacons_wait_and_what_to_do(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    add_old_group(services, site, 1200, utc_now() - timedelta(minutes=3, seconds=20))
    page = jobs_page(alice)
    assert "Visits are counted late" in page
    assert "1,200 beacons wait to be counted, the oldest for 3 minutes." in page
    assert "look whether the worker of the queue “visits” runs" in page


def test_the_jobs_page_says_that_beacons_are_refused_when_they_are(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = add_site(app, alice.organisation_id)
    small = replace(services, beacons_limit=7)
    monkeypatch.setitem(app.extensions, "settings", small)
    answers = [post(small, make_beacon(site.site_key))[0] for _ in range(8)]
    assert [answer.status for answer in answers] == [202] * 7 + [503]
    page = jobs_page(alice)
    assert "More visits wait than may" in page
    assert "The limit is 7: new ones are told to come again later (503)" in page


def test_the_jobs_page_says_that_nobody_can_tell(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, "settings", replace(services, beacons_redis_url="redis://127.0.0.1:1/0"))
    assert "Visits cannot be taken at the moment" in jobs_page(alice)


@pytest.mark.parametrize(
    ("age", "count", "title"),
    [(60, 5, None), (61, 5, "Visits are counted late"), (0, 999, "More visits wait than may"), (0, 998, None)],
)
def test_a_minute_is_late_and_a_thousandth_below_the_bound_is_full(age: int, count: int, title: str | None) -> None:
    found = notice_of(Backlog(count, 1, 1000, NOW - timedelta(seconds=age)), NOW)
    assert (found and found.title) == title
