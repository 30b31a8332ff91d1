"""The shapes in which programs send and get jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from apiflask import Schema
from apiflask.fields import UUID, AwareDateTime, Boolean, Dict, Integer, List, Nested, Raw, String
from apiflask.validators import Length, Range
from flask import current_app

from webapp.jobs.filters import STATES
from webapp.jobs.kinds import Kind, label_of, shown_parameters
from webapp.jobs.models import Job, JobAttempt, JobLog
from webapp.jobs.parameters import Parameter
from webapp.jobs.queries import PAGE_SIZE
from webapp.jobs.queue_names import WORKING_QUEUES
from webapp.schemas import Text, UtcTime

MAX_LIMIT = 100
MAX_LOG_LIMIT = 1_000
MAX_TITLE = 200
STATES_DOC = f"Any of {', '.join(STATES)}: several times, or with commas."
TIME_DOC = (
    "A day as 2026-01-31, or a time as 2026-01-31T12:00, in the organisation's time zone unless it has an offset."
)


class ChoiceOut(Schema):
    """A value to choose."""

    value = String()
    label = String()


class ParameterOut(Schema):
    """A value that a kind of job wants to know."""

    name = String()
    label = String()
    type = String(metadata={"description": "text, integer, boolean or choice."})
    is_required = Boolean()
    default = Raw(allow_none=True)
    hint = String()
    choices = List(Nested(ChoiceOut))
    minimum = Integer(allow_none=True, metadata={"description": "Of an integer; of a text, its least length."})
    maximum = Integer(allow_none=True, metadata={"description": "Of an integer; of a text, its greatest length."})
    is_secret = Boolean(metadata={"description": "It is never shown again."})


class JobKind(Schema):
    """A kind of job that may be started."""

    name = String(metadata={"example": "rehearsal"})
    label = String()
    description = String()
    queue = String()
    attempt_limit = Integer()
    parameters = List(Nested(ParameterOut))
    is_available = Boolean()
    why_unavailable = String(allow_none=True, metadata={"description": "What is missing, and how to set it up."})


class JobKindList(Schema):
    """Every kind of job that may be started, by its label."""

    data = List(Nested(JobKind))


class JobIn(Schema):
    """A job to start."""

    kind = Text(required=True, metadata={"description": "The name of a kind, from `GET /job-kinds`."})
    parameters = Dict(keys=Text(), values=Raw(allow_none=True), load_default=dict)
    title = Text(
        load_default=None,
        allow_none=True,
        validate=Length(1, MAX_TITLE),
        metadata={"description": "Or the kind's own."},
    )
    run_at = AwareDateTime(
        load_default=None,
        allow_none=True,
        default_timezone=UTC,
        metadata={"description": "When to run it, up to a year ahead; at once if left out or over already."},
    )


class JobShown(Schema):
    """A job in a list."""

    id = UUID()
    kind = String(metadata={"example": "rehearsal"})
    label = String(metadata={"description": "What people call the kind."})
    queue = String()
    title = String()
    state = String(metadata={"description": f"One of {', '.join(STATES)}."})
    progress_count = Integer()
    total_count = Integer(allow_none=True, metadata={"description": "How far `progress_count` will go, if known."})
    attempt_count = Integer()
    attempt_limit = Integer()
    redrive_count = Integer(metadata={"description": "How often it began again after it was dead."})
    error = String(allow_none=True, metadata={"description": "Of the last attempt that failed."})
    wait_reason = String(allow_none=True, metadata={"description": "Why it put itself off until `run_at`."})
    recurring_job_id = UUID(allow_none=True)
    created_at = UtcTime()
    run_at = UtcTime(metadata={"description": "It does not begin before."})
    started_at = UtcTime(allow_none=True)
    ended_at = UtcTime(allow_none=True)
    cancel_requested_at = UtcTime(allow_none=True)


class AttemptOut(Schema):
    """One run of a job, by one worker."""

    number = Integer()
    worker = String()
    outcome = String(allow_none=True, metadata={"description": "How it ended, in a word: completed, failed, lost …"})
    error = String(allow_none=True)
    traceback = String(allow_none=True)
    started_at = UtcTime()
    ended_at = UtcTime(allow_none=True)


class LinkOut(Schema):
    """A page of Footfall about what the job made."""

    label = String()
    path = String()


class JobDetail(JobShown):
    """A job with all that is known of it."""

    parameters = Dict(metadata={"description": "Secrets are covered."})
    result = Dict(allow_none=True)
    links = List(Nested(LinkOut))
    attempts = List(Nested(AttemptOut), metadata={"description": "The last ones, the newest first."})
    jobs_before = Integer(
        allow_none=True,
        metadata={"description": "While it waits for its turn: how many come before it, counted to 1,000."},
    )


class JobListQuery(Schema):
    """Which jobs, and how many."""

    state = List(Text(), metadata={"description": STATES_DOC})
    kind = Text(metadata={"description": "A kind's name."})
    queue = Text(metadata={"description": f"One of {', '.join(WORKING_QUEUES)}."})
    text = Text(metadata={"description": "Part of the title or of the error, in whatever case."})
    since = Text(metadata={"description": f"Created from then on. {TIME_DOC}"})
    until = Text(metadata={"description": f"Created before, or on that day. {TIME_DOC}"})
    recurring_job_id = Text(metadata={"description": "Started by this recurring job."})
    limit = Integer(load_default=PAGE_SIZE, validate=Range(1, MAX_LIMIT))
    cursor = UUID(load_default=None, metadata={"description": "`next_cursor` of the page before."})


class JobList(Schema):
    """A page of jobs, newest first."""

    data = List(Nested(JobShown))
    next_cursor = String(allow_none=True, metadata={"description": "Ask with it for what follows; null at the end."})
    looked_until = UtcTime(
        allow_none=True,
        metadata={
            "description": "Set when a text was looked for only so far back: the page may be short or empty, and "
            "`next_cursor` looks further."
        },
    )


class LogQuery(Schema):
    """Which lines, and how many."""

    limit = Integer(load_default=MAX_LOG_LIMIT // 2, validate=Range(1, MAX_LOG_LIMIT))
    cursor = Text(load_default=None, metadata={"description": "`next_cursor` of the page before."})


class LogLineOut(Schema):
    """A line that an attempt wrote."""

    attempt = Integer()
    position = Integer()
    at = UtcTime()
    level = String()
    message = String()


class LogLines(Schema):
    """Some of a job's lines, the first one first."""

    data = List(Nested(LogLineOut))
    next_cursor = String(allow_none=True, metadata={"description": "Ask with it for what follows; null at the end."})


SHOWN = (
    "id", "kind", "queue", "title", "progress_count", "total_count", "attempt_count", "attempt_limit",
    "redrive_count", "error", "wait_reason", "recurring_job_id", "created_at", "run_at", "started_at", "ended_at",
    "cancel_requested_at",
)  # fmt: skip
OF_ATTEMPT = ("number", "worker", "outcome", "error", "traceback", "started_at", "ended_at")


def kind_shown(kind: Kind) -> dict[str, Any]:
    """A kind, and whether it can be used as things are set up."""
    why_unavailable = kind.why_unavailable(current_app.extensions["settings"])
    return {
        **{name: getattr(kind, name) for name in ("name", "label", "description", "queue", "attempt_limit")},
        "parameters": [_parameter_shown(parameter) for parameter in kind.parameters],
        "is_available": why_unavailable is None,
        "why_unavailable": why_unavailable,
    }


def _parameter_shown(parameter: Parameter) -> dict[str, Any]:
    choices = [{"value": value, "label": label} for value, label in parameter.choices]
    return {**vars(parameter), "choices": choices}


def job_shown(job: Job) -> dict[str, Any]:
    """A job as lists show it."""
    return {**{name: getattr(job, name) for name in SHOWN}, "label": label_of(job), "state": job.state.value}


def job_detail(job: Job, attempts: Sequence[JobAttempt], jobs_before: int | None) -> dict[str, Any]:
    """A job with all that is known of it."""
    return {
        **job_shown(job),
        "parameters": shown_parameters(job),
        "result": job.result,
        "links": _links(job),
        "attempts": [{name: getattr(attempt, name) for name in OF_ATTEMPT} for attempt in attempts],
        "jobs_before": jobs_before,
    }


def _links(job: Job) -> list[dict[str, str]]:
    own = [{"label": job.title, "path": job.subject_path}] if job.subject_path else []
    made = (job.result or {}).get("links", [])
    return own + [link for link in made if isinstance(link, dict)]


def line_shown(line: JobLog) -> dict[str, Any]:
    """A line of a job's log."""
    names = ("position", "at", "level", "message")
    return {"attempt": line.number, **{name: getattr(line, name) for name in names}}
