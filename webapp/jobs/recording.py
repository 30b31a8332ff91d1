"""Writing outcomes into PostgreSQL, many at once. Nothing here commits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from webapp.extensions import db
from webapp.jobs.counting import End, note_end
from webapp.jobs.models import FINAL_STATES, JobState
from webapp.jobs.outcomes import Outcome

FINAL = frozenset(state.value for state in FINAL_STATES)

# An outcome counts only while its attempt is the running one: whatever comes a second time, or too late, finds
# the state or the number changed. Rows are locked in the order of their keys, as by everyone who locks several.
RECORD = text(
    """
    WITH outcomes AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:outcomes AS jsonb)) AS o(
            job_id uuid, number integer, state text, word text, ended_at timestamptz, result jsonb, error text,
            traceback text, run_at timestamptz, wait_reason text, checkpoint jsonb, is_free boolean,
            progress_count bigint, total_count bigint)
    ), running AS MATERIALIZED (
        SELECT j.id FROM jobs j JOIN outcomes o ON j.id = o.job_id
        WHERE j.organisation_id = :organisation_id AND j.state = 'running' AND j.attempt_count = o.number
        ORDER BY j.id FOR UPDATE OF j
    ), ended AS (
        UPDATE jobs j SET
            state = o.state, result = o.result, error = o.error, wait_reason = o.wait_reason,
            checkpoint = coalesce(o.checkpoint, j.checkpoint),
            attempt_limit = j.attempt_limit + coalesce(o.is_free, false)::integer,
            progress_count = coalesce(o.progress_count, j.progress_count),
            total_count = coalesce(o.total_count, j.total_count),
            run_at = coalesce(o.run_at, j.run_at), sent_at = NULL, worker_id = NULL,
            ended_at = CASE WHEN o.state NOT IN ('pending', 'retrying') THEN o.ended_at END
        FROM outcomes o JOIN running r ON r.id = o.job_id
        WHERE j.organisation_id = :organisation_id AND j.id = r.id AND j.attempt_count = o.number
        RETURNING j.id, j.kind, j.state, extract(epoch FROM j.claimed_at - j.run_at)::double precision AS wait_seconds,
            extract(epoch FROM j.ended_at - j.claimed_at)::double precision AS run_seconds
    ), attempts AS (
        UPDATE job_attempts a SET ended_at = o.ended_at, outcome = o.word, error = o.error, traceback = o.traceback
        FROM outcomes o JOIN ended e ON e.id = o.job_id
        WHERE a.organisation_id = :organisation_id AND a.job_id = o.job_id AND a.number = o.number
    )
    SELECT id, kind, state, wait_seconds, run_seconds FROM ended
    """
)
# Somebody asked it to stop after its last safe point, and it would begin again: it ends here.
STOP_CANCELLED = text(
    """
    UPDATE jobs SET state = 'cancelled', ended_at = now(), sent_at = NULL
    WHERE organisation_id = :organisation_id AND id = ANY(:ids)
      AND state IN ('pending', 'retrying') AND cancel_requested_at IS NOT NULL
    RETURNING kind
    """
)
ADD_LOGS = text(
    """
    INSERT INTO job_logs (organisation_id, job_id, number, position, at, level, message)
    SELECT :organisation_id, l.job_id, l.number, l.position, l.at, l.level, l.message
    FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS l(
        job_id uuid, number integer, position integer, at timestamptz, level text, message text)
    JOIN jobs j ON j.organisation_id = :organisation_id AND j.id = l.job_id
    ON CONFLICT DO NOTHING
    """
)


def record_outcomes(organisation_id: UUID, outcomes: Sequence[Outcome]) -> list[UUID]:
    """Write what became of the organisation's jobs; the ids of those that it was news for."""
    given = {"organisation_id": organisation_id, "outcomes": msgspec.json.encode([_row(o) for o in outcomes]).decode()}
    rows = db.session.execute(RECORD, given).all()
    ids = [row.id for row in rows]
    ends = [End(row.kind, row.state, row.wait_seconds, row.run_seconds) for row in rows if row.state in FINAL]
    if any(row.state not in FINAL for row in rows):
        stopped = db.session.scalars(STOP_CANCELLED, {"organisation_id": organisation_id, "ids": ids})
        ends += [End(kind, JobState.CANCELLED.value) for kind in stopped]
    known = set(ids)
    lines = [_line(outcome, line) for outcome in outcomes if outcome.job_id in known for line in outcome.logs]
    add_logs(organisation_id, lines)
    for end in ends:
        note_end(db.session(), end)
    return ids


def add_logs(organisation_id: UUID, lines: Sequence[dict[str, Any]]) -> None:
    """Keep lines that jobs wrote; those that are kept already stay as they are."""
    if lines:
        db.session.execute(ADD_LOGS, {"organisation_id": organisation_id, "lines": json.dumps(lines)})


def _row(outcome: Outcome) -> dict[str, Any]:
    names = (
        "job_id", "number", "state", "word", "ended_at", "result", "error", "traceback", "run_at", "wait_reason",
        "checkpoint", "is_free", "progress_count", "total_count",
    )  # fmt: skip
    return {name: getattr(outcome, name) for name in names}


def _line(outcome: Outcome, line: Any) -> dict[str, Any]:
    return log_row(outcome.job_id, outcome.number, line)


def log_row(job_id: UUID, number: int, line: Any) -> dict[str, Any]:
    """A line as `add_logs` takes it."""
    return {
        "job_id": str(job_id),
        "number": number,
        "position": line.position,
        "at": line.at.isoformat(),
        "level": line.level,
        "message": line.message,
    }
