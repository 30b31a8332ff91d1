"""Verbs over all who did something on a website: frozen with their moment, whatever dies and whoever comes later."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import read, work_off
from tests.bulk_actions.test_api import calling_as, problem
from tests.bulk_actions.test_kill import Workers, wait_for
from tests.bulk_actions.verbs.test_verbs import HEADER
from tests.conftest import Person, owner_connection
from tests.records.behaviour import add_deeds, add_identities
from tests.records.test_merge import import_rows
from tests.visits.support import ORIGIN, add_site
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs.selection import Selection
from webapp.bulk_actions.verbs.service import Order, start_verb
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.records import behaviour_sets
from webapp.visits.models import Site

PEOPLE, VISITORS = 4_000, 3_000
WORKER = "tests.bulk_actions.verbs.outage_worker"
DID, DID_NOT = "14d:page:begins:/pricing", "not:14d:page:begins:/pricing"


def email_of(number: int) -> str:
    return f"p{number}@example.com"


def add_people(app: APIFlask, organisation_id: UUID, count: int, visitor_count: int) -> Site:
    """Contacts, all but the last of them identified; the first of them visited a page just now."""
    import_rows(app, organisation_id, [[email_of(n)] for n in range(count)], HEADER)
    site = add_site(app, organisation_id)
    with app.app_context():
        add_identities(organisation_id, {(site.id, n): email_of(n) for n in range(count - 1)})
        visit(organisation_id, site.id, range(visitor_count), utc_now() - timedelta(minutes=1))
    return site


def visit(organisation_id: UUID, site_id: UUID, visitors: range, at: datetime) -> None:
    add_deeds(organisation_id, site_id, [(visitor, at, f"{ORIGIN}/pricing/team") for visitor in visitors])


def emails_with_tag(services: Settings, tag: str = "seen") -> set[str]:
    with owner_connection(services) as connection:
        return {row[0] for row in connection.execute("SELECT email FROM contacts WHERE %s = ANY(tags)", [tag])}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("did", "is_reached"),
    [
        (DID, lambda bulk_action: bulk_action.merged_count >= 400),
        (DID_NOT, lambda bulk_action: bulk_action.state is not BulkActionState.PENDING),
    ],
    ids=["at work", "planning"],
)
def test_a_killed_verb_ends_with_exactly_those_who_did_it_at_its_moment(
    app: APIFlask, services: Settings, organisation_id: UUID, did: str, is_reached: Callable[[BulkAction], bool]
) -> None:
    site = add_people(app, organisation_id, PEOPLE, VISITORS)
    with app.app_context(), tenant(organisation_id):
        order = Order(Verb.ADD_TAGS, CONTACTS, Selection(arguments={"did": [did]}), {"tags": "seen"})
        bulk_action = start_verb(organisation_id, None, order, most_per_hour=100)
        db.session.commit()
        bulk_action_id = bulk_action.id
    send_work()
    workers = Workers(services, WORKER)
    try:
        killed_in = wait_for(app, organisation_id, bulk_action_id, is_reached)
        workers.kill()
        assert not killed_in.state.is_final, "It was over before anybody could be killed."
        with app.app_context():  # the others do it now, which is too late
            visit(organisation_id, site.id, range(VISITORS, PEOPLE - 1), utc_now())
            _forget_sets(services)
        workers.start()
        found = wait_for(app, organisation_id, bulk_action_id, lambda bulk_action: bulk_action.state.is_final)
    finally:
        workers.close()
    who = range(VISITORS) if did == DID else range(VISITORS, PEOPLE)
    assert (found.state, found.row_count, found.succeeded_count) == (BulkActionState.COMPLETED, len(who), len(who))
    assert emails_with_tag(services) == {email_of(n) for n in who}


def test_what_is_confirmed_is_what_is_done_whoever_comes_in_between(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = add_people(app, alice.organisation_id, 20, 12)
    data = {"entity": "contacts", "verb": "delete", "all": "1", "filter": f"did={DID}&q=p1"}
    asked = alice.client.post("/bulk-actions/new", data=data).text
    count = len([n for n in range(12) if email_of(n).startswith("p1")])
    assert f"{count} contacts" in asked
    with app.app_context():
        visit(alice.organisation_id, site.id, range(12, 19), utc_now())
    with monkeypatch.context() as patched:
        patched.setattr(behaviour_sets, "stage_doers", None)  # nobody asks again
        data = {**data, "selection": _selection(asked), "typed_count": str(count)}
        started = alice.client.post("/bulk-actions/start-verb", data=data)
        assert started.status_code == 303
        work_off(app)
    with owner_connection(services) as connection:
        left = {row[0] for row in connection.execute("SELECT email FROM contacts")}
    assert left == {email_of(n) for n in range(20)} - {email_of(n) for n in (1, 10, 11)}
    report = alice.client.get(started.location).text
    assert "Visited a page that begins with “/pricing” in the last 14 days" in report
    assert re.search(r"As of 20\d\d-", report)


def test_the_api_freezes_the_moment_that_it_is_told(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    site = add_people(app, organisation_id, 10, 4)
    call, at = calling_as(app, organisation_id), utc_now()
    with app.app_context():
        visit(organisation_id, site.id, range(4, 6), at + timedelta(milliseconds=1))
    selection = {"filter": {"did": [DID]}, "zone": "Europe/Berlin"}
    body = {"verb": "add_tags", "entity": "contacts", "selection": selection, "parameters": {"tags": ["seen"]}}
    for given, expected in (({"at": at.isoformat()}, 4), ({}, 6)):
        answer = call("/api/v1/bulk-actions", "POST", json={**body, "selection": {**selection, **given}})
        assert answer.status_code == 202, answer.json
        work_off(app)
        assert read(app, organisation_id, UUID((answer.json or {})["id"])).row_count == expected
    assert emails_with_tag(services) == {email_of(n) for n in range(6)}


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"filter": {"did": ["14d:paeg:is:/a"]}}, "does not say what somebody did"),
        ({"filter": {"did": ["x"] * 6}}, "is no time such as 14d"),
        ({"filter": {"did": [f"{n + 1}d:anything" for n in range(6)]}}, "At most 5 things"),
        ({"filter": {"did": [DID]}, "at": "yesterday"}, "`at` is a moment"),
        ({"filter": {"did": [DID]}, "at": 5}, "`at` is a moment"),
        ({"filter": {"did": [DID]}, "at": "2100-01-01T00:00:00Z"}, "`at` is a moment that has passed"),
        ({"filter": {"did": [DID]}, "at": "0001-01-01T00:00:00+14:00"}, "`at` is a moment"),
        ({"ids": [], "at": "2026-01-01T00:00:00Z"}, "has no “at”"),
    ],
)
def test_nonsense_is_refused(app: APIFlask, organisation_id: UUID, selection: dict[str, Any], said: str) -> None:
    call = calling_as(app, organisation_id)
    body = {"verb": "add_tags", "entity": "contacts", "selection": selection, "parameters": {"tags": ["seen"]}}
    status, detail = problem(call("/api/v1/bulk-actions", "POST", json=body))
    assert (status, said in detail) == (422, True), detail


def _selection(html: str) -> str:
    """What the confirm page keeps of the selection, which names its moment."""
    found = re.search(r'name="selection" value="([^"]*)"', html)
    assert found
    kept = found[1].replace("&#34;", '"')
    assert datetime.fromisoformat(json.loads(kept)["at"]).tzinfo == UTC
    return kept


def _forget_sets(services: Settings) -> None:
    """As if hours had passed."""
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM behaviour_sets")
