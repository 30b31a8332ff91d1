"""What operators see across organisations: jobs, and dead letters by the time of their death."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Each organisation's newest come from an index in its order, and only they are merged. Without statistics of an
# organisation PostgreSQL expects few rows of it, and would collect and sort all of them, millions.
BY_INDEX = "SET enable_sort TO off SET enable_bitmapscan TO off"
SHOWN = (
    "organisation_id uuid, organisation_name text, id uuid, kind text, title text, state text, progress_count bigint,"
    " total_count bigint, attempt_count integer, redrive_count integer, error text, is_cancelling boolean,"
    " created_at timestamptz, started_at timestamptz, ended_at timestamptz"
)
COLUMNS = """
    o.id, o.name, j.id, j.kind, j.title, j.state::text, j.progress_count, j.total_count, j.attempt_count,
    j.redrive_count, j.error, j.cancel_requested_at IS NOT NULL AND j.ended_at IS NULL, j.created_at, j.started_at,
    j.ended_at
"""
OF_ORGANISATIONS = "organisations o CROSS JOIN LATERAL"
IS_WANTED = "(wanted_organisation_id IS NULL OR o.id = wanted_organisation_id)"


def upgrade() -> None:
    dead = ["organisation_id", "ended_at", "id"]
    op.create_index("ix_jobs_dead", "jobs", dead, postgresql_where=sa.text("state = 'dead'"))
    _create_list_jobs()
    _create_dead_letters()


def downgrade() -> None:
    for function in ("footfall_list_jobs", "footfall_list_dead_letters", "footfall_count_dead_letters"):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_jobs_dead", "jobs")


def _create_list_jobs() -> None:
    """Newest first: of whatever state and kind, or of some states, or of one kind in some states."""
    lend(
        "footfall_list_jobs(wanted_organisation_id uuid, wanted_states text[], wanted_kind text, before_id uuid,"
        f" most integer) RETURNS TABLE ({SHOWN})",
        f"""
        BEGIN
            IF wanted_kind IS NOT NULL THEN
                RETURN QUERY SELECT {COLUMNS} FROM organisations o CROSS JOIN unnest(wanted_states) AS s(state)
                CROSS JOIN LATERAL (
                    SELECT * FROM jobs w WHERE w.organisation_id = o.id AND w.kind = wanted_kind AND w.state = s.state
                      AND w.id < before_id ORDER BY w.id DESC LIMIT most) j
                WHERE {IS_WANTED} ORDER BY j.id DESC LIMIT most;
            ELSIF wanted_states IS NOT NULL THEN
                RETURN QUERY SELECT {COLUMNS} FROM organisations o CROSS JOIN unnest(wanted_states) AS s(state)
                CROSS JOIN LATERAL (
                    SELECT * FROM jobs w WHERE w.organisation_id = o.id AND w.state = s.state
                      AND w.id < before_id ORDER BY w.id DESC LIMIT most) j
                WHERE {IS_WANTED} ORDER BY j.id DESC LIMIT most;
            ELSE
                RETURN QUERY SELECT {COLUMNS} FROM {OF_ORGANISATIONS} (
                    SELECT * FROM jobs w WHERE w.organisation_id = o.id AND w.id < before_id
                    ORDER BY w.id DESC LIMIT most) j
                WHERE {IS_WANTED} ORDER BY j.id DESC LIMIT most;
            END IF;
        END
        """,
        f"plpgsql STABLE {BY_INDEX}",
    )


def _create_dead_letters() -> None:
    """The latest death first; and how many there are, up to a limit."""
    is_dead = "w.organisation_id = o.id AND w.state = 'dead' AND (wanted_kind IS NULL OR w.kind = wanted_kind)"
    lend(
        "footfall_list_dead_letters(wanted_organisation_id uuid, wanted_kind text, before_at timestamptz,"
        f" before_id uuid, most integer) RETURNS TABLE ({SHOWN})",
        f"""
        BEGIN
            RETURN QUERY SELECT {COLUMNS} FROM {OF_ORGANISATIONS} (
                SELECT * FROM jobs w WHERE {is_dead} AND (w.ended_at, w.id) < (before_at, before_id)
                ORDER BY w.ended_at DESC, w.id DESC LIMIT most) j
            WHERE {IS_WANTED} ORDER BY j.ended_at DESC, j.id DESC LIMIT most;
        END
        """,
        f"plpgsql STABLE {BY_INDEX}",
    )
    lend(
        "footfall_count_dead_letters(wanted_organisation_id uuid, wanted_kind text, most integer)"
        " RETURNS TABLE (organisation_id uuid, job_count bigint)",
        f"""
        SELECT o.id, j.job_count FROM {OF_ORGANISATIONS} (
            SELECT count(*) AS job_count FROM (SELECT FROM jobs w WHERE {is_dead} LIMIT most) c) j
        WHERE {IS_WANTED} AND j.job_count > 0
        """,
        "sql STABLE",
    )
