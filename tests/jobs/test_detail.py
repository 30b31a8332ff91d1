"""What a job's page says, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from webapp.jobs.detail import Standing, ending_words, parameter_facts, result_facts, result_links, why_waiting
from webapp.jobs.kinds import Kind, Run
from webapp.jobs.models import Job, JobAttempt, JobState
from webapp.jobs.parameters import MASK, Parameter

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FREE = Standing(is_paused=False, has_broker=True, has_workers=True, before_count=0, kind_limit=None, kind_count=0)


def job(state: JobState = JobState.PENDING, **more: Any) -> Job:
    given: dict[str, Any] = {"run_at": NOW, "attempt_count": 0, "sent_at": None, "wait_reason": None}
    return Job(state=state, kind="paint", **(given | more))


def words(waiting: Job, standing: Standing = FREE) -> str:
    return why_waiting(waiting, standing, NOW, lambda moment: f"at {moment:%H:%M}")


@pytest.mark.parametrize(
    ("before_count", "text"),
    [
        (0, "It is next."),
        (1, "One job is before yours."),
        (3, "3 jobs are before yours."),
        (101, "Over 100 jobs are before yours."),
    ],
)
def test_a_waiting_job_says_how_many_are_before_it(before_count: int, text: str) -> None:
    assert words(job(), replace(FREE, before_count=before_count)) == text


def test_a_kind_that_runs_at_its_limit_is_named_as_the_reason() -> None:
    full = replace(FREE, before_count=3, kind_limit=2, kind_count=2)
    assert words(job(), full) == "At most 2 jobs of its kind run at once in your organisation, and 2 are at work."
    assert words(job(), replace(full, kind_count=1)) == "3 jobs are before yours."


def test_a_job_that_put_itself_off_says_until_when_and_why() -> None:
    waiting = job(run_at=NOW + timedelta(hours=2), wait_reason="The hourly limit of Unsplash is reached.")
    assert words(waiting) == "It goes on at 14:00. The hourly limit of Unsplash is reached."


def test_a_job_that_is_planned_for_later_says_for_when() -> None:
    assert words(job(run_at=NOW + timedelta(hours=2))) == "It is planned to begin at 14:00."


def test_a_job_that_is_tried_again_says_in_how_long() -> None:
    assert words(job(JobState.RETRYING, run_at=NOW + timedelta(seconds=7))) == "The next attempt begins in 7 s."


def test_a_paused_queue_is_the_first_reason() -> None:
    assert "paused" in words(job(run_at=NOW + timedelta(hours=2)), replace(FREE, is_paused=True))


def test_missing_workers_and_a_missing_broker_are_told_apart() -> None:
    assert "No worker" in words(job(), replace(FREE, has_workers=False))
    assert "does not answer" in words(job(), replace(FREE, has_workers=False, has_broker=False))


def test_a_job_that_was_just_sent_is_at_hand() -> None:
    assert words(job(sent_at=NOW)) == "A worker has it at hand."
    assert "busy with others" in words(job(sent_at=NOW - timedelta(minutes=1)))


def paint(run: Run) -> dict[str, Any]:
    return {}


PAINT = Kind(
    "paint",
    "Paint",
    paint,
    parameters=(
        Parameter("colour", "Colour", "choice", choices=(("r", "Red"), ("g", "Green"))),
        Parameter("door_code", "Door's code", is_secret=True),
        Parameter("is_glossy", "Glossy", "boolean"),
    ),
)


def test_parameters_are_called_and_ordered_as_the_kind_has_them_and_secrets_are_covered() -> None:
    painted = job(parameters={"api_key": "k-123", "is_glossy": True, "door_code": "4711", "colour": "r"})
    facts = [(fact.label, fact.text) for fact in parameter_facts(PAINT, painted)]
    assert facts == [("Colour", "Red"), ("Door's code", MASK), ("Glossy", "yes"), ("Api key", MASK)]


def test_parameters_of_a_kind_that_is_gone_are_shown_all_the_same() -> None:
    facts = parameter_facts(None, job(parameters={"step_count": 12_000, "note": None}))
    assert [(fact.label, fact.text) for fact in facts] == [("Step count", "12,000")]


def test_a_result_is_written_for_people() -> None:
    facts = result_facts({"row_count": 1234, "share": 0.5, "names": ["Zoë"], "links": []})
    assert [(fact.label, fact.text, fact.is_long) for fact in facts] == [
        ("Row count", "1,234", False),
        ("Share", "0.5", False),
        ("Names", '[\n  "Zoë"\n]', True),
    ]
    assert result_facts(None) == []


def test_links_of_a_result_lead_to_this_site_only() -> None:
    given = ["/pictures/1", "https://example.com", "//example.com", "/\\example.com", "javascript:alert(1)", ""]
    result = {"links": [{"label": "Open", "path": path} for path in given] + ["nonsense", {"path": "/unnamed"}]}
    assert [link.path for link in result_links(result)] == ["/pictures/1"]
    assert result_links({"links": "nonsense"}) == []


def test_how_an_attempt_ended_is_said_in_words() -> None:
    assert ending_words(JobAttempt(ended_at=None)) == "at work"
    assert ending_words(JobAttempt(ended_at=NOW, outcome="lost")) == "its worker stopped without a word"
    assert ending_words(JobAttempt(ended_at=NOW, outcome=None, error="x")) == "failed"
