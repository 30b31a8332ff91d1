"""The demo shows each thing that Footfall can, is made once, and by the services that people use."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask
from sqlalchemy import func, select

from tests.bulk_actions.support import work_off
from webapp import demo
from webapp.bulk_actions.finished_imports import list_finished_imports
from webapp.config import Settings
from webapp.contacts.models import Contact
from webapp.demo_beside import NEWCOMERS, STRANGER
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.products.unknown_skus import list_unknown_skus
from webapp.visits import answers
from webapp.visits.people.models import Identity
from webapp.visits.people.refused import list_refused
from webapp.visits.periods import make_period
from webapp.visits.queries import list_sites
from webapp.visits.questions import Question
from webapp.visits.site_page.queries import (
    list_all_notes,
    list_funnels,
    list_goals,
    list_segments,
    list_shared_links,
)

KEPT = (list_goals, list_segments, list_funnels, list_all_notes, list_shared_links)


@pytest.fixture
def said(app: APIFlask, services: Settings) -> list[str]:
    """What making it said, the second time included."""
    said: list[str] = []
    with app.app_context():
        demo.seed(said.append)
        said.append("again")
        demo.seed(said.append)
    work_off(app)
    return said


def test_a_newcomer_finds_everything_and_everything_once(app: APIFlask, said: list[str]) -> None:
    assert said[-1] == "again", "the second time makes nothing"
    with app.app_context():
        organisation = demo.get_organisation()
        with tenant(organisation.id):
            shop, second = list_sites(organisation.id)
            assert [len(kept(organisation.id, shop.id)) for kept in KEPT] == [3, 1, 1, 2, 1]
            assert len(list_refused(organisation.id, shop.id).merges) == 2
            assert [one.sku for one in list_unknown_skus(organisation.id).skus] == ["HC-NIGHTFERRY-250"]
            now = utc_now()
            for site in (shop, second):
                week = Question(organisation.id, (site.id,), now - timedelta(days=7), now)
                assert answers.totals(week).visitor_count > 10
            period = make_period("30d", ZoneInfo(shop.time_zone), now)
            before = period.year_before()
            assert answers.totals(Question(organisation.id, (shop.id,), before.start, before.end)).visitor_count > 100


def test_newcomers_came_before_their_file_and_a_stranger_is_nobodys_contact(app: APIFlask, said: list[str]) -> None:
    with app.app_context():
        organisation = demo.get_organisation()
        with tenant(organisation.id):
            now = utc_now()
            [done] = list_finished_imports(organisation.id, now - timedelta(hours=1), now + timedelta(hours=1))
            assert done.text == f"Import of {len(NEWCOMERS)} contacts"
            firsts = select(Identity.identity, func.min(Identity.first_at)).group_by(Identity.identity)
            named = {row.identity: row[1] for row in db.session.execute(firsts)}
            contacts = set(db.session.scalars(select(Contact.email_key)))
            assert contacts.issuperset(NEWCOMERS)
            assert all(named[email] < done.at - timedelta(days=1) for email in NEWCOMERS)
            assert STRANGER in named
            assert STRANGER not in contacts
