"""The check finds every kind of row that is not what it is made of, by name, and the page says what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.jobs.support import run_waiting
from tests.visits.counting.test_rebuilding import check_counts, count_rows, cut_in_zone, make_rows, rebuild_site
from tests.visits.support import ORIGIN, add_site, make_row, rows_of, scalar, utc
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.service import create_job
from webapp.signals.installation import read_jobs
from webapp.visits.counting import capping, check_tasks, checking_months
from webapp.visits.counting.check_tasks import CHECK, due_before
from webapp.visits.counting.sketches import sketch_of
from webapp.visits.models import Site

CORRUPT = {
    "the site’s day 2026-11-19: bounce_count": (
        "UPDATE site_roll_ups SET bounce_count = bounce_count + 7"
        " WHERE grain = 'day' AND bucket_at = '2026-11-19 00:00+00'"
    ),
    "the site’s month 2026-11: visit_count": (
        "UPDATE site_roll_ups SET visit_count = visit_count - 1 WHERE grain = 'month'"
    ),
    f"page {ORIGIN}/3 in the day 2026-11-19: entry_count": (
        "UPDATE page_roll_ups SET entry_count = entry_count + 1 WHERE grain = 'day'"
        " AND bucket_at = '2026-11-19 00:00+00' AND page_id = (SELECT id FROM pages WHERE url LIKE '%%/3')"
    ),
    f"page {ORIGIN}/1 in the month 2026-11: pageview_count": (
        "UPDATE page_roll_ups SET pageview_count = pageview_count + 1 WHERE grain = 'month'"
        " AND page_id = (SELECT id FROM pages WHERE url LIKE '%%/1')"
    ),
    "country “NP” in the day 2026-11-18: pageview_count": (
        "DELETE FROM dimension_roll_ups WHERE grain = 'day' AND bucket_at = '2026-11-18 00:00+00' AND value = 'NP'"
    ),
    "event “named” in the month 2026-11: event_count": (
        "UPDATE dimension_roll_ups SET event_count = 0 WHERE grain = 'month' AND dimension = 'event'"
    ),
    "visitors of the site’s quarter 2026-11-": (
        "UPDATE site_roll_ups SET visitors = %(sketch)s WHERE grain = 'quarter'"
        " AND bucket_at = (SELECT max(bucket_at) FROM site_roll_ups WHERE grain = 'quarter' AND pageview_count > 0)"
    ),
    "visitors of the site’s day 2026-11-18": (
        "UPDATE site_roll_ups SET visitors = %(sketch)s WHERE grain = 'day' AND bucket_at = '2026-11-18 00:00+00'"
    ),
    "visitors of the site’s month 2026-11: the sketch cannot be read": (
        "UPDATE site_roll_ups SET visitors = 'none' WHERE grain = 'month'"
    ),
    "visitors of event “named” in the day 2026-11-20": (
        "UPDATE dimension_roll_ups SET visitors = %(sketch)s WHERE dimension = 'event' AND grain = 'day'"
        " AND bucket_at = '2026-11-20 00:00+00'"
    ),
    "visitors of product “named” in the month 2026-11": (
        "UPDATE dimension_roll_ups SET visitors = NULL WHERE dimension = 'product' AND grain = 'month'"
    ),
}


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    site = add_site(app, alice.organisation_id)
    count_rows(app, services, make_rows(site, 4))
    return site


@pytest.mark.parametrize("name", list(CORRUPT))
def test_each_kind_of_row_that_is_wrong_is_named(
    app: APIFlask, alice: Person, services: Settings, site: Site, name: str
) -> None:
    with owner_connection(services) as connection:
        changed = connection.execute(CORRUPT[name], {"sketch": sketch_of(range(300))})
        assert changed.rowcount == 1
    result = check_counts(app, alice, services)
    assert result["difference_count"] >= 1
    assert any(f"Shop: {name}" in told for told in result["differences"]), result["differences"]
    rebuild_site(app, site)
    assert check_counts(app, alice, services)["difference_count"] == 0


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_what_is_right_is_no_difference_in_any_zone_and_however_crowded(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setattr(capping, "PAGE_LIMIT_A_DAY", 3)
    monkeypatch.setattr(capping, "VALUE_LIMIT_A_DAY", 2)
    site = add_site(app, alice.organisation_id)
    rows = make_rows(site, 5)
    for number, row in enumerate(rows):
        row.name, row.props, row.language = f"name {number % 7}", "", ["", "de", 'a "b", c\n', "en"][number % 4]
    rows += [make_row(site, utc("2026-10-31T23:55:00") + timedelta(minutes=minute)) for minute in range(0, 20, 4)]
    rows += [make_row(site, utc("2026-11-18T10:00:00"), visitor=f"one of many {number}") for number in range(900)]
    count_rows(app, services, rows)
    if zone != "UTC":
        cut_in_zone(app, services, site, zone)
    assert check_counts(app, alice, services)["differences"] == []


def test_the_page_says_what_is_wrong_and_has_it_counted_again(
    app: APIFlask, alice: Person, services: Settings, site: Site
) -> None:
    url = f"/visits?site={site.id}"
    check_counts(app, alice, services)
    assert "are not right" not in alice.client.get(url).text
    with owner_connection(services) as connection:
        connection.execute("UPDATE page_roll_ups SET pageview_count = pageview_count + 1 WHERE grain = 'month'")
    check_counts(app, alice, services)
    page = alice.client.get(url).text
    assert "Some counts of this site are not right" in page
    assert f"page {ORIGIN}/0 in the month 2026-11" in page
    readings = {reading.name: reading.value for reading in read_jobs(services)}
    assert readings["footfall_count_differences"] == 5
    assert readings["footfall_count_differing_sites"] == 1
    assert alice.client.post(f"/visits/sites/{site.id}/rebuild").status_code == 303
    assert "It is being counted again" in alice.client.get(url).text
    with app.app_context():
        run_waiting()
    assert "are not right" not in alice.client.get(url).text
    assert check_counts(app, alice, services)["difference_count"] == 0


def test_nobody_else_can_have_it_counted_again(bob: Person, charlie: Person, site: Site, services: Settings) -> None:
    assert charlie.client.post(f"/visits/sites/{site.id}/rebuild").status_code == 404
    assert scalar(services, "SELECT count(*) FROM jobs") == 0


def test_a_site_that_cannot_be_checked_fails_the_job_and_the_others_are_checked(
    app: APIFlask, alice: Person, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = add_site(app, alice.organisation_id)
    find = checking_months.list_months

    def stumble(connection: object, tenant_id: object, site_id: object) -> object:
        if site_id == site.id:
            raise RuntimeError("its rows cannot be read")
        return find(connection, tenant_id, site_id)  # type: ignore[arg-type]

    monkeypatch.setattr(check_tasks, "list_months", stumble)
    with app.app_context(), tenant(alice.organisation_id):
        create_job(alice.organisation_id, CHECK, {})
        db.session.commit()
        run_waiting()
    assert "Could not be checked: Shop" in scalar(services, "SELECT error FROM jobs")
    assert rows_of(services, "SELECT site_id FROM site_checks") == [(other.id,)]


def test_the_night_is_not_missed_and_a_failed_check_is_none(
    app: APIFlask, alice: Person, services: Settings, site: Site
) -> None:
    def start() -> int:
        with app.app_context():
            check_tasks.check_roll_ups.fn()
        return int(scalar(services, "SELECT count(*) FROM jobs"))

    assert start() == 0, "a new site has a day's time"
    make_older(services, "sites", "created_at")
    assert start() == 1
    assert start() == 1, "one is enough"
    with owner_connection(services) as connection:
        connection.execute("UPDATE jobs SET state = 'dead', ended_at = now()")
    assert start() == 1, "not at once"
    make_older(services, "jobs", "ended_at")
    assert start() == 2, "it did not succeed"
    with app.app_context():
        run_waiting()
    make_older(services, "jobs", "ended_at")
    assert start() == 2
    make_older(services, "site_checks", "checked_at")
    assert start() == 3


def make_older(services: Settings, table: str, column: str) -> None:
    with owner_connection(services) as connection:
        connection.execute(f"UPDATE {table} SET {column} = {column} - interval '25 hours'")


def test_at_night_it_need_not_be_a_whole_day_ago() -> None:
    night, noon = (datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (2, 12))
    assert night - due_before(night) < timedelta(hours=24)
    assert noon - due_before(noon) == timedelta(hours=24)


def test_the_rows_hold_all_kinds(services: Settings, site: Site) -> None:
    kinds = {value for (value,) in rows_of(services, "SELECT DISTINCT dimension FROM dimension_roll_ups")}
    assert {"event", "product", "country"} <= kinds
