"""Verbs that begin later: what they are about is settled when they are asked for, and only the work waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import read, sweep, sweep_and_work_off, take, work_off
from tests.bulk_actions.test_api import calling_as
from tests.bulk_actions.verbs.test_verbs import HEADER, counts, rows_of
from tests.bulk_actions.verbs.test_views import asked
from tests.conftest import Person, owner_connection
from tests.records.test_merge import import_rows
from webapp.bulk_actions import chunks, tasks
from webapp.bulk_actions.models import BulkAction, BulkActionState, Phase
from webapp.bulk_actions.verbs import plan
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.models import JobState
from webapp.jobs.queries import get_job
from webapp.lib.clock import utc_now
from webapp.lib.redis import broker_client
from webapp.live.channels import bulk_action_channel, state_key

Call = Callable[..., Any]
BONN = {"filter": {"where": ["city:is:Bonn"]}}


@pytest.fixture(autouse=True)
def people(app: APIFlask, alice: Person) -> BulkAction:
    rows = [[f"p{n}@example.com", f"N{n}", "Bonn" if n < 3 else "Rome"] for n in range(5)]
    return import_rows(app, alice.organisation_id, rows, HEADER)


@pytest.fixture
def call(app: APIFlask, alice: Person) -> Call:
    return calling_as(app, alice.organisation_id)


@pytest.fixture
def later() -> datetime:
    return utc_now() + timedelta(hours=2)


def ordered(call: Call, later: datetime, **more: Any) -> UUID:
    """A deletion of those in Bonn, for later."""
    body = {"verb": "delete", "entity": "contacts", "selection": BONN, "confirm": 3, "run_at": later.isoformat()}
    answer = call("/api/v1/bulk-actions", "POST", json=body | more)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json["id"])


def everybody_moves_to_bonn(services: Settings) -> None:
    with owner_connection(services) as connection:
        connection.execute("UPDATE contacts SET city = 'Bonn'")


def the_time_has_come(services: Settings) -> None:
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET run_at = now() - interval '1 second' WHERE run_at IS NOT NULL")


def test_only_those_go_that_matched_when_it_was_asked_for(
    app: APIFlask, alice: Person, call: Call, services: Settings, later: datetime
) -> None:
    deletion_id = ordered(call, later)
    work_off(app)
    everybody_moves_to_bonn(services)
    sweep_and_work_off(app)
    assert len(rows_of(services)) == 5
    told = call(f"/api/v1/bulk-actions/{deletion_id}").json
    assert (told["state"], datetime.fromisoformat(told["run_at"]), told["started_at"]) == ("pending", later, None)
    assert (told["phase"], told["row_count"]) == ("work", 3)
    page = alice.client.get(f"/bulk-actions/{deletion_id}").text
    assert "Starts on" in page
    assert "It is about the 3 that were selected when it was asked for." in page
    assert "Start now" in page
    assert "Waiting for its time" in page
    the_time_has_come(services)
    sweep_and_work_off(app)
    done = read(app, alice.organisation_id, deletion_id)
    assert (done.state, counts(done)) == (BulkActionState.COMPLETED, {"row": 3, "succeeded": 3})
    assert list(rows_of(services)) == ["p3@example.com", "p4@example.com"]


def test_the_page_that_promises_it_keeps_it(
    app: APIFlask, alice: Person, services: Settings, later: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "RECORDS_PER_CHUNK", 1)
    page = asked(alice, "delete", all="1", filter="where=city:is:Bonn")
    assert "What is selected now is meant, whatever changes until then." in page
    form = {"entity": "contacts", "verb": "delete", "typed_count": "3", "run_at": f"{later:%Y-%m-%dT%H:%M}"}
    selection = '{"filter": {"where": ["city:is:Bonn"]}}'
    answer = alice.client.post("/bulk-actions/start-verb", data={**form, "selection": selection})
    assert answer.status_code == 303, answer.text
    work_off(app)
    everybody_moves_to_bonn(services)
    the_time_has_come(services)
    sweep_and_work_off(app)
    assert list(rows_of(services)) == ["p3@example.com", "p4@example.com"]


def test_whoever_watches_is_told_at_once_how_many_it_is_about(
    app: APIFlask, alice: Person, call: Call, services: Settings, later: datetime
) -> None:
    deletion_id = ordered(call, later)
    work_off(app)
    kept = broker_client(services).get(state_key(bulk_action_channel(alice.organisation_id, deletion_id)))
    assert "0 of 3 records" in str(kept)


def test_its_job_waits_too(app: APIFlask, alice: Person, call: Call, later: datetime) -> None:
    deletion = read(app, alice.organisation_id, ordered(call, later))
    work_off(app)
    with app.app_context(), tenant(alice.organisation_id):
        job = get_job(alice.organisation_id, deletion.job_id or UUID(int=0))
        assert job is not None
        assert (job.state, job.run_at, job.attempt_count) == (JobState.PENDING, later, 0)


@pytest.mark.parametrize("is_planned", [True, False])
def test_it_begins_now_when_somebody_says_so(
    app: APIFlask, alice: Person, call: Call, services: Settings, later: datetime, is_planned: bool
) -> None:
    deletion_id = ordered(call, later)
    if is_planned:
        work_off(app)
        everybody_moves_to_bonn(services)
    assert call(f"/api/v1/bulk-actions/{deletion_id}/run", "POST").json["run_at"] is None
    sweep_and_work_off(app)
    assert counts(read(app, alice.organisation_id, deletion_id)) == {"row": 3, "succeeded": 3}
    assert len(rows_of(services)) == 2


@pytest.mark.parametrize("is_planned", [True, False])
def test_it_is_cancelled_before_its_time(
    app: APIFlask, alice: Person, call: Call, services: Settings, later: datetime, is_planned: bool
) -> None:
    deletion_id = ordered(call, later)
    if is_planned:
        work_off(app)
    assert call(f"/api/v1/bulk-actions/{deletion_id}/cancel", "POST").json["state"] == "cancelled"
    the_time_has_come(services)
    sweep_and_work_off(app)
    assert read(app, alice.organisation_id, deletion_id).state is BulkActionState.CANCELLED
    assert len(rows_of(services)) == 5


def test_one_that_is_cancelled_while_its_records_are_collected_stays_so(
    app: APIFlask, alice: Person, call: Call, later: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletion_id, cut = ordered(call, later), plan._cut

    def cancelled_meanwhile(bulk_action: BulkAction, ids: Any) -> None:
        call(f"/api/v1/bulk-actions/{deletion_id}/cancel", "POST")
        cut(bulk_action, ids)

    monkeypatch.setattr(plan, "_cut", cancelled_meanwhile)
    work_off(app)
    done = read(app, alice.organisation_id, deletion_id)
    assert (done.state, done.row_count) == (BulkActionState.CANCELLED, 0)


def test_what_lost_its_message_or_its_worker_is_planned_by_the_sweeper(
    app: APIFlask, alice: Person, call: Call, services: Settings, later: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(tasks.plan_ahead, "send", lambda *_: None)
        deletion_id = ordered(call, later)
    organisation_id = alice.organisation_id
    with app.app_context(), tenant(organisation_id):
        taken = chunks.take_plan(organisation_id, deletion_id, utc_now())
        db.session.commit()
        assert taken is not None
        assert chunks.take_plan(organisation_id, deletion_id, utc_now()) is None
    assert take(app) is None
    assert read(app, organisation_id, deletion_id).phase is Phase.PLAN
    with owner_connection(services) as connection:
        minute_ago(connection)
    sweep(app)
    work_off(app)
    planned = read(app, organisation_id, deletion_id)
    assert (planned.phase, planned.state, planned.row_count) == (Phase.WORK, BulkActionState.PENDING, 3)


def minute_ago(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE bulk_actions SET created_at = created_at - interval '1 minute'")
    connection.execute("UPDATE bulk_action_chunks SET taken_at = taken_at - interval '1 minute'")


def test_a_full_disk_does_not_bring_its_time_nearer(app: APIFlask, alice: Person, call: Call, later: datetime) -> None:
    organisation_id, deletion_id = alice.organisation_id, ordered(call, later)
    with app.app_context(), tenant(organisation_id):
        taken = chunks.take_plan(organisation_id, deletion_id, utc_now())
        assert taken is not None
        chunks.put_off(taken, utc_now() + timedelta(seconds=15), "The disk is full")
        db.session.commit()
    waiting = read(app, organisation_id, deletion_id)
    assert (waiting.run_at, waiting.wait_reason) == (later, None)
    work_off(app)
    assert read(app, organisation_id, deletion_id).phase is Phase.WORK


def test_one_about_nothing_ends_at_once(app: APIFlask, alice: Person, call: Call, later: datetime) -> None:
    nobody = {"filter": {"where": ["city:is:Nowhere"]}}
    deletion_id = ordered(call, later, selection=nobody, confirm=0)
    work_off(app)
    assert read(app, alice.organisation_id, deletion_id).state is BulkActionState.COMPLETED
    assert alice.client.get(f"/bulk-actions/{deletion_id}").status_code == 200


def test_another_organisation_reaches_none_of_it(app: APIFlask, charlie: Person, call: Call, later: datetime) -> None:
    deletion_id, stranger = ordered(call, later), calling_as(app, charlie.organisation_id)
    assert stranger(f"/api/v1/bulk-actions/{deletion_id}/run", "POST").status_code == 404
    with app.app_context(), tenant(charlie.organisation_id):
        assert chunks.take_plan(charlie.organisation_id, deletion_id, utc_now()) is None
