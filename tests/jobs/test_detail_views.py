"""A job's own page, and what can be done there."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from sqlalchemy import text

from tests.conftest import Person
from tests.jobs.support import add_job, broker, register, reread, run_sent, run_waiting, take, write_outcomes
from webapp.extensions import db, tenant
from webapp.jobs.kinds import MayStart, PermanentError, Result, Run
from webapp.jobs.models import Job, JobLog, JobState
from webapp.jobs.parameters import Parameter
from webapp.lib.clock import utc_now
from webapp.live.channels import job_channel, state_key
from webapp.live.publish import publish

WHY_NOT = {"retry": "It is not over yet.", "discard": "Only a failed or dead job can be discarded."}


def chat(run: Run) -> Result:
    for number in range(run.parameters["line_count"]):
        run.log(f"line number {number}")
    run.report(1, 1)
    return {"links": [{"label": "Look at it", "path": "/contacts"}], "note": "<b>bold</b>"}


def refuse(run: Run) -> Result:
    raise PermanentError("The <file> is gone.")


@pytest.fixture(autouse=True)
def kinds() -> None:
    counts = (Parameter("line_count", "Lines", "integer", default=3),)
    secret = (Parameter("door_code", "Door's code", is_secret=True),)
    register(chat, parameters=(*counts, *secret), may_start=MayStart.MEMBER)
    register(refuse)


def page(person: Person, job: Job, **more: Any) -> str:
    answer = person.client.get(f"/jobs/{job.id}", **more)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_a_waiting_job_offers_to_cancel_and_is_live(organisation: UUID, alice: Person) -> None:
    html = page(alice, add_job(organisation, "chat"))
    assert "hx-sse:connect" in html
    assert 'id="cancel"' in html
    assert 'id="retry"' not in html
    assert "No worker is running" in html


def test_a_completed_job_shows_its_result_links_log_and_attempt(organisation: UUID, alice: Person) -> None:
    job = add_job(organisation, "chat", created_by=alice.user_id)
    run_waiting()
    html = page(alice, job)
    words = words_of(html)
    assert "hx-sse:connect" not in html
    assert '<a class="button button--primary" href="/contacts">Look at it' in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "line number 2" in words
    assert "Attempt 1 completed" in words
    assert "by Alice" in words
    assert 'id="run-again"' in html
    assert 'id="cancel"' not in html


def test_a_secret_is_on_no_page(organisation: UUID, alice: Person) -> None:
    job = add_job(organisation, "chat", given={"door_code": "swordfish"})
    assert "swordfish" not in page(alice, job)
    form = alice.client.get(f"/jobs/new/chat?from={job.id}").get_data(as_text=True)
    assert "swordfish" not in form
    assert 'type="password"' in form


def test_a_failed_job_shows_its_error_and_traceback_and_offers_retry_and_discard(
    organisation: UUID, alice: Person
) -> None:
    job = add_job(organisation, "refuse")
    run_waiting()
    html = page(alice, job)
    assert "The &lt;file&gt; is gone." in html
    assert "Traceback (most recent call last)" in html
    assert 'id="retry"' in html
    assert 'id="discard"' in html


def test_retry_begins_again_and_discard_puts_away(organisation: UUID, alice: Person) -> None:
    job = add_job(organisation, "refuse")
    run_waiting()
    assert alice.client.post(f"/jobs/{job.id}/discard").status_code == 303
    assert reread(job).state is JobState.DISCARDED
    assert "Discarded." in page(alice, job)
    assert alice.client.post(f"/jobs/{job.id}/retry").status_code == 303
    assert reread(job).state is JobState.PENDING


@pytest.mark.parametrize(("verb", "why"), WHY_NOT.items())
def test_what_cannot_be_done_changes_nothing_and_says_why(
    organisation: UUID, alice: Person, verb: str, why: str
) -> None:
    job = add_job(organisation, "chat")
    answer = alice.client.post(f"/jobs/{job.id}/{verb}", follow_redirects=True)
    assert reread(job).state is JobState.PENDING
    assert why in answer.get_data(as_text=True)


def test_cancel_ends_a_waiting_job_and_asks_a_running_one(organisation: UUID, alice: Person) -> None:
    waiting = add_job(organisation, "chat", run_at=utc_now() + timedelta(hours=1))
    running = add_job(organisation, "chat")
    take()
    with tenant(organisation):
        reread(running).state = JobState.RUNNING
        db.session.commit()
    assert "Cancelled." in alice.client.post(f"/jobs/{waiting.id}/cancel", follow_redirects=True).text
    html = alice.client.post(f"/jobs/{running.id}/cancel", follow_redirects=True).text
    assert reread(waiting).state is JobState.CANCELLED
    assert reread(running).cancel_requested_at is not None
    assert "It stops at its next safe point" in html
    assert "Cancelling" in html
    assert 'id="cancel"' not in html
    assert "so there is nothing to stop." in alice.client.post(f"/jobs/{waiting.id}/cancel", follow_redirects=True).text


def test_members_may_do_what_owners_may(organisation: UUID, bob: Person) -> None:
    job = add_job(organisation, "chat")
    assert 'id="cancel"' in page(bob, job)
    assert bob.client.post(f"/jobs/{job.id}/cancel").status_code == 303
    assert reread(job).state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/log.txt"), ("POST", "/cancel"), ("POST", "/retry"), ("POST", "/discard")],
)
def test_another_organisation_finds_no_such_job(organisation: UUID, charlie: Person, method: str, path: str) -> None:
    job = add_job(organisation, "chat")
    assert charlie.client.open(f"/jobs/{job.id}{path}", method=method).status_code == 404
    assert reread(job).state is JobState.PENDING


def test_the_whole_log_comes_as_plain_text_in_order(organisation: UUID, alice: Person) -> None:
    job = add_job(organisation, "chat", given={"line_count": 720})
    run_waiting()
    html = page(alice, job)
    assert "These are the last 200 lines." in html
    assert "line number 519<" not in html
    assert "line number 719<" in html
    answer = alice.client.get(f"/jobs/{job.id}/log.txt")
    lines = answer.get_data(as_text=True).splitlines()
    assert answer.mimetype == "text/plain"
    assert [line.rpartition(" ")[2] for line in lines] == [str(number) for number in range(720)]
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z attempt 1 INFO line number 0$", lines[0])


def test_a_log_is_text_whatever_it_holds(organisation: UUID, alice: Person) -> None:
    job = add_job(organisation, "chat")
    with tenant(organisation):
        db.session.add(
            JobLog(
                organisation_id=organisation,
                job_id=job.id,
                number=1,
                position=1,
                at=utc_now(),
                level="ERROR",
                message="<script>alert(1)</script>",
            )
        )
        db.session.commit()
    assert "<script>alert(1)" not in page(alice, job)


def test_htmx_gets_the_part_that_moves(organisation: UUID, alice: Person) -> None:
    part = page(alice, add_job(organisation, "chat"), headers={"HX-Request": "true"})
    assert "<html" not in part
    assert 'id="progress"' in part


def test_a_state_that_was_kept_before_anyone_watched_is_nobodys_first(organisation: UUID, alice: Person) -> None:
    job = add_job(organisation, "chat")
    key = state_key(job_channel(organisation, job.id))
    publish(broker(), job_channel(organisation, job.id), {"state": "dead"}, "<p>long ago</p>", final=True)
    page(alice, job)
    assert broker().get(key) is None
    run_sent(take())
    write_outcomes()
    kept = broker().get(key)
    assert isinstance(kept, bytes)
    assert b"completed" in kept


def test_many_attempts_show_the_last_ones(organisation: UUID, alice: Person) -> None:
    job = add_job(organisation, "chat")
    with tenant(organisation):
        db.session.execute(
            text(
                "INSERT INTO job_attempts (organisation_id, job_id, number, worker, started_at, ended_at, outcome)"
                " SELECT :organisation_id, :job_id, n, 'w:1', now(), now(), 'postponed' FROM generate_series(1, 45) n"
            ),
            {"organisation_id": organisation, "job_id": job.id},
        )
        db.session.commit()
    words = words_of(page(alice, job))
    assert "Attempt 45 put off" in words
    assert "Attempt 16 put off" in words
    assert "Attempt 15 put off" not in words
    assert "15 earlier attempts are not shown." in words


def test_a_job_that_ran_for_long_has_a_chart_of_few_points(organisation: UUID, app: APIFlask, alice: Person) -> None:
    job = add_job(organisation, "chat")
    with tenant(organisation):
        kept = reread(job)
        kept.state, kept.started_at, kept.ended_at = JobState.COMPLETED, utc_now() - timedelta(hours=5), utc_now()
        kept.progress_count = 18_000
        db.session.execute(
            text(
                "INSERT INTO job_samples (organisation_id, job_id, at, progress_count)"
                " SELECT :organisation_id, :job_id, now() - interval '5 hours' + n * interval '1 second', n"
                " FROM generate_series(1, 17999) n"
            ),
            {"organisation_id": organisation, "job_id": job.id},
        )
        db.session.commit()
    html = page(alice, job)
    assert "1.0/s on average" in html
    points = re.search(r'<polyline points="([^"]+)"', html)
    assert points is not None
    assert 20 < len(points[1].split()) < 70
