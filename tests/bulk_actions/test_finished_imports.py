"""Finished imports as the charts of visits name them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import upload
from tests.bulk_actions.verbs.test_verbs import undo_of
from tests.conftest import Person
from tests.records.test_merge import import_rows
from tests.visits.site_page.support import store, visit, yesterday
from tests.visits.support import add_rows, add_site, count_all, make_row
from webapp.bulk_actions import finished_imports
from webapp.bulk_actions.finished_imports import list_finished_imports
from webapp.bulk_actions.models import BulkAction
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.lib.clock import utc_now

HEADER = ["Email", "First name"]
ROWS = [["alice@example.com", "Alice"], ["bob@example.com", "Bob"]]
HOUR = timedelta(hours=1)


def texts_of(app: APIFlask, organisation_id: UUID, since: timedelta = HOUR, until: timedelta = HOUR) -> list[str]:
    """What is said of imports from so long ago to so long from now."""
    now = utc_now()
    with app.app_context(), tenant(organisation_id):
        return [one.text for one in list_finished_imports(organisation_id, now - since, now + until)]


def test_an_import_is_named_with_what_it_changed_and_leads_to_its_page(app: APIFlask, organisation_id: UUID) -> None:
    done = import_rows(app, organisation_id, ROWS, HEADER)
    import_rows(app, organisation_id, [["bob@example.com", "Robert"]], HEADER)
    now = utc_now()
    with app.app_context(), tenant(organisation_id):
        latest, first = list_finished_imports(organisation_id, now - HOUR, now + HOUR)
    assert (first.text, first.at, first.url) == ("Import of 2 contacts", done.ended_at, f"/bulk-actions/{done.id}")
    assert latest.text == "Import of 1 contacts"


def test_what_changed_nothing_is_not_named(app: APIFlask, organisation_id: UUID) -> None:
    """A dry run, a draft, and a file of what was there already."""
    import_rows(app, organisation_id, ROWS, HEADER, is_dry_run=True)
    upload(app, organisation_id, b"Email\nalice@example.com\n")
    assert texts_of(app, organisation_id) == []
    import_rows(app, organisation_id, ROWS, HEADER)
    import_rows(app, organisation_id, ROWS, HEADER)
    assert texts_of(app, organisation_id) == ["Import of 2 contacts"]


def test_an_import_that_was_undone_says_so(app: APIFlask, organisation_id: UUID) -> None:
    done = import_rows(app, organisation_id, ROWS, HEADER)
    assert texts_of(app, organisation_id) == ["Import of 2 contacts"]
    undo_of(app, organisation_id, done)
    assert texts_of(app, organisation_id) == ["Import of 2 contacts, undone since"]


def test_only_those_of_the_time_are_named_and_not_too_many(
    app: APIFlask, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_rows(app, organisation_id, ROWS, HEADER)
    assert texts_of(app, organisation_id, until=-HOUR, since=2 * HOUR) == []
    import_rows(app, organisation_id, [["charlie@example.com", "Charlie"]], HEADER)
    monkeypatch.setattr(finished_imports, "LIMIT", 1)
    assert texts_of(app, organisation_id) == ["Import of 1 contacts"], "the latest"


def test_another_organisations_imports_are_not_named(app: APIFlask, alice: Person, charlie: Person) -> None:
    import_rows(app, alice.organisation_id, ROWS, HEADER)
    assert texts_of(app, charlie.organisation_id) == []


def test_an_import_stands_on_its_own_organisations_charts(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    done: BulkAction = import_rows(app, alice.organisation_id, ROWS, HEADER)
    for person in (alice, charlie):
        site = add_site(app, person.organisation_id)
        add_rows(services, [make_row(site)])
        count_all(app, services)
        store(app, site, visit(1, ["/"], yesterday()))
    page = alice.client.get("/visits?range=7d").text
    assert f'<a href="/bulk-actions/{done.id}">Import of 2 contacts</a>' in page
    assert "Import of" not in charlie.client.get("/visits?range=7d").text
