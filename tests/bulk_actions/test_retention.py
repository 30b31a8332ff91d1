"""What bulk actions keep of single records goes after 90 days; their numbers stay, and so do younger ones."""

from __future__ import annotations

from datetime import timedelta

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import count_rows, csv_of, import_file, read
from tests.bulk_actions.test_api import calling_as
from tests.conftest import Person, owner_connection
from webapp.bulk_actions import retention, retention_tasks
from webapp.bulk_actions.models import BulkAction
from webapp.config import Settings

FIRST = csv_of([["ada@example.com", "Ada"], ["bob@example.com", "Bob"], ["broken", "x"], ["bob@example.com", "Bo"]])
SECOND = csv_of([["ada@example.com", "Countess"], ["bob@example.com", "Robert"]])
OLD = retention.DETAILS_KEPT_FOR + timedelta(hours=1)
OUTDATED = retention.DETAILS_KEPT_FOR + retention.MARGIN + timedelta(hours=1)


class DiedError(Exception):
    """A process was killed here."""


@pytest.fixture
def imports(app: APIFlask, alice: Person) -> tuple[BulkAction, BulkAction]:
    """One that created, rejected and replaced, and one that changed what it created."""
    first, second = (import_file(app, alice.organisation_id, content) for content in (FIRST, SECOND))
    assert (first.created_count, first.rejected_count, first.duplicate_count, second.updated_count) == (2, 1, 1, 2)
    return first, second


def age(services: Settings, bulk_action: BulkAction, by: timedelta) -> None:
    with owner_connection(services) as connection:
        statement = "UPDATE bulk_actions SET ended_at = now() - %s WHERE id = %s"
        connection.execute(statement, [by, bulk_action.id])


def kept(services: Settings, bulk_action: BulkAction) -> set[str]:
    """The tables that still have rows of it."""
    with owner_connection(services) as connection:
        asked = ((t, f"SELECT count(*) FROM {t} WHERE bulk_action_id = %s") for t in retention.DETAILS)
        return {t for t, query in asked if connection.execute(query, [bulk_action.id]).fetchone() != (0,)}


def remove(app: APIFlask) -> None:
    with app.app_context():
        retention_tasks.remove_old_details()


def test_details_go_after_their_time_and_younger_ones_stay(
    app: APIFlask, alice: Person, services: Settings, imports: tuple[BulkAction, BulkAction]
) -> None:
    first, second = imports
    before = kept(services, second)
    assert "before_images" in before
    assert kept(services, first) == set(retention.DETAILS) - {"before_images"}
    age(services, first, OUTDATED)
    remove(app)
    assert kept(services, first) == set()
    assert kept(services, second) == before
    left = read(app, alice.organisation_id, first.id)
    assert (left.created_count, left.rejected_count, left.duplicate_count) == (2, 1, 1)
    assert left.details_removed_at is not None
    assert count_rows(services, "contacts") == 2


def test_nothing_goes_while_undoing_is_offered_or_an_undo_waits(
    app: APIFlask, alice: Person, services: Settings, imports: tuple[BulkAction, BulkAction]
) -> None:
    _, second = imports
    before = kept(services, second)
    age(services, second, OLD - timedelta(hours=2))
    assert alice.client.post(f"/bulk-actions/{second.id}/undo").status_code == 303
    age(services, second, OUTDATED)
    remove(app)
    assert kept(services, second) == before


def test_the_numbers_are_shown_and_what_is_gone_is_said(
    app: APIFlask, alice: Person, services: Settings, imports: tuple[BulkAction, BulkAction]
) -> None:
    first, second = imports
    assert f"{second.path}/records?outcome=updated" in alice.client.get(second.path).text
    for one in imports:
        age(services, one, OLD)
    page = alice.client.get(first.path).text
    assert "no longer kept" in page
    assert "outcome=" not in page
    assert "Download rejected rows" not in page
    assert ">Undo<" not in page
    for path in ("records?outcome=created", "rows?outcome=rejected", "rejected-rows.csv"):
        answer = alice.client.get(f"{first.path}/{path}")
        assert (answer.status_code, "no longer kept" in answer.text) == (410, True)
        answer = calling_as(app, alice.organisation_id)(f"/api/v1{first.path}/{path}")
        assert (answer.status_code, "no longer kept" in answer.get_json()["detail"]) == (410, True)
    answer = alice.client.post(f"/bulk-actions/{second.id}/undo", follow_redirects=True)
    assert "no longer kept" in answer.text
    assert count_rows(services, "bulk_actions") == 2


def test_dying_between_steps_is_made_good_by_the_next_run(
    app: APIFlask, services: Settings, imports: tuple[BulkAction, BulkAction], monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in imports:
        age(services, one, OUTDATED)

    def die(*_: object) -> None:
        raise DiedError

    with monkeypatch.context() as patched:
        patched.setattr(retention_tasks, "STEP", 1)
        patched.setattr(retention_tasks, "note_removed", die)
        with pytest.raises(DiedError):
            remove(app)
    remove(app)
    assert [kept(services, one) for one in imports] == [set(), set()]
    remove(app)
    assert count_rows(services, "bulk_actions") == 2
