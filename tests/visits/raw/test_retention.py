"""Answers from raw rows when retention has taken some of them: what is left of a visit is never less than nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits.models import Site
from webapp.visits.questions import Figures, Question
from webapp.visits.raw import engine, tasks, upkeep

NOW = utc_now().replace(hour=12, minute=0, second=0, microsecond=0)
BEGAN = NOW - timedelta(days=2)


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    """A visit in a file, and in a chunk with today's that it went on."""
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, BEGAN, visitor="alice")])
    count_all(app, services)
    with app.app_context():
        tasks.seal_chunks()
    late = make_row(site, BEGAN + timedelta(minutes=5), visitor="alice")
    add_rows(services, [late, make_row(site, NOW, visitor="bob")])
    count_all(app, services)
    return site


def _totals(app: APIFlask, *sites: Site) -> Figures:
    ids = tuple(site.id for site in sites)
    with app.app_context(), tenant(sites[0].organisation_id):
        hour = timedelta(hours=1)
        return engine.totals(Question(sites[0].organisation_id, ids, BEGAN - hour, NOW + hour))


def _expire(app: APIFlask, site: Site) -> None:
    with app.app_context(), tenant(site.organisation_id):
        upkeep.expire(site.organisation_id, site.id, BEGAN + timedelta(minutes=2), utc_now())
        db.session.commit()


def test_a_visit_that_changed_is_not_taken_back_alone(app: APIFlask, site: Site) -> None:
    before = _totals(app, site)
    assert (before.pageview_count, before.visit_count, before.bounce_count) == (3, 2, 1)
    _expire(app, site)
    after = _totals(app, site)
    assert (after.pageview_count, after.visit_count, after.bounce_count, after.visit_ms) == (2, 1, 1, 0)


def test_a_site_beside_it_keeps_all_its_rows(app: APIFlask, alice: Person, services: Settings, site: Site) -> None:
    _expire(app, site)
    other = add_site(app, alice.organisation_id, "https://blog.example")
    add_rows(services, [make_row(other, BEGAN), make_row(other, NOW)])
    count_all(app, services)
    both = _totals(app, site, other)
    assert (both.pageview_count, both.visit_count, both.bounce_count) == (4, 3, 3)
