"""What the list of jobs says: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from webapp.jobs.detail import when_words
from webapp.jobs.models import TROUBLED_STATES, Job, JobState
from webapp.jobs.queries import COUNT_LIMIT
from webapp.jobs.verbs import MAY_BE_CHANGED, Changed, Verb

PAST = {Verb.CANCEL: "cancelled", Verb.RETRY: "begun again", Verb.DISCARD: "discarded"}


@dataclass(frozen=True)
class Choice:
    """One state to look at, or all of them, and how many jobs are in it."""

    label: str
    url: str
    count: int
    is_chosen: bool

    @property
    def count_words(self) -> str:
        return count_words(self.count)


def count_words(count: int) -> str:
    """A number up to COUNT_LIMIT; what is beyond it was not counted."""
    return f"{count:,}" if count <= COUNT_LIMIT else f"over {COUNT_LIMIT:,}"


def changeable_counts(counts: Mapping[JobState, int], states: frozenset[JobState]) -> dict[Verb, int]:
    """For each verb how many of the jobs in these states, or in all, it can be done to."""
    wanted = states or frozenset(JobState)
    return {verb: sum(counts.get(state, 0) for state in wanted & may) for verb, may in MAY_BE_CHANGED.items()}


def note_of(job: Job, now: datetime, write_time: Callable[[datetime], str]) -> str | None:
    """Why it waits, or went wrong, in a line; None for a job about which there is nothing to add."""
    if job.state in TROUBLED_STATES:
        return (job.error or "").partition("\n")[0] or None
    if job.sent_at is not None or job.run_at <= now:
        return None
    when = when_words(job.run_at, now, write_time)
    if job.state is JobState.RETRYING:
        return f"The next attempt begins {when}. {(job.error or '').partition(chr(10))[0]}".strip()
    if job.state is JobState.PENDING:
        return f"Goes on {when}. {job.wait_reason}" if job.wait_reason else f"Begins {when}."
    return None


def changed_words(verb: Verb, changed: Changed) -> str:
    """Like "2 jobs are discarded. One was left as it is: that can't be done to it."."""
    count = len(changed.changed)
    words = f"{_jobs(count)} {'is' if count == 1 else 'are'} {PAST[verb]}."
    if not changed.skipped_count:
        return words
    left = "One was" if changed.skipped_count == 1 else f"{changed.skipped_count:,} were"
    return f"{words if count else ''} {left} left as before: it can’t be done in that state.".strip()


def _jobs(count: int) -> str:
    return "One job" if count == 1 else f"{count:,} jobs"
