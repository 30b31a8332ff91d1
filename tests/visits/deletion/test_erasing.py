"""Removing a deleted site for good: whatever dies, all of it goes, and nothing of any other site."""

from __future__ import annotations

from datetime import timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.visits.deletion.support import delete_long_ago, erase_all, fill, held, rows_for
from tests.visits.support import add_rows, add_site, count_all, make_beacon, post, rows_of, scalar
from webapp.config import Settings
from webapp.extensions import db, driver_connection, tenant
from webapp.lib.clock import utc_now
from webapp.lib.storage import storage_at
from webapp.visits.collecting import site_directory
from webapp.visits.deletion import erasing
from webapp.visits.deletion.erasing import Erased, close_site, list_tables, steps
from webapp.visits.models import Site
from webapp.visits.raw import tasks as raw_tasks
from webapp.visits.raw import upkeep


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    site = add_site(app, alice.organisation_id)
    fill(app, services, site)
    return site


@pytest.fixture
def other(app: APIFlask, alice: Person, services: Settings) -> Site:
    """Of the same organisation, with a page that both have seen and one of its own."""
    other = add_site(app, alice.organisation_id)
    fill(app, services, other, "/other")
    add_rows(services, rows_for(other))
    count_all(app, services)
    return other


def urls(settings: Settings) -> list[str]:
    return [url for (url,) in rows_of(settings, "SELECT url FROM pages ORDER BY url")]


def test_each_table_of_sites_holds_something_here(services: Settings, site: Site) -> None:
    empty = {table for table, count in held(services, site.id).items() if not count}
    assert not empty & {table for table in list_tables() if table in FILLED}


FILLED = {
    "chart_notes", "dimension_roll_ups", "drop_counts", "goals", "identities", "page_roll_ups", "raw_chunks",
    "refused_merges", "shared_links", "site_roll_ups", "visit_segments", "visits",
}  # fmt: skip


def test_all_of_it_goes_and_nothing_of_another(app: APIFlask, services: Settings, site: Site, other: Site) -> None:
    of_other = held(services, other.id)
    delete_long_ago(services, site)
    erase_all(app)
    assert not any(held(services, site.id).values())
    assert held(services, other.id) == of_other
    assert urls(services) == ["https://shop.example/other", "https://shop.example/own"]
    assert rows_of(services, "SELECT state FROM jobs") == [("completed",)]
    delete_long_ago(services, other)
    erase_all(app)
    assert urls(services) == []


def test_its_product_views_leave_the_totals(app: APIFlask, services: Settings, site: Site, other: Site) -> None:
    total = "SELECT view_count::int FROM product_view_totals"
    of_both = scalar(services, total)
    [of_site] = [count for (count,) in rows_of(services, VIEWS_OF_SITE, site.id)]
    delete_long_ago(services, site)
    erase_all(app)
    assert (of_site > 0, scalar(services, total)) == (True, of_both - of_site)


VIEWS_OF_SITE = "SELECT sum(view_count)::int FROM product_view_days WHERE site_id = %s"


def test_a_site_that_was_deleted_lately_or_not_at_all_stays(
    app: APIFlask, services: Settings, site: Site, other: Site
) -> None:
    with owner_connection(services) as connection:
        connection.execute("UPDATE sites SET deleted_at = now() - interval '29 days' WHERE id = %s", [site.id])
    before = held(services, site.id), held(services, other.id)
    erase_all(app)
    assert (held(services, site.id), held(services, other.id)) == before


def test_a_job_for_a_site_that_came_back_removes_nothing(app: APIFlask, services: Settings, site: Site) -> None:
    before = held(services, site.id)
    with app.app_context(), tenant(site.organisation_id):
        assert not close_site(driver_connection(), Erased(site.organisation_id, site.id), utc_now(), utc_now())
        db.session.commit()
    assert held(services, site.id) == before


@pytest.mark.parametrize("step", range(0, 24, 3))
def test_whoever_does_it_again_after_it_died_goes_on(
    app: APIFlask, services: Settings, site: Site, other: Site, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_other = held(services, other.id)
    delete_long_ago(services, site)
    monkeypatch.setattr(erasing, "STEP", 2)
    with app.app_context(), tenant(site.organisation_id):
        erased = Erased(site.organisation_id, site.id)
        assert close_site(driver_connection(), erased, utc_now(), utc_now())
        db.session.commit()
        for number, _ in enumerate(steps(driver_connection, erased, utc_now())):
            if number == step:
                break  # before its commit
            db.session.commit()
        db.session.rollback()
    erase_all(app)
    assert not any(held(services, site.id).values())
    assert held(services, other.id) == of_other


def test_its_sealed_files_leave_the_store(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "OLD_AFTER", timedelta(0))
    with app.app_context():
        raw_tasks.seal_chunks()
    assert scalar(services, "SELECT count(*) FROM sealed_files WHERE state = 'sealed'") == 2
    delete_long_ago(services, site)
    erase_all(app)
    with owner_connection(services) as connection:
        connection.execute("UPDATE sealed_files SET retired_at = retired_at - interval '2 hours'")
    with app.app_context():
        raw_tasks.sweep_files()
    assert scalar(services, "SELECT count(*) FROM sealed_files") == 0
    pages = storage_at(services.uploads_url).key_pages(utc_now() + timedelta(days=1))
    assert not [key for keys in pages for key in keys if str(site.id) in key]


@pytest.mark.parametrize("is_closed_only", [True, False])
def test_beacons_of_it_in_the_stream_do_no_harm(
    app: APIFlask, services: Settings, site: Site, other: Site, is_closed_only: bool
) -> None:
    delete_long_ago(services, site)
    if is_closed_only:
        with owner_connection(services) as connection:
            connection.execute("UPDATE sites SET erasing_at = now() WHERE id = %s", [site.id])
    else:
        erase_all(app)
    before, pageviews = held(services, site.id), page_count(services, other)
    add_rows(services, [*rows_for(site), *rows_for(other), *rows_for(site)])
    count_all(app, services)
    assert held(services, site.id) == before
    assert page_count(services, other) == pageviews + 1
    assert scalar(services, "SELECT count(*) FROM dead_beacons") == 0


def page_count(settings: Settings, site: Site) -> int:
    query = "SELECT sum(pageview_count)::int FROM site_roll_ups WHERE grain = 'month' AND site_id = %s"
    return int(scalar(settings, query, site.id))


def test_beacons_that_were_taken_before_it_was_deleted_are_counted_for_when_it_comes_back(
    app: APIFlask, services: Settings, site: Site
) -> None:
    before = page_count(services, site)
    add_rows(services, rows_for(site))
    with owner_connection(services) as connection:
        connection.execute("UPDATE sites SET deleted_at = now()")
    count_all(app, services)
    assert page_count(services, site) == before + 1


def test_the_door_refuses_a_deleted_site_and_counts_what_it_refused(
    app: APIFlask, services: Settings, alice: Person, site: Site
) -> None:
    alice.client.post(f"/visits/sites/{site.id}/delete", data={"typed_name": "Shop"})
    one, many = post(services, make_beacon(site.site_key), [make_beacon(site.site_key)])
    assert (one.status, one.headers["x-footfall-dropped"]) == (403, "site-deleted")
    assert "deleted" in one.problem["detail"]
    assert many.problem["refused"][0]["reason"] == "site-deleted"
    count_all(app, services)
    assert scalar(services, "SELECT drop_count FROM drop_counts WHERE reason = 'site-deleted'") == 2
    assert "Reported since" in alice.client.get("/visits/sites/deleted").text
    assert page_count(services, site) == 1
    assert "deleted_at" in site_directory.SETTINGS


def test_beacons_laid_aside_go_with_their_site(app: APIFlask, services: Settings, site: Site, other: Site) -> None:
    with owner_connection(services) as connection:
        for one in (site, other):
            connection.execute(
                "INSERT INTO dead_beacons (organisation_id, id, site_id, keys, content, reason, created_at)"
                " VALUES (%s, gen_random_uuid(), %s, '{}', 'x', 'x', now())",
                [one.organisation_id, one.id],
            )
    delete_long_ago(services, site)
    erase_all(app)
    assert rows_of(services, "SELECT site_id FROM dead_beacons") == [(other.id,)]
