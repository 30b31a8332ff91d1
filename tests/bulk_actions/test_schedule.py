"""Imports that begin later, and what pages and programs are told of waits and problems."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import counts_of, csv_of, people, read, start, sweep, upload, work_off
from tests.bulk_actions.test_api import calling_as
from tests.conftest import Person, owner_connection
from webapp.bulk_actions.models import BulkActionState
from webapp.bulk_actions.progress import progress_of
from webapp.bulk_actions.queries import list_bulk_actions
from webapp.bulk_actions.tasks import FULL_DISK_REASON
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.jobs.broker import waiting_count
from webapp.jobs.models import JobState
from webapp.jobs.queries import get_job
from webapp.lib.clock import utc_now


def test_an_import_for_later_begins_when_its_time_has_come(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action_id = start(app, organisation_id, people(20), run_at=utc_now() + timedelta(hours=1))
    work_off(app)
    sweep(app)
    assert waiting_count("imports") == 0
    assert read(app, organisation_id, bulk_action_id).state is BulkActionState.PENDING
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET run_at = now()")
    sweep(app)
    assert waiting_count("imports") == 1
    work_off(app)
    bulk_action = read(app, organisation_id, bulk_action_id)
    assert (bulk_action.state, counts_of(bulk_action)) == (BulkActionState.COMPLETED, {"row": 20, "created": 20})


def test_the_form_takes_a_time_in_the_organisations_zone(app: APIFlask, services: Settings, alice: Person) -> None:
    with owner_connection(services) as connection:
        connection.execute("UPDATE organisations SET time_zone = 'Asia/Kathmandu'")
    bulk_action_id = upload(app, alice.organisation_id, people(20))
    wall = (datetime.now(ZoneInfo("Asia/Kathmandu")) + timedelta(days=2)).replace(second=0, microsecond=0, tzinfo=None)
    answer = alice.client.post(f"/bulk-actions/{bulk_action_id}/start", data={"run_at": wall.isoformat()})
    assert answer.status_code == 303
    bulk_action = read(app, alice.organisation_id, bulk_action_id)
    expected = wall.replace(tzinfo=ZoneInfo("Asia/Kathmandu")).astimezone(UTC)
    assert (bulk_action.state, bulk_action.run_at) == (BulkActionState.PENDING, expected)
    page = alice.client.get(f"/bulk-actions/{bulk_action_id}").text
    assert f"Starts on {wall:%A} {wall.day} {wall:%B %Y, %H:%M}:00" in page
    assert "Start now" in page
    assert "Waiting for its time" in page
    with app.app_context(), tenant(alice.organisation_id):
        job = get_job(alice.organisation_id, bulk_action.job_id or UUID(int=0))
        assert job is not None
        assert job.run_at == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2020-01-01T10:00", "This is in the past. Leave it empty to begin at once."),
        ("2999-01-01T10:00", "It can be planned up to a year ahead."),
        ("soon", "Give a day and a time, or leave it empty."),
    ],
)
def test_a_time_that_will_not_do_is_refused_and_everything_chosen_is_kept(
    app: APIFlask, alice: Person, text: str, words: str
) -> None:
    bulk_action_id = upload(app, alice.organisation_id, csv_of([["a@example.com", "Ada"]]))
    form = {"run_at": text, "column-1": "last_name"}
    answer = alice.client.post(f"/bulk-actions/{bulk_action_id}/start", data=form)
    assert answer.status_code == 422
    assert words in answer.text
    bulk_action = read(app, alice.organisation_id, bulk_action_id)
    assert (bulk_action.state, bulk_action.mapping["1"]) == (BulkActionState.DRAFT, "last_name")


def test_what_was_to_begin_later_begins_now_when_somebody_says_so(app: APIFlask, alice: Person) -> None:
    bulk_action_id = start(app, alice.organisation_id, people(20), run_at=utc_now() + timedelta(hours=1))
    work_off(app)
    assert alice.client.post(f"/bulk-actions/{bulk_action_id}/run").status_code == 303
    work_off(app)
    assert read(app, alice.organisation_id, bulk_action_id).state is BulkActionState.COMPLETED
    assert alice.client.post(f"/bulk-actions/{bulk_action_id}/run").status_code == 303
    work_off(app)
    assert counts_of(read(app, alice.organisation_id, bulk_action_id)) == {"row": 20, "created": 20}


def test_a_program_is_told_when_an_import_begins_and_may_begin_it_now(app: APIFlask, alice: Person) -> None:
    moment = utc_now() + timedelta(hours=1)
    bulk_action_id = start(app, alice.organisation_id, people(20), run_at=moment)
    call: Callable[..., Any] = calling_as(app, alice.organisation_id)
    told = call(f"/api/v1/bulk-actions/{bulk_action_id}").json
    assert (told["state"], datetime.fromisoformat(told["run_at"]), told["wait_reason"]) == ("pending", moment, None)
    assert call(f"/api/v1/bulk-actions/{bulk_action_id}/run", "POST").json["run_at"] is None
    work_off(app)
    assert call(f"/api/v1/bulk-actions/{bulk_action_id}").json["state"] == "completed"


@pytest.mark.parametrize("text", ["2020-01-01T10:00", "soon"])
def test_a_verb_whose_time_will_not_do_is_not_begun_at_once(app: APIFlask, alice: Person, text: str) -> None:
    form = {"verb": "add_tags", "entity": "contacts", "selection": '{"filter": {}}', "tags": "new", "run_at": text}
    answer = alice.client.post("/bulk-actions/start-verb", data=form)
    assert answer.status_code == 422
    assert "it empty" in answer.text
    with app.app_context(), tenant(alice.organisation_id):
        assert list_bulk_actions(alice.organisation_id) == []


def test_what_was_to_begin_later_can_be_cancelled(app: APIFlask, services: Settings, alice: Person) -> None:
    bulk_action_id = start(app, alice.organisation_id, people(20), run_at=utc_now() + timedelta(hours=1))
    alice.client.post(f"/bulk-actions/{bulk_action_id}/cancel")
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET run_at = now()")
    sweep(app)
    work_off(app)
    assert read(app, alice.organisation_id, bulk_action_id).state is BulkActionState.CANCELLED
    page = alice.client.get(f"/bulk-actions/{bulk_action_id}").text
    assert "Cancelled. 0 created, 0 updated before that." in page
    assert "Start now" not in page


def test_a_job_that_is_asked_to_stop_before_its_time_is_ended_by_the_sweeper(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action_id = start(app, organisation_id, people(20), run_at=utc_now() + timedelta(hours=1))
    with owner_connection(services) as connection:
        connection.execute("UPDATE jobs SET cancel_requested_at = now()")
    sweep(app)
    bulk_action = read(app, organisation_id, bulk_action_id)
    assert bulk_action.state is BulkActionState.CANCELLED
    with app.app_context(), tenant(organisation_id):
        job = get_job(organisation_id, bulk_action.job_id or UUID(int=0))
        assert job is not None
        assert job.state is JobState.CANCELLED


def test_another_organisation_can_begin_nothing(app: APIFlask, organisation_id: UUID, charlie: Person) -> None:
    bulk_action_id = start(app, organisation_id, people(20), run_at=utc_now() + timedelta(hours=1))
    assert charlie.client.post(f"/bulk-actions/{bulk_action_id}/run").status_code == 404
    assert read(app, organisation_id, bulk_action_id).run_at is not None


def test_a_page_says_what_its_import_waits_for(app: APIFlask, services: Settings, alice: Person) -> None:
    bulk_action_id = start(app, alice.organisation_id, people(20))
    work_off(app, limit=1)
    with owner_connection(services) as connection:
        connection.execute(
            "UPDATE bulk_actions SET run_at = now() + interval '15 seconds', wait_reason = %s", [FULL_DISK_REASON]
        )
    page = alice.client.get(f"/bulk-actions/{bulk_action_id}").text
    assert FULL_DISK_REASON in page
    assert "Try again now" in page
    told = progress_of(read(app, alice.organisation_id, bulk_action_id)).as_json()
    assert told["wait_reason"] == FULL_DISK_REASON
    assert told["run_at"] is not None


def test_a_page_tells_problems_from_rows_that_were_rejected(app: APIFlask, services: Settings, alice: Person) -> None:
    bulk_action_id = start(app, alice.organisation_id, csv_of([["a@example.com"], ["nobody"]]))
    work_off(app)
    page = alice.client.get(f"/bulk-actions/{bulk_action_id}").text
    assert "One row was left out" in page
    assert "could not be worked on" not in page
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET state = 'completed_with_problems'")
    page = alice.client.get(f"/bulk-actions/{bulk_action_id}").text
    assert "Some rows could not be worked on" in page
    assert "Completed with problems" in page
    assert "Download rejected rows (1)" in page
    assert "Completed with problems" in alice.client.get("/bulk-actions").text
