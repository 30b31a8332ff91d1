"""What was counted stays counted when retention has taken raw rows, whatever is rebuilt, cut anew or checked then."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.counting.test_rebuilding import check_counts, count_rows, cut_in_zone, rebuild_site
from tests.visits.support import ORIGIN, add_site, make_row, rows_of, scalar, utc
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits.backlog import Row
from webapp.visits.models import Site
from webapp.visits.raw import tasks, upkeep

SUMS = "SELECT grain, sum({count})::int FROM {table} {where} GROUP BY 1 ORDER BY 1"
COUNTED = {
    "site_roll_ups": ("pageview_count", ""),
    "page_roll_ups": ("pageview_count", ""),
    "dimension_roll_ups": ("pageview_count", "WHERE dimension = 'country'"),
}


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


def _rows(site: Site, at: datetime, count: int) -> list[Row]:
    return [
        make_row(site, at + timedelta(minutes=number), visitor=f"v{number}", page_url=f"{ORIGIN}/{at:%d}", country="DE")
        for number in range(count)
    ]


def _count_and_seal(app: APIFlask, settings: Settings, rows: list[Row]) -> None:
    count_rows(app, settings, rows)
    with app.app_context():
        tasks.seal_chunks()


def _expire(app: APIFlask, site: Site, before: datetime) -> None:
    with app.app_context(), tenant(site.organisation_id):
        upkeep.expire(site.organisation_id, site.id, before, utc_now())
        db.session.commit()


def _sums(settings: Settings) -> dict[str, list[tuple[str, int]]]:
    return {
        table: rows_of(settings, SUMS.format(count=count, table=table, where=where))
        for table, (count, where) in COUNTED.items()
    }


def _make_holes(app: APIFlask, settings: Settings, site: Site) -> None:
    """Raw rows of 30 days ago and of now are left, those of 50 and of 12 days ago are not."""
    now = utc_now()
    _count_and_seal(app, settings, _rows(site, now - timedelta(days=50), 3))
    _count_and_seal(app, settings, _rows(site, now - timedelta(days=12), 5))
    late = [*_rows(site, now - timedelta(days=30), 1), *_rows(site, now - timedelta(hours=1), 1)]
    count_rows(app, settings, late)
    _expire(app, site, now - timedelta(days=7))


def test_a_rebuild_loses_nothing_behind_a_late_beacon(app: APIFlask, services: Settings, site: Site) -> None:
    _make_holes(app, services, site)
    before = _sums(services)
    assert before["site_roll_ups"] == [("day", 10), ("month", 10), ("quarter", 10)]
    rebuild_site(app, site)
    assert _sums(services) == before


def test_nor_behind_one_that_is_older_than_everything(app: APIFlask, services: Settings, site: Site) -> None:
    _make_holes(app, services, site)
    count_rows(app, services, _rows(site, utc("2001-02-03T04:05:06"), 1))
    before = _sums(services)
    rebuild_site(app, site)
    assert _sums(services) == before


def test_the_nightly_check_compares_what_raw_rows_can_tell(
    app: APIFlask, alice: Person, services: Settings, site: Site
) -> None:
    _make_holes(app, services, site)
    assert check_counts(app, alice, services)["differences"] == []


def test_what_retention_took_is_remembered(app: APIFlask, services: Settings, site: Site) -> None:
    asked = "SELECT raw_complete_from FROM sites"
    _count_and_seal(app, services, _rows(site, utc("2026-09-10T10:00:00"), 3))
    _expire(app, site, utc("2026-09-01T00:00:00"))
    assert scalar(services, asked) is None
    _expire(app, site, utc("2026-10-01T00:00:00"))
    complete_from = utc("2026-09-10T10:02:00") + timedelta(milliseconds=1)
    assert scalar(services, asked) == complete_from
    _count_and_seal(app, services, _rows(site, utc("2026-08-10T10:00:00"), 1))
    _expire(app, site, utc("2026-10-01T00:00:00"))
    assert scalar(services, asked) == complete_from


ZONES = ["America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Honolulu"]


@pytest.mark.parametrize("zone", ZONES)
def test_a_changed_time_zone_neither_doubles_nor_loses_kept_months(
    app: APIFlask, services: Settings, site: Site, zone: str
) -> None:
    """Around the turns of three months, of which the first one's raw rows are gone."""
    hours = [utc(f"{turn}T00:00:00") + timedelta(hours=hour) for turn in TURNS for hour in range(-30, 31, 3)]
    for hour in hours:
        count_rows(app, services, _rows(site, hour, 2))
    with app.app_context():
        tasks.seal_chunks()
    before = _sums(services)
    _expire(app, site, utc("2026-10-01T00:00:00"))
    assert scalar(services, "SELECT raw_complete_from FROM sites") is not None
    sites = _by_zone(services, "quarter", zone)
    cut_in_zone(app, services, site, zone)
    assert _sums(services) == before
    assert _by_zone(services, "day", zone) == sites
    assert [month for month, _ in _by_zone(services, "month", zone)] == sorted({f"{day[:7]}-01" for day, _ in sites})
    for table in COUNTED:
        assert _misplaced(services, table, zone) == []
    assert scalar(services, PAGE_COUNTS_DIFFER) == 0


def test_days_that_move_by_a_whole_day_do_not_meet(app: APIFlask, services: Settings, site: Site) -> None:
    """A day begins on Hawaii when the next one begins on Kiritimati."""
    for day in range(1, 5):
        count_rows(app, services, _rows(site, utc(f"2026-09-0{day}T12:00:00"), day))
    _expire(app, site, utc("2026-10-01T00:00:00"))
    before = _sums(services)
    for zone in ("Pacific/Kiritimati", "Pacific/Honolulu", "Pacific/Kiritimati"):
        cut_in_zone(app, services, site, zone)
        assert _sums(services) == before
        assert _misplaced(services, "page_roll_ups", zone) == []


TURNS = ("2026-09-01", "2026-10-01", "2026-11-01")
PAGE_COUNTS_DIFFER = """
    SELECT count(*) FROM site_roll_ups s WHERE grain = 'day' AND page_count <> (
        SELECT count(*) FROM page_roll_ups p WHERE p.grain = 'day' AND p.bucket_at = s.bucket_at
    )
"""


def _by_zone(settings: Settings, grain: str, zone: str) -> list[tuple[str, int]]:
    """A site's pageviews by the date of the zone, of days or of quarters."""
    asked = """
        SELECT (bucket_at AT TIME ZONE %s)::date::text, sum(pageview_count)::int FROM site_roll_ups
        WHERE grain = %s GROUP BY 1 ORDER BY 1
    """
    return rows_of(settings, asked, zone, grain)


def _misplaced(settings: Settings, table: str, zone: str) -> list[datetime]:
    """Days and months that begin at no midnight of the zone."""
    asked = f"""
        SELECT bucket_at FROM {table} WHERE grain <> 'quarter'
            AND bucket_at <> date_trunc(grain, bucket_at AT TIME ZONE '{zone}') AT TIME ZONE '{zone}'
    """
    return rows_of(settings, asked)
