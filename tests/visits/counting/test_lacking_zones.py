"""A site's time zone that this machine lacks: nobody else waits for it, its days are UTC's, and its owner is told."""

from __future__ import annotations

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.jobs.support import run_waiting
from tests.visits.support import add_rows, add_site, count_all, make_row, rows_of, scalar, utc
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits.backlog import Kind
from webapp.visits.counting.rebuilds import list_stale_sites
from webapp.visits.models import Site
from webapp.visits.product_views.tasks import move_product_views
from webapp.visits.weekly.models import WeeklySubscription
from webapp.visits.weekly.queries import list_subscribed_sites

NOWHERE = "Mars/Olympus"
LATE_IN_KATHMANDU = utc("2026-11-19T18:20:00")
"""The twentieth there, the nineteenth in UTC."""
DAYS = "SELECT bucket_at, pageview_count FROM site_roll_ups WHERE site_id = %s AND grain = 'day' ORDER BY bucket_at"
REBUILDS = "SELECT count(*)::int FROM jobs WHERE kind = 'rebuild_roll_ups'"


@pytest.fixture
def lost(app: APIFlask, alice: Person) -> Site:
    """A site whose time zone this machine knew, and does not any more."""
    return add_site(app, alice.organisation_id, time_zone="Asia/Kathmandu")


def lose_zone(services: Settings, site: Site) -> None:
    with owner_connection(services) as connection:
        connection.execute(
            "UPDATE sites SET time_zone = %s, cut_zone = %s WHERE id = %s AND cut_zone IS NOT NULL",
            [NOWHERE, NOWHERE, site.id],
        )
        connection.execute("UPDATE sites SET time_zone = %s WHERE id = %s", [NOWHERE, site.id])


def test_a_site_without_its_zone_holds_up_no_other_organisation(
    app: APIFlask, charlie: Person, services: Settings, lost: Site
) -> None:
    other = add_site(app, charlie.organisation_id, time_zone="Europe/Berlin")
    lose_zone(services, lost)
    add_rows(services, [make_row(lost, LATE_IN_KATHMANDU), make_row(other, LATE_IN_KATHMANDU)])
    count_all(app, services)
    assert rows_of(services, DAYS, lost.id) == [(utc("2026-11-19T00:00:00"), 1)]
    assert rows_of(services, DAYS, other.id) == [(utc("2026-11-18T23:00:00"), 1)]


def test_days_that_were_cut_in_the_lost_zone_are_counted_again_in_utc_once(
    app: APIFlask, services: Settings, lost: Site
) -> None:
    add_rows(services, [make_row(lost, LATE_IN_KATHMANDU)])
    count_all(app, services)
    assert rows_of(services, DAYS, lost.id) == [(utc("2026-11-19T18:15:00"), 1)]
    lose_zone(services, lost)
    for _ in range(3):
        add_rows(services, [make_row(lost, LATE_IN_KATHMANDU)])
        count_all(app, services)
        with app.app_context(), tenant(lost.organisation_id):
            run_waiting()
    assert rows_of(services, DAYS, lost.id) == [(utc("2026-11-19T00:00:00"), 4)]
    assert scalar(services, REBUILDS) == 1


def test_a_zone_that_is_known_again_is_cut_in(app: APIFlask, services: Settings, lost: Site) -> None:
    lose_zone(services, lost)
    add_rows(services, [make_row(lost, LATE_IN_KATHMANDU)])
    count_all(app, services)
    with owner_connection(services) as connection:
        connection.execute("UPDATE sites SET time_zone = 'Asia/Kathmandu' WHERE id = %s", [lost.id])
    add_rows(services, [make_row(lost, LATE_IN_KATHMANDU)])
    count_all(app, services)
    with app.app_context(), tenant(lost.organisation_id):
        run_waiting()
        assert list_stale_sites(lost.organisation_id) == []
    assert rows_of(services, DAYS, lost.id) == [(utc("2026-11-19T18:15:00"), 2)]


def test_its_owner_is_told_and_sees_the_visits(app: APIFlask, alice: Person, services: Settings, lost: Site) -> None:
    lose_zone(services, lost)
    add_rows(services, [make_row(lost)])
    count_all(app, services)
    page = alice.client.get(f"/visits?site={lost.id}")
    assert page.status_code == 200
    assert NOWHERE in page.text
    assert f"/visits/sites/{lost.id}/settings" in page.text
    for path in (f"/visits/now?site={lost.id}", f"/visits/weekly?site={lost.id}"):
        assert alice.client.get(path).status_code == 200


def test_upkeep_of_all_organisations_goes_on_without_it(
    app: APIFlask, alice: Person, charlie: Person, services: Settings, lost: Site
) -> None:
    other = add_site(app, charlie.organisation_id)
    rows = [make_row(site, utc_now(), kind=int(Kind.PRODUCT), name="mug") for site in (lost, other)]
    add_rows(services, rows)
    count_all(app, services)
    lose_zone(services, lost)
    with owner_connection(services) as connection:
        connection.execute("UPDATE product_view_windows SET first_day = first_day - 5")
    subscribe(app, alice, lost)
    subscribe(app, charlie, other)
    with app.app_context():
        move_product_views()
        assert len(list_subscribed_sites()) == 2
    assert len(set(rows_of(services, "SELECT first_day FROM product_view_windows"))) == 1
    assert scalar(services, "SELECT min(first_day) > current_date - 31 FROM product_view_windows")


def subscribe(app: APIFlask, person: Person, site: Site) -> None:
    with app.app_context(), tenant(person.organisation_id):
        wanted = WeeklySubscription(
            organisation_id=person.organisation_id, site_id=site.id, user_id=person.user_id, created_at=utc_now()
        )
        db.session.add(wanted)
        db.session.commit()
