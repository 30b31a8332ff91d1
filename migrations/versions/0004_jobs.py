"""Jobs that are sent fairly: queues, claims, log lines, recurring jobs, limits, pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.rls import grant, lend, protect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
WAITING = "state IN ('pending', 'retrying') AND sent_at IS NULL AND NOT in_chunks"
IN_FLIGHT = "state IN ('pending', 'retrying', 'running') AND sent_at IS NOT NULL"
UNFINISHED = "state IN ('pending', 'retrying', 'running')"
SHARES = 4
COUNTED = 100_000
"""Queues are counted so far; nobody needs to know more exactly, and it takes about ten milliseconds."""


def upgrade() -> None:
    _widen_jobs()
    _create_notes()
    _create_recurring_jobs()
    _create_limits()
    _create_pictures()
    op.execute("DROP FUNCTION footfall_due_jobs")
    op.execute("DROP FUNCTION footfall_ended_jobs")
    _create_take()
    _create_looks()


def downgrade() -> None:
    raise NotImplementedError("What 0004 adds cannot be said in the tables before it.")


def _widen_jobs() -> None:
    for column in (
        sa.Column("queue", sa.Text(), nullable=False, server_default="jobs"),
        sa.Column("checkpoint", JSONB(), nullable=True),
        sa.Column("wait_reason", sa.Text(), nullable=True),
        sa.Column("recurring_job_id", sa.Uuid(), nullable=True),
        sa.Column("redrive_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("claimed_at", TIME, nullable=True),
    ):
        op.add_column("jobs", column)
    op.execute("UPDATE jobs SET queue = 'imports' WHERE in_chunks")
    for name in ("queue", "redrive_count"):
        op.alter_column("jobs", name, server_default=None)
    op.add_column("job_attempts", sa.Column("outcome", sa.Text(), nullable=True))
    op.drop_index("ix_jobs_unfinished", "jobs")
    op.create_index("ix_jobs_organisation_id_kind_state_id", "jobs", ["organisation_id", "kind", "state", "id"])
    op.create_index("ix_jobs_unfinished", "jobs", ["organisation_id"], postgresql_where=sa.text(UNFINISHED))
    # The dispatcher's: whose turn it is, what is due, what is on its way.
    turn = ["queue", "organisation_id", "kind", "run_at", "id"]
    op.create_index("ix_jobs_waiting", "jobs", turn, postgresql_where=sa.text(WAITING))
    op.create_index("ix_jobs_due", "jobs", ["queue", "run_at"], postgresql_where=sa.text(WAITING))
    flight = ["queue", "organisation_id", "kind"]
    op.create_index("ix_jobs_in_flight", "jobs", flight, postgresql_where=sa.text(IN_FLIGHT))


def _create_notes() -> None:
    """What a job wrote while it ran: its log, and how far it was at which time."""
    op.create_table(
        "job_logs",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "job_id", "number", "position", name="pk_job_logs"),
        _of_job("job_logs"),
    )
    op.create_table(
        "job_samples",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("progress_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "job_id", "at", name="pk_job_samples"),
        _of_job("job_samples"),
    )
    protect("job_logs")
    protect("job_samples")


def _of_job(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_organisation_id_job_id"
    columns = ["organisation_id", "job_id"]
    return sa.ForeignKeyConstraint(columns, ["jobs.organisation_id", "jobs.id"], ondelete="CASCADE", name=name)


def _create_recurring_jobs() -> None:
    op.create_table(
        "recurring_jobs",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("parameters", JSONB(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("next_run_at", TIME, nullable=True),
        sa.Column("last_run_at", TIME, nullable=True),
        sa.Column("last_job_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_recurring_jobs"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_recurring_jobs_organisation_id"),
    )
    op.create_index("ix_recurring_jobs_next_run_at", "recurring_jobs", ["next_run_at"])
    protect("recurring_jobs")


def _create_limits() -> None:
    op.create_table(
        "paused_queues",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("paused_at", TIME, nullable=False),
        sa.Column("paused_by", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("queue", name="pk_paused_queues"),
        sa.ForeignKeyConstraint(["paused_by"], ["users.id"], name="fk_paused_queues_paused_by"),
    )
    grant("paused_queues")
    op.create_table(
        "rate_reservations",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("limit_name", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("reserved_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_rate_reservations"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_rate_reservations_organisation_id"),
    )
    name = "ix_rate_reservations_organisation_id_limit_name_reserved_at"
    op.create_index(name, "rate_reservations", ["organisation_id", "limit_name", "reserved_at"])
    protect("rate_reservations")


def _create_pictures() -> None:
    op.create_table(
        "pictures",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("source_url", sa.Text(), nullable=False),
        sa.Column("search_word", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("author_url", sa.Text(), nullable=False),
        sa.Column("file_key", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("thumbnail_key", sa.Text(), nullable=False),
        sa.Column("thumbnail_content_type", sa.Text(), nullable=False),
        sa.Column("thumbnail_width", sa.Integer(), nullable=False),
        sa.Column("thumbnail_height", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_pictures"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_pictures_organisation_id"),
        sa.UniqueConstraint("organisation_id", "job_id", name="uq_pictures_organisation_id_job_id"),
    )
    protect("pictures")


def _create_take() -> None:
    """Choose whose jobs are sent next, and mark them as sent, in one statement under one lock.

    `capacity` is how much the workers may hold, and each kind weighs so much. An organisation that has a tenth
    of what is in flight, and 30 jobs or more, waits behind those that have not. Among equals the one with
    the fewest in flight comes first, so that they take turns; each organisation's own jobs keep their order.
    A new organisation or kind costs one look at the index, however many jobs wait; and of each not many more are
    looked at than its even share, so when most of them have less than that, the next call fills the room. A row that
    somebody else changes just now is left for the next call. What was tried before goes alone, so it weighs 1.
    """
    lend(
        "footfall_take_jobs(wanted_queue text, kinds text[], weights float8[], limits integer[],"
        " capacity float8, taken_at timestamptz, most integer)"
        " RETURNS TABLE (organisation_id uuid, id uuid, kind text, attempt_count integer)",
        f"""
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtextextended('take ' || wanted_queue, 0));
            IF EXISTS (SELECT FROM paused_queues p WHERE p.queue = wanted_queue)
               OR coalesce(
                   (SELECT min(j.run_at) FROM jobs j WHERE j.queue = wanted_queue AND {WAITING}) > taken_at, true)
            THEN RETURN; END IF;
            RETURN QUERY
            WITH RECURSIVE known AS (
                SELECT * FROM unnest(kinds, weights, limits) AS k(kind, weight, kind_limit)
            ), flight AS (
                SELECT j.organisation_id, j.kind, count(*) AS job_count,
                       count(*) FILTER (WHERE j.attempt_count > CASE j.state WHEN 'running' THEN 1 ELSE 0 END)
                           AS lone_count
                FROM jobs j WHERE j.queue = wanted_queue AND {IN_FLIGHT} GROUP BY 1, 2
            ), loads AS (
                SELECT f.organisation_id, sum(f.job_count) AS job_count FROM flight f GROUP BY 1
            ), room AS (
                SELECT capacity - coalesce(sum(
                           f.lone_count + (f.job_count - f.lone_count) * coalesce(k.weight, 1)), 0) AS free,
                       coalesce(sum(f.job_count), 0) AS job_count
                FROM flight f LEFT JOIN known k USING (kind)
            ), pairs AS (
                (SELECT j.organisation_id, j.kind FROM jobs j WHERE j.queue = wanted_queue AND {WAITING}
                 ORDER BY j.organisation_id, j.kind LIMIT 1)
                UNION ALL
                SELECT n.organisation_id, n.kind FROM pairs p CROSS JOIN LATERAL (
                    SELECT j.organisation_id, j.kind FROM jobs j WHERE j.queue = wanted_queue AND {WAITING}
                      AND (j.organisation_id, j.kind) > (p.organisation_id, p.kind)
                    ORDER BY j.organisation_id, j.kind LIMIT 1
                ) n
            ), counted AS (
                SELECT count(*) AS pair_count FROM pairs
            ), candidates AS (
                SELECT p.organisation_id, j.id, p.kind, j.run_at,
                       CASE WHEN j.attempt_count > 0 THEN 1 ELSE k.weight END AS weight,
                       coalesce(l.job_count, 0) AS load,
                       coalesce(l.job_count, 0) + row_number() OVER (
                           PARTITION BY p.organisation_id ORDER BY j.run_at, j.id) AS turn
                FROM room r CROSS JOIN counted n CROSS JOIN pairs p JOIN known k ON k.kind = p.kind
                LEFT JOIN flight f ON f.organisation_id = p.organisation_id AND f.kind = p.kind
                LEFT JOIN loads l ON l.organisation_id = p.organisation_id
                CROSS JOIN LATERAL (
                    SELECT w.id, w.run_at, w.attempt_count FROM jobs w
                    WHERE w.queue = wanted_queue AND {WAITING}
                      AND w.organisation_id = p.organisation_id AND w.kind = p.kind AND w.run_at <= taken_at
                    ORDER BY w.run_at, w.id
                    LIMIT greatest(0, least(most, ceil(r.free / k.weight), k.kind_limit - coalesce(f.job_count, 0),
                                            1 + ceil({SHARES} * r.free / k.weight / n.pair_count)))
                ) j
            ), ordered AS (
                SELECT c.*, row_number() OVER fair AS place, sum(c.weight) OVER fair - c.weight AS used
                FROM candidates c CROSS JOIN room r
                WINDOW fair AS (
                    ORDER BY c.load >= 30 AND c.load * 10 > r.job_count, c.turn, c.run_at, c.id
                    ROWS UNBOUNDED PRECEDING)
            ), chosen AS MATERIALIZED (
                SELECT j.organisation_id, j.id, o.place
                FROM ordered o CROSS JOIN room r
                JOIN jobs j ON j.organisation_id = o.organisation_id AND j.id = o.id
                WHERE o.used < r.free AND o.place <= most
                  AND j.sent_at IS NULL AND j.state IN ('pending', 'retrying')
                ORDER BY j.organisation_id, j.id FOR UPDATE OF j SKIP LOCKED
            ), taken AS (
                UPDATE jobs j SET sent_at = taken_at FROM chosen c
                WHERE j.organisation_id = c.organisation_id AND j.id = c.id
                RETURNING j.organisation_id, j.id, j.kind, j.attempt_count, c.place
            )
            SELECT t.organisation_id, t.id, t.kind, t.attempt_count FROM taken t ORDER BY t.place;
        END
        """,
        language="plpgsql VOLATILE",
    )


def _create_looks() -> None:
    """The looks across organisations that the scheduler, the operators and "3 jobs are before yours" need."""
    lend(
        "footfall_in_flight_jobs(wanted_queue text) RETURNS TABLE (organisation_id uuid, id uuid, kind text,"
        " state text, attempt_count integer, attempt_limit integer, worker_id uuid, sent_at timestamptz,"
        " claimed_at timestamptz)",
        f"""
        SELECT j.organisation_id, j.id, j.kind, j.state::text, j.attempt_count, j.attempt_limit, j.worker_id, j.sent_at,
            j.claimed_at
        FROM jobs j WHERE j.queue = wanted_queue AND {IN_FLIGHT}
        """,
    )
    lend(
        "footfall_jobs_before(wanted_organisation_id uuid, wanted_id uuid, most integer) RETURNS bigint",
        f"""
        WITH RECURSIVE mine AS (
            SELECT j.queue, j.run_at, j.id FROM jobs j
            WHERE j.organisation_id = wanted_organisation_id AND j.id = wanted_id AND {WAITING}
        ), loads AS (
            SELECT j.organisation_id, count(*) AS job_count FROM jobs j, mine m
            WHERE j.queue = m.queue AND {IN_FLIGHT} GROUP BY 1
        ), total AS (
            SELECT coalesce(sum(job_count), 0) AS job_count FROM loads
        ), own AS (
            SELECT count(*) AS before_count FROM (
                SELECT FROM jobs j, mine m WHERE j.queue = m.queue AND j.organisation_id = wanted_organisation_id
                  AND {WAITING} AND (j.run_at, j.id) < (m.run_at, m.id) LIMIT most) o
        ), organisations_waiting AS (
            (SELECT j.organisation_id FROM jobs j, mine m WHERE j.queue = m.queue
               AND {WAITING} ORDER BY j.organisation_id LIMIT 1)
            UNION ALL
            SELECT n.organisation_id FROM organisations_waiting w CROSS JOIN LATERAL (
                SELECT j.organisation_id FROM jobs j, mine m WHERE j.queue = m.queue
                  AND {WAITING}
                  AND j.organisation_id > w.organisation_id ORDER BY j.organisation_id LIMIT 1) n
        ), standing AS (
            SELECT w.organisation_id, coalesce(l.job_count, 0) AS load,
                   coalesce(l.job_count, 0) >= 30 AND l.job_count * 10 > t.job_count AS is_noisy
            FROM organisations_waiting w CROSS JOIN total t LEFT JOIN loads l USING (organisation_id)
        )
        SELECT least(most, o.before_count + coalesce((
            SELECT sum(CASE
                WHEN s.is_noisy AND NOT me.is_noisy THEN 0
                WHEN me.is_noisy AND NOT s.is_noisy THEN waiting.job_count
                ELSE least(waiting.job_count, greatest(0, me.load + o.before_count + 1 - s.load))
            END)
            FROM standing s CROSS JOIN LATERAL (
                SELECT count(*) AS job_count FROM (
                    SELECT FROM jobs j, mine m WHERE j.queue = m.queue AND j.organisation_id = s.organisation_id
                      AND {WAITING} AND j.run_at <= m.run_at LIMIT most) c
            ) waiting
            WHERE s.organisation_id <> wanted_organisation_id
        ), 0))::bigint
        FROM own o CROSS JOIN standing me WHERE me.organisation_id = wanted_organisation_id
        """,
    )
    lend(
        "footfall_queue_state() RETURNS TABLE (queue text, waiting_count bigint, in_flight_count bigint,"
        " oldest_waiting_at timestamptz)",
        f"""
        SELECT q.queue,
            (SELECT count(*) FROM (SELECT FROM jobs j WHERE j.queue = q.queue AND {WAITING} AND j.run_at <= now()
                                   LIMIT {COUNTED + 1}) w),
            (SELECT count(*) FROM (SELECT FROM jobs j WHERE j.queue = q.queue AND {IN_FLIGHT}
                                   LIMIT {COUNTED + 1}) f),
            (SELECT min(j.run_at) FROM jobs j WHERE j.queue = q.queue AND {WAITING} AND j.run_at <= now())
        FROM (VALUES ('jobs'), ('imports')) AS q(queue)
        """,
    )
    lend(
        "footfall_due_recurring_jobs(due_at timestamptz, most integer) RETURNS TABLE (organisation_id uuid, id uuid)",
        """
        SELECT r.organisation_id, r.id FROM recurring_jobs r
        WHERE r.next_run_at <= due_at AND r.is_enabled ORDER BY r.next_run_at LIMIT most
        """,
    )
    lend(
        "footfall_prune_jobs(finished_before timestamptz, failed_before timestamptz, most integer) RETURNS bigint",
        """
        WITH old AS (
            SELECT j.organisation_id, j.id FROM jobs j
            WHERE j.ended_at < greatest(finished_before, failed_before)
              AND (j.ended_at < finished_before AND j.state IN ('completed', 'cancelled', 'discarded')
                   OR j.ended_at < failed_before AND j.state IN ('failed', 'dead'))
            LIMIT most FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM jobs j USING old o WHERE j.organisation_id = o.organisation_id AND j.id = o.id RETURNING 1
        )
        SELECT count(*) FROM gone
        """,
        language="sql VOLATILE",
    )
