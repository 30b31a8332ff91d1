"""How an attempt ended, and what becomes of its job: pure rules, and the form in which workers hand it on.

An outcome waits in Redis until PostgreSQL has it, so that work that is done outlives a database that is away.
"""

from __future__ import annotations

import random
import traceback as tracebacks
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from webapp.jobs.kinds import PermanentError, PostponedError, Run
from webapp.jobs.models import JobState

RETRY_BASE = timedelta(seconds=5)
RETRY_LONGEST = timedelta(hours=1)
ERROR_LIMIT = 2_000
TRACEBACK_LIMIT = 20_000
RESULT_LIMIT_BYTES = 256 * 1024
LOST = "The worker stopped without a word."


class CancelledByPersonError(Exception):
    """Somebody asked this job to stop."""


class HandOverError(Exception):
    """This worker is to stop: the job goes on elsewhere from its checkpoint."""


class LogLine(msgspec.Struct, array_like=True):
    """A line that an attempt wrote."""

    position: int
    at: datetime
    level: str
    message: str


class Outcome(msgspec.Struct, omit_defaults=True):
    """The end of one attempt. `state` is the job's from then on, `word` says it of the attempt.

    An attempt that is not the job's fault raises its limit by one, so that none is spent.
    """

    organisation_id: UUID
    job_id: UUID
    number: int
    kind: str
    state: str
    word: str
    ended_at: datetime
    result: dict[str, Any] | None = None
    error: str | None = None
    traceback: str | None = None
    run_at: datetime | None = None
    wait_reason: str | None = None
    checkpoint: dict[str, Any] | None = None
    is_free: bool = False
    progress_count: int | None = None
    total_count: int | None = None
    logs: list[LogLine] = []

    @property
    def is_dead(self) -> bool:
        return self.state == JobState.DEAD.value


encode_outcome = msgspec.json.Encoder().encode
decode_outcome = msgspec.json.Decoder(Outcome).decode


def outcome_of_result(run: Run, kind: str, result: dict[str, Any], now: datetime) -> Outcome:
    """The job is completed; a result that cannot be kept is an error of the job's."""
    kept = clean(result)
    try:
        size = len(msgspec.json.encode(kept))
    except (TypeError, ValueError, OverflowError) as error:
        return outcome_of_error(run, kind, PermanentError(f"The result cannot be kept: {error}"), True, now)
    if size > RESULT_LIMIT_BYTES:
        words = f"The result is too large to be kept: {size:,} bytes, {RESULT_LIMIT_BYTES:,} are allowed."
        return outcome_of_error(run, kind, PermanentError(words), True, now)
    return _outcome(run, kind, JobState.COMPLETED, "completed", now, result=kept)


def outcome_of_error(
    run: Run, kind: str, error: BaseException, is_spent: bool, now: datetime, tried_count: int = 1
) -> Outcome:
    """What an exception means: stopped, put off, handed over, failed for good, to be tried again, or dead.

    `tried_count` is how many attempts were spent, this one included.
    """
    if isinstance(error, CancelledByPersonError):
        return _outcome(run, kind, JobState.CANCELLED, "cancelled", now)
    if isinstance(error, HandOverError):
        return _outcome(run, kind, JobState.PENDING, "handed over", now, is_free=True)
    if isinstance(error, PostponedError):
        reason = clean(error.reason)
        return _outcome(
            run, kind, JobState.PENDING, "postponed", now, run_at=error.until, wait_reason=reason, is_free=True
        )
    words = clean(str(error) or type(error).__name__)[:ERROR_LIMIT]
    trace = clean("".join(tracebacks.format_exception(error)))[-TRACEBACK_LIMIT:]
    if isinstance(error, PermanentError):
        return _outcome(run, kind, JobState.FAILED, "failed", now, error=words, traceback=trace)
    if is_spent:
        return _outcome(run, kind, JobState.DEAD, "failed", now, error=words, traceback=trace)
    run_at = now + retry_pause(tried_count)
    return _outcome(run, kind, JobState.RETRYING, "failed", now, error=words, traceback=trace, run_at=run_at)


def outcome_of_loss(
    organisation_id: UUID, job_id: UUID, number: int, kind: str, is_spent: bool, now: datetime
) -> Outcome:
    """The attempt's worker is gone. The job keeps its place, so it is tried again before all that came after it."""
    words = f"{LOST} That was the last of its attempts." if is_spent else LOST
    state = JobState.DEAD if is_spent else JobState.RETRYING
    return Outcome(organisation_id, job_id, number, kind, state.value, "lost", now, error=words)


def without_content(outcome: Outcome) -> Outcome:
    """The same end in plain words, for one whose own words or result PostgreSQL refuses."""
    error = "What this attempt left behind could not be kept."
    state = JobState.FAILED.value if outcome.state == JobState.COMPLETED.value else outcome.state
    keys = (outcome.organisation_id, outcome.job_id, outcome.number, outcome.kind)
    return Outcome(
        *keys, state, outcome.word, outcome.ended_at, error=error, run_at=outcome.run_at, is_free=outcome.is_free
    )


def retry_pause(tried_count: int) -> timedelta:
    """Exponential back-off with jitter: about 5, 10, 20 … seconds, each half to one and a half times as long."""
    longest: timedelta = min(RETRY_BASE * 2 ** min(tried_count - 1, 20), RETRY_LONGEST)
    jitter: float = random.uniform(0.5, 1.5)  # noqa: S311  (no secret)
    return longest * jitter


def clean(value: Any) -> Any:
    """The value without characters that PostgreSQL cannot hold: U+0000, and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {clean(str(key)): clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    return value


def _outcome(run: Run, kind: str, state: JobState, word: str, now: datetime, **more: Any) -> Outcome:
    return Outcome(run.organisation_id, run.job_id, run.number, kind, state.value, word, now, **more)
