"""What a job's own page says about it: pure, so that every case can be looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from webapp.jobs.kinds import Kind
from webapp.jobs.models import Job, JobAttempt, JobState, RecurringJob
from webapp.jobs.parameters import Parameter, masked
from webapp.pages import duration

BEFORE_LIMIT = 100
WAITING_STATES = frozenset({JobState.PENDING, JobState.RETRYING})
AT_HAND = timedelta(seconds=5)
SOON = timedelta(hours=1)

ENDINGS = {
    "completed": "completed",
    "failed": "failed",
    "lost": "its worker stopped without a word",
    "postponed": "put off",
    "handed over": "handed over to another worker",
    "cancelled": "cancelled",
}
TONES = {"completed": "good", "failed": "bad", "lost": "bad"}


@dataclass(frozen=True)
class Standing:
    """How things stand around a waiting job. `before_count` goes up to BEFORE_LIMIT + 1."""

    is_paused: bool
    has_broker: bool
    has_workers: bool
    before_count: int
    kind_limit: int | None
    kind_count: int


@dataclass(frozen=True)
class Fact:
    """A line of a list of facts: a plain text, or one in lines of its own."""

    label: str
    text: str
    is_long: bool = False


@dataclass(frozen=True)
class Link:
    label: str
    path: str


def why_waiting(job: Job, standing: Standing, now: datetime, write_time: Callable[[datetime], str]) -> str:
    """What a waiting job waits for, the most stubborn reason first. `write_time` writes a time that is far."""
    if standing.is_paused:
        return "The operators have paused its queue. It goes on once they resume it."
    if job.sent_at is not None and now - job.sent_at < AT_HAND:
        return "A worker has it at hand."
    if job.run_at > now:
        return _planned_words(job, _when(job, now, write_time))
    if not standing.has_broker:
        return "The broker that hands out jobs does not answer. Yours is safe, and begins once it is back."
    if not standing.has_workers:
        return "No worker is running that takes such jobs. Whoever operates this Footfall has to start one."
    if job.sent_at is not None:
        return "A worker has it at hand, and is busy with others still."
    if standing.kind_limit is not None and standing.kind_count >= standing.kind_limit:
        return _limit_words(standing.kind_limit, standing.kind_count)
    return _place_words(standing.before_count)


def _when(job: Job, now: datetime, write_time: Callable[[datetime], str]) -> str:
    """How long until then; a place in a queue has its moment, which people want to know instead."""
    return when_words(job.run_at, now, write_time) if job.wait_reason is None else write_time(job.run_at)


def when_words(moment: datetime, now: datetime, write_time: Callable[[datetime], str]) -> str:
    """A time to come: how long until then, or, when that is long, what `write_time` makes of it."""
    return f"in {duration(moment - now)}" if moment - now < SOON else write_time(moment)


def _planned_words(job: Job, when: str) -> str:
    if job.state is JobState.RETRYING:
        return f"The next attempt begins {when}."
    return f"It goes on {when}. {job.wait_reason}" if job.wait_reason else f"It is planned to begin {when}."


def _limit_words(limit: int, count: int) -> str:
    at_once = "one job of its kind runs" if limit == 1 else f"{limit:,} jobs of its kind run"
    busy = "one is at work" if count == 1 else f"{count:,} are at work"
    return f"At most {at_once} at once in your organisation, and {busy}."


def _place_words(before_count: int) -> str:
    if before_count == 0:
        return "It is next."
    if before_count > BEFORE_LIMIT:
        return f"Over {BEFORE_LIMIT} jobs are before yours."
    return "One job is before yours." if before_count == 1 else f"{before_count:,} jobs are before yours."


def ending_words(attempt: JobAttempt) -> str:
    """How an attempt ended."""
    if attempt.ended_at is None:
        return "at work"
    return ENDINGS.get(attempt.outcome or "", "failed" if attempt.error else "ended")


def ending_tone(attempt: JobAttempt) -> str:
    """The colour of its mark."""
    if attempt.ended_at is None:
        return "running"
    return TONES.get(attempt.outcome or "", "bad" if attempt.error else "")


def parameter_facts(kind: Kind | None, job: Job | RecurringJob) -> list[Fact]:
    """What a job was given, called and ordered as its kind has it, with its secrets covered."""
    declared = {parameter.name: parameter for parameter in kind.parameters} if kind else {}
    given = {name: value for name, value in job.parameters.items() if value is not None}
    values = masked(tuple(declared.values()), given)
    names = [*(name for name in declared if name in values), *(name for name in values if name not in declared)]
    return [_parameter_fact(declared.get(name), name, values[name]) for name in names]


def _parameter_fact(parameter: Parameter | None, name: str, value: Any) -> Fact:
    """A choice is shown by its label."""
    if parameter is None:
        return _fact(_as_label(name), value)
    return _fact(parameter.label, dict(parameter.choices).get(value, value) if parameter.choices else value)


def result_facts(result: Mapping[str, Any] | None) -> list[Fact]:
    """What a job gave back, without its links."""
    return [_fact(_as_label(name), value) for name, value in (result or {}).items() if name != "links"]


def result_links(result: Mapping[str, Any] | None) -> list[Link]:
    """What a job made: places of this site only, whatever a result holds."""
    given = (result or {}).get("links")
    links = [Link(str(one.get("label", "")), str(one.get("path", ""))) for one in _dicts(given)]
    return [link for link in links if link.label and link.path.startswith("/") and link.path[1:2] not in {"/", "\\"}]


def _dicts(given: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _as_label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _fact(label: str, value: Any) -> Fact:
    if value is None or value == "":
        return Fact(label, "–")
    if isinstance(value, bool):
        return Fact(label, "yes" if value else "no")
    if isinstance(value, int):
        return Fact(label, f"{value:,}")
    if isinstance(value, dict | list):
        return Fact(label, json.dumps(value, ensure_ascii=False, indent=2), is_long=True)
    text = str(value)
    return Fact(label, text, is_long="\n" in text)
