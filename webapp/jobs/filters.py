"""Which jobs a person or a program wants to see: read from addresses, and written into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Any
from uuid import UUID

from webapp.jobs.models import JobState
from webapp.jobs.queue_names import WORKING_QUEUES

TEXT_LIMIT = 200
DATE_LENGTH = len("2026-01-31")
STATES = tuple(state.value for state in JobState)
YEARS = range(1970, 9000)
"""A UUIDv7 knows no earlier ones, and a time zone needs room at the end."""


class FilterError(Exception):
    """Some values mean nothing; `errors` says for each name why."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in errors.items()))
        self.errors = errors


@dataclass(frozen=True)
class JobFilter:
    """What must hold of a job, all of it together; what is empty is not asked.

    Created from `since` on and before `until`. The text is part of the title or of the error, in whatever case.
    """

    states: frozenset[JobState] = frozenset()
    kind: str | None = None
    queue: str | None = None
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    recurring_job_id: UUID | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every job matches."""
        return self == JobFilter()


def read_filter(arguments: Mapping[str, Any], zone: tzinfo) -> JobFilter:
    """The filter in an address: `state` (several, or with commas), `kind`, `queue`, `text`, `since`, `until`.

    Days and times without an offset are of the zone; a day in `until` belongs to it. What means nothing is left out.
    """
    return _read(arguments, zone)[0]


def read_filter_strictly(arguments: Mapping[str, Any], zone: tzinfo) -> JobFilter:
    """The same for programs; raises FilterError with all that means nothing."""
    job_filter, errors = _read(arguments, zone)
    if errors:
        raise FilterError(errors)
    return job_filter


def filter_arguments(job_filter: JobFilter, zone: tzinfo) -> dict[str, str]:
    """The filter as `read_filter` reads it from an address; what is not asked has no argument."""
    states = ",".join(value for value in STATES if JobState(value) in job_filter.states)
    arguments = {
        "state": states,
        "kind": job_filter.kind,
        "queue": job_filter.queue,
        "text": job_filter.text,
        "since": job_filter.since and _write_time(job_filter.since, zone, is_end=False),
        "until": job_filter.until and _write_time(job_filter.until, zone, is_end=True),
        "recurring_job_id": job_filter.recurring_job_id and str(job_filter.recurring_job_id),
    }
    return {name: value for name, value in arguments.items() if value}


def _read(arguments: Mapping[str, Any], zone: tzinfo) -> tuple[JobFilter, dict[str, str]]:
    """What can be read, and for each name that cannot why."""
    states, unknown = _read_states(_texts(arguments, "state"))
    errors = {"state": f"A state is one of: {', '.join(STATES)}."} if unknown else {}
    values: dict[str, Any] = {}
    for name, reader in READERS.items():
        try:
            if given := _texts(arguments, name):
                values[name] = reader(given[0], zone)
        except FilterValueError as error:
            errors[name] = str(error)
    return JobFilter(states=states, **values), errors


class FilterValueError(ValueError):
    """A value that means nothing; the message says what would."""


def _texts(arguments: Mapping[str, Any], name: str) -> list[str]:
    """Everything that was given under a name, be it several times, a list, or one text."""
    getlist: Callable[[str], list[Any]] | None = getattr(arguments, "getlist", None)
    given: Any = getlist(name) if getlist else arguments.get(name)
    several = given if isinstance(given, list | tuple) else [given]
    texts = [str(value).strip() for value in several if value is not None]
    return [text for text in texts if text]


def _read_states(given: list[str]) -> tuple[frozenset[JobState], set[str]]:
    """Those that exist, and words that are none."""
    words = {word.strip() for text in given for word in text.split(",") if word.strip()}
    return frozenset(JobState(word) for word in words & set(STATES)), words - set(STATES)


def _read_text(text: str, zone: tzinfo) -> str:
    if len(text) > TEXT_LIMIT or "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise FilterValueError(f"This may have up to {TEXT_LIMIT} characters, all of them written ones.")
    return text


def _read_queue(text: str, zone: tzinfo) -> str:
    if text not in WORKING_QUEUES:
        raise FilterValueError(f"A queue is one of: {', '.join(WORKING_QUEUES)}.")
    return text


def _read_time(text: str, zone: tzinfo, *, is_end: bool = False) -> datetime:
    """A day, from its beginning or to its end, or a moment."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FilterValueError("Give a day as 2026-01-31, or a time as 2026-01-31T12:00.") from error
    if moment.year not in YEARS:
        raise FilterValueError("There were no jobs in that year.")
    if is_end and len(text) <= DATE_LENGTH:
        moment += timedelta(days=1)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _read_id(text: str, zone: tzinfo) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise FilterValueError("This is no id.") from error


READERS: dict[str, Callable[[str, tzinfo], Any]] = {
    "kind": _read_text,
    "queue": _read_queue,
    "text": _read_text,
    "since": _read_time,
    "until": partial(_read_time, is_end=True),
    "recurring_job_id": _read_id,
}


def _write_time(moment: datetime, zone: tzinfo, *, is_end: bool) -> str:
    """The shortest text that is read as this moment: a day, a time in the zone, or one with its offset."""
    local = moment.astimezone(zone)
    wall = local.replace(tzinfo=None)
    day = wall.date() - timedelta(days=1) if is_end else wall.date()
    texts = (day.isoformat(), wall.isoformat(timespec="minutes"), wall.isoformat())
    return next((text for text in texts if _read_time(text, zone, is_end=is_end) == moment), local.isoformat())
