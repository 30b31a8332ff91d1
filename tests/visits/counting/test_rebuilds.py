"""When a site is rebuilt: once for a changed time zone, from where it is changed, and not again and again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person, owner_connection
from tests.jobs.support import run_waiting
from tests.visits.support import add_rows, add_site, count_all, make_row, rows_of, utc
from tests.visits.test_site_settings import FORM
from webapp.accounts.service import create_api_key
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.visits.counting import check_tasks
from webapp.visits.counting.rebuilds import REBUILD_NAME
from webapp.visits.models import Site

STATES = f"SELECT state FROM jobs WHERE kind = '{REBUILD_NAME}' ORDER BY id"
ZONES = "SELECT time_zone, cut_zone FROM sites"


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    """With something counted in UTC."""
    site = add_site(app, alice.organisation_id)
    _count(app, services, site)
    return site


def _count(app: APIFlask, settings: Settings, site: Site) -> None:
    add_rows(settings, [make_row(site, utc("2026-11-18T20:00:00"))])
    count_all(app, settings)


def _change_zone(settings: Settings) -> None:
    with owner_connection(settings) as connection:
        connection.execute("UPDATE sites SET time_zone = 'Asia/Kathmandu'")


def _end(settings: Settings, state: str, ago: timedelta) -> None:
    with owner_connection(settings) as connection:
        connection.execute("UPDATE jobs SET state = %s, ended_at = now() - %s", [state, ago])


def _states(settings: Settings) -> list[str]:
    return [row[0] for row in rows_of(settings, STATES)]


@pytest.mark.parametrize("state", ["pending", "running", "retrying"])
def test_a_batch_starts_no_second_rebuild(app: APIFlask, services: Settings, site: Site, state: str) -> None:
    _change_zone(services)
    _count(app, services, site)
    with owner_connection(services) as connection:
        connection.execute("UPDATE jobs SET state = %s", [state])
    _count(app, services, site)
    assert _states(services) == [state]


@pytest.mark.parametrize("state", ["dead", "failed", "cancelled"])
def test_what_ended_badly_is_not_begun_again_at_once(app: APIFlask, services: Settings, site: Site, state: str) -> None:
    _change_zone(services)
    _count(app, services, site)
    _end(services, state, timedelta(minutes=59))
    _count(app, services, site)
    assert _states(services) == [state]
    _end(services, state, timedelta(minutes=61))
    _count(app, services, site)
    assert _states(services) == [state, "pending"]


def test_the_settings_page_starts_it(app: APIFlask, alice: Person, services: Settings, site: Site) -> None:
    url = f"/visits/sites/{site.id}/settings"
    assert alice.client.post(url, data={**FORM, "time_zone": "UTC"}).status_code == 303
    assert _states(services) == []
    assert alice.client.post(url, data=FORM).status_code == 303
    assert alice.client.post(url, data=FORM).status_code == 303
    assert _states(services) == ["pending"]
    assert "cut in the new time zone" in alice.client.get(url).text
    with app.app_context():
        run_waiting()
    assert rows_of(services, ZONES) == [("Asia/Kathmandu", "Asia/Kathmandu")]


def test_so_does_the_api(app: APIFlask, client: FlaskClient, alice: Person, services: Settings, site: Site) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        _, secret = create_api_key(alice.organisation_id, "Tests")
        db.session.commit()
    key = {"Authorization": f"Bearer {secret}"}
    answer = client.patch(f"/api/v1/sites/{site.id}", json={"time_zone": "Asia/Kathmandu"}, headers=key)
    assert (answer.json or {})["time_zone"] == "Asia/Kathmandu"
    assert _states(services) == ["pending"]


def test_a_site_of_which_nothing_is_counted_needs_none(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    assert alice.client.post(f"/visits/sites/{site.id}/settings", data=FORM).status_code == 303
    assert _states(services) == []


def test_the_night_finds_a_zone_that_was_changed_while_a_rebuild_ran(
    app: APIFlask, services: Settings, site: Site
) -> None:
    """Nothing more comes from a quiet site, and the rebuild that ran had read the old zone."""
    _change_zone(services)
    with owner_connection(services) as connection:
        connection.execute("UPDATE sites SET created_at = created_at - interval '25 hours'")
    with app.app_context():
        check_tasks.check_roll_ups.fn()
    assert _states(services) == ["pending"]
