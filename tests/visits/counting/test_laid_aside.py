"""What cannot be stored lies aside, where people see it, and counts once when it can be; a fault lays nothing aside."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.jobs.support import run_waiting
from tests.visits.support import add_rows, add_site, count_all, counted, make_row, rows_of, scalar
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.models import Job
from webapp.lib import zones
from webapp.lib.clock import utc_now
from webapp.lib.redis import beacons_client
from webapp.lib.zones import NoZonesError
from webapp.visits import backlog
from webapp.visits.backlog import Kind, Row
from webapp.visits.counting import organisations
from webapp.visits.counting.recount_tasks import KEPT_FOR, start_recount
from webapp.visits.counting.sketches import UnreadableSketchError
from webapp.visits.models import RawKind, Site
from webapp.visits.people.erasing import request_erasure
from webapp.visits.people.erasing_tasks import start_erasing
from webapp.visits.site_queries import list_drops
from webapp.visits.tasks import make_partitions

ASIDE = "SELECT count(*) FROM dead_beacons"
DROPS = "SELECT reason, drop_count FROM drop_counts"


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


@contextmanager
def poisonous(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Meanwhile a fault of ours refuses all rows of the page /bad."""

    def count(connection: Any, part: Any) -> tuple[int, int]:
        if part.rows.get_column("page_url").str.contains("/bad").any():
            raise ValueError("no room for this")
        return organisations.count_for_organisation(connection, part)

    with monkeypatch.context() as patched:
        patched.setattr("webapp.visits.counting.roll_up.count_for_organisation", count)
        yield


def bad_row(site: Site, **changes: Any) -> Row:
    return make_row(site, page_url="https://shop.example/bad", **changes)


def lay_aside(app: APIFlask, services: Settings, monkeypatch: pytest.MonkeyPatch, *rows: Row) -> None:
    with poisonous(monkeypatch):
        add_rows(services, list(rows))
        count_all(app, services)


def recount(app: APIFlask, site: Site) -> dict[str, Any]:
    with app.app_context(), tenant(site.organisation_id):
        job_id = start_recount(site.organisation_id).id
        db.session.commit()
        run_waiting()
        db.session.expire_all()
        job = db.session.get(Job, (site.organisation_id, job_id))
        assert job is not None
        assert job.result is not None, job.error
        return job.result


def test_the_owner_sees_how_many_and_counting_them_again_takes_that_back(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_aside(app, services, monkeypatch, bad_row(site), make_row(site), bad_row(site))
    assert counted(services) == (1, 1, 1)
    assert rows_of(services, DROPS) == [("cannot-be-stored", 2)]
    with app.app_context(), tenant(site.organisation_id):
        [drops] = list_drops(site.organisation_id, site.id, utc_now().date())
        assert "could not be stored" in drops.explanation
    with poisonous(monkeypatch):
        assert recount(app, site) == {"counted_count": 0, "kept_count": 2}
    assert recount(app, site) == {"counted_count": 2, "kept_count": 0}
    assert recount(app, site) == {"counted_count": 0, "kept_count": 0}
    assert counted(services) == (3, 3, 3)
    assert rows_of(services, DROPS) == []
    assert scalar(services, ASIDE) == 0


def test_one_that_was_sent_twice_counts_once_whichever_was_laid_aside(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, twice = bad_row(site), bad_row(site)
    lay_aside(app, services, monkeypatch, row)
    lay_aside(app, services, monkeypatch, row, twice)
    add_rows(services, [row])
    count_all(app, services)
    assert counted(services) == (1, 1, 1)
    with app.app_context():
        make_partitions()
    assert scalar(services, ASIDE) == 1
    recount(app, site)
    add_rows(services, [row, twice])
    count_all(app, services)
    assert counted(services) == (2, 2, 2)


def test_a_group_that_could_not_be_read_is_counted_when_it_can_be(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(backlog, "decode_short_columns", lambda content: [])
        add_rows(services, [make_row(site), make_row(site)])
        count_all(app, services)
    assert scalar(services, ASIDE) == 1
    with app.app_context():
        from webapp.visits.counting.recount_tasks import count_again, list_organisations

        for organisation_id in list_organisations():
            with tenant(organisation_id):
                assert [one.counted_count for one in count_again(organisation_id)] == [1]
    assert counted(services) == (2, 2, 2)
    assert scalar(services, ASIDE) == 0


def test_they_go_after_a_while_and_with_their_site(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_aside(app, services, monkeypatch, bad_row(site), bad_row(site))
    older = "UPDATE dead_beacons SET created_at = %s WHERE id = (SELECT min(id::text)::uuid FROM dead_beacons)"
    with owner_connection(services) as connection:
        connection.execute(older, [utc_now() - KEPT_FOR - timedelta(minutes=1)])
    with app.app_context():
        make_partitions()
    assert scalar(services, ASIDE) == 1


def test_what_names_somebody_who_is_erased_goes_and_does_not_come_back(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = utc_now() - timedelta(minutes=5)
    add_rows(services, [make_row(site, past, visitor="browser", kind=int(Kind.IDENTIFY), name="alice@example.com")])
    count_all(app, services)
    called = bad_row(site, visited_at=past, visitor=" Alice@example.com")
    naming = bad_row(site, visited_at=past, visitor="other", kind=int(Kind.IDENTIFY), name="ALICE@example.com")
    linked = bad_row(site, visited_at=past, visitor="browser")
    bobs = bad_row(site, visited_at=past, visitor="bob@example.com")
    lay_aside(app, services, monkeypatch, called, naming, linked, bobs)
    assert scalar(services, ASIDE) == 4
    with app.app_context(), tenant(site.organisation_id):
        request_erasure(site.organisation_id, ["alice@example.com"], utc_now())
        start_erasing(site.organisation_id)
        db.session.commit()
        run_waiting()
    assert rows_of(services, "SELECT keys FROM dead_beacons") == [(["bob@example.com"],)]
    lay_aside(app, services, monkeypatch, bad_row(site, visited_at=past, visitor="alice@example.com"))
    assert scalar(services, ASIDE) == 1


def test_a_machine_without_time_zones_keeps_the_batch(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(name: str) -> zoneinfo.ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    add_rows(services, [make_row(site), make_row(site)])
    with monkeypatch.context() as patched:
        patched.setattr(zones, "ZoneInfo", lacks)
        with pytest.raises(NoZonesError, match="UTC"):
            count_all(app, services)
    assert scalar(services, ASIDE) == 0
    with beacons_client(services) as client:
        assert backlog.waiting_count(client) == 1
    count_all(app, services)
    assert counted(services) == (2, 2, 2)


@pytest.mark.parametrize("grain", ["quarter", "day", "month"])
def test_a_sketch_that_cannot_be_read_stops_nothing_and_is_made_again(
    app: APIFlask, services: Settings, site: Site, grain: str
) -> None:
    now = utc_now()
    add_rows(services, [make_row(site, now, visitor="alice"), make_row(site, now, kind=int(Kind.EVENT), name="buy")])
    count_all(app, services)
    with owner_connection(services) as connection:
        for table in ("site_roll_ups", "dimension_roll_ups"):
            broken = f"UPDATE {table} SET visitors = '\\x00' WHERE grain = %s AND visitors IS NOT NULL"
            connection.execute(broken, [grain])
    add_rows(services, [make_row(site, now, visitor="bob"), make_row(site, now, kind=int(Kind.EVENT), name="buy")])
    count_all(app, services)
    assert scalar(services, ASIDE) == 0
    with app.app_context(), tenant(site.organisation_id):
        run_waiting()
    assert rows_of(services, "SELECT broken_at FROM sites") == [(None,)]
    assert rows_of(services, "SELECT state FROM jobs WHERE kind = 'rebuild_roll_ups'") == [("completed",)]
    assert counted(services) == (2, 2, 2)


def test_a_sketch_that_cannot_be_read_leaves_the_page(
    app: APIFlask, alice: Person, services: Settings, site: Site
) -> None:
    add_rows(services, [make_row(site)])
    count_all(app, services)
    with owner_connection(services) as connection:
        connection.execute("UPDATE site_roll_ups SET visitors = 'none'")
    assert alice.client.get(f"/visits?site={site.id}").status_code == 200


def test_a_chunk_that_cannot_be_read_stops_nothing(app: APIFlask, services: Settings, site: Site) -> None:
    add_rows(services, [make_row(site)])
    count_all(app, services)
    with owner_connection(services) as connection:
        connection.execute("UPDATE raw_chunks SET content = 'no rows' WHERE kind = %s", [RawKind.ACTIVITY.value])
    add_rows(services, [make_row(site)])
    count_all(app, services)
    assert scalar(services, ASIDE) == 0
    assert scalar(services, "SELECT count(*) FROM raw_chunks WHERE kind = 'activity'") == 2
    assert scalar(services, "SELECT sum(pageview_count)::int FROM site_roll_ups WHERE grain = 'day'") == 2


def test_an_unreadable_sketch_is_no_value_error() -> None:
    assert not issubclass(UnreadableSketchError, ValueError)
