"""Rebuilding roll-ups from raw rows, in another time zone or because they differ, and noticing that they do."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.jobs.support import run_waiting
from tests.visits.counting.test_any_order import KINDS
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, rows_of, scalar, utc
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.service import create_job
from webapp.lib.clock import utc_now
from webapp.visits.backlog import Row
from webapp.visits.counting.check_tasks import CHECK
from webapp.visits.counting.rebuilds import start_rebuild
from webapp.visits.models import Site
from webapp.visits.raw import upkeep

TABLES = {
    "site_roll_ups": "site_id, grain, bucket_at, pageview_count, visit_count, bounce_count, visit_ms, event_count, "
    "engaged_ms, page_count",
    "page_roll_ups": "site_id, grain, bucket_at, page_id, pageview_count, entry_count, exit_count, bounce_count, "
    "engaged_ms, scroll_sum, scroll_count",
    "dimension_roll_ups": "site_id, grain, bucket_at, dimension, value, pageview_count, visit_count, bounce_count, "
    "visit_ms, event_count",
}
"""Sketches may differ in their bytes and say the same."""


def test_a_rebuild_counts_what_counting_counted(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    site, other = (add_site(app, person.organisation_id) for person in (alice, charlie))
    count_rows(app, services, [*make_rows(site, 1), *make_rows(other, 2)])
    before = snapshot(services)
    with owner_connection(services) as connection:
        connection.execute("UPDATE site_roll_ups SET pageview_count = pageview_count + 5 WHERE site_id = %s", [site.id])
        connection.execute("DELETE FROM dimension_roll_ups WHERE site_id = %s AND value = 'NP'", [site.id])
    rebuild_site(app, site)
    assert snapshot(services) == before


def test_a_changed_time_zone_is_noticed_and_cuts_the_days_anew(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    rows = make_rows(site, 3)
    count_rows(app, services, rows)
    with app.app_context(), tenant(alice.organisation_id):
        db.session.get_one(Site, (alice.organisation_id, site.id)).time_zone = "Asia/Kathmandu"
        db.session.commit()
    more = make_row(site, utc("2026-11-19T18:20:00"))
    count_rows(app, services, [more])
    zones = "SELECT time_zone, cut_zone FROM sites"
    assert rows_of(services, zones) == [("Asia/Kathmandu", "UTC")]
    _work_off(app)
    assert rows_of(services, zones) == [("Asia/Kathmandu", "Asia/Kathmandu")]
    cut_anew = snapshot(services)
    with owner_connection(services) as connection:
        for table in (*TABLES, "raw_chunks", "visits", "seen"):
            connection.execute(f"DELETE FROM {table}")
    count_rows(app, services, [*rows, more])
    assert snapshot(services) == cut_anew


def test_only_whole_months_are_counted_again_of_which_retention_took_nothing(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.visits.raw.chunks.SMALL_CHUNK_ROWS", 0)
    site = add_site(app, alice.organisation_id)
    for day in ("2026-09-10", "2026-09-20", "2026-10-20", "2026-11-05"):
        count_rows(app, services, [make_row(site, utc(f"{day}T10:00:00"))])
    with app.app_context(), tenant(alice.organisation_id):
        upkeep.expire(alice.organisation_id, site.id, utc("2026-09-15T00:00:00"), utc_now())
        db.session.commit()
    with owner_connection(services) as connection:
        connection.execute("UPDATE site_roll_ups SET pageview_count = 100 WHERE grain = 'month'")
    rebuild_site(app, site)
    months = "SELECT extract(month FROM bucket_at)::int, pageview_count FROM site_roll_ups WHERE grain = 'month'"
    assert sorted(rows_of(services, months)) == [(9, 100), (10, 1), (11, 1)]


@pytest.mark.parametrize("column", ["pageview_count", "visit_count", "engaged_ms"])
def test_the_nightly_check_names_the_bucket_that_differs(
    app: APIFlask, alice: Person, services: Settings, column: str
) -> None:
    site = add_site(app, alice.organisation_id)
    count_rows(app, services, make_rows(site, 4))
    assert check_counts(app, alice, services)["difference_count"] == 0
    with owner_connection(services) as connection:
        connection.execute(
            f"UPDATE site_roll_ups SET {column} = {column} + 7 WHERE grain = 'quarter' AND bucket_at ="
            " (SELECT max(bucket_at) FROM site_roll_ups WHERE grain = 'quarter')"
        )
    result = check_counts(app, alice, services)
    assert result["difference_count"] == 3, "and its day and month are not what their quarters say"
    assert column in result["differences"][0]


def make_rows(site: Site, seed: int) -> list[Row]:
    chance = random.Random(seed)
    return [
        make_row(
            site,
            utc("2026-11-18T00:00:00") + timedelta(minutes=chance.randrange(3 * 24 * 60)),
            visitor=f"visitor-{chance.randrange(20)}",
            page_url=f"{ORIGIN}/{chance.randrange(5)}",
            country=chance.choice(["DE", "NP"]),
            kind=int(chance.choice(KINDS)),
            name="named",
            engaged_ms=chance.randrange(1_000),
        )
        for _ in range(300)
    ]


def count_rows(app: APIFlask, settings: Settings, rows: list[Row]) -> None:
    add_rows(settings, rows)
    count_all(app, settings, batch=100)


def snapshot(settings: Settings) -> dict[str, list[object]]:
    """All that is counted, without rows that count nothing any more."""
    return {
        table: sorted(row for row in rows_of(settings, f"SELECT {columns} FROM {table}") if any(row[-5:]))
        for table, columns in TABLES.items()
    }


def cut_in_zone(app: APIFlask, settings: Settings, site: Site, zone: str) -> None:
    """Change a site's time zone, and have it rebuilt."""
    with owner_connection(settings) as connection:
        connection.execute("UPDATE sites SET time_zone = %s WHERE id = %s", [zone, site.id])
    rebuild_site(app, site)
    assert scalar(settings, "SELECT cut_zone FROM sites WHERE id = %s", site.id) == zone


def _work_off(app: APIFlask) -> None:
    with app.app_context():
        run_waiting()


def rebuild_site(app: APIFlask, site: Site) -> None:
    with app.app_context(), tenant(site.organisation_id):
        start_rebuild(site.organisation_id, site.id)
        db.session.commit()
    _work_off(app)


def check_counts(app: APIFlask, person: Person, settings: Settings) -> dict[str, Any]:
    with app.app_context(), tenant(person.organisation_id):
        job_id = create_job(person.organisation_id, CHECK, {}).id
        db.session.commit()
    _work_off(app)
    state, result = rows_of(settings, "SELECT state, result FROM jobs WHERE id = %s", job_id)[0]
    assert state == "completed", scalar(settings, "SELECT error FROM jobs WHERE id = %s", job_id)
    return dict(result)
