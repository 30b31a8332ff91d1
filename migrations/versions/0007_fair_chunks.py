"""Chunks are taken when a worker is free: organisations take turns, and an import may wait for its time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend, protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
WAITING = "state = 'pending' AND taken_at IS NULL"
TAKEN = "state = 'pending' AND taken_at IS NOT NULL"
OF_RUNNING = "b.state IN ('pending', 'running') AND (b.run_at IS NULL OR b.run_at <= moment)"
PLANNED_AHEAD = 64
"""So many chunks wait before planning another goes on."""
MIN_CHARGE = 1_000
"""Rows that a turn is worth at least."""
MARKS = ("start_mark", "end_mark", "organisation_start_mark", "organisation_end_mark")

# Each bulk action that has a waiting chunk, by one look into the index for each.
WITH_WAITING = f"""
    waiting AS (
        (SELECT c.organisation_id, c.bulk_action_id FROM bulk_action_chunks c WHERE c.{WAITING}
         ORDER BY c.organisation_id, c.bulk_action_id LIMIT 1)
        UNION ALL
        SELECT n.organisation_id, n.bulk_action_id FROM waiting w CROSS JOIN LATERAL (
            SELECT c.organisation_id, c.bulk_action_id FROM bulk_action_chunks c WHERE c.{WAITING}
              AND (c.organisation_id, c.bulk_action_id) > (w.organisation_id, w.bulk_action_id)
            ORDER BY c.organisation_id, c.bulk_action_id LIMIT 1) n
    ), due AS (
        SELECT w.organisation_id, w.bulk_action_id FROM waiting w
        JOIN bulk_actions b ON b.organisation_id = w.organisation_id AND b.id = w.bulk_action_id
        WHERE {OF_RUNNING}
    )
"""
BY_INDEX = "SET enable_seqscan TO off SET enable_bitmapscan TO off"


def upgrade() -> None:
    _change_bulk_actions()
    _change_chunks()
    _create_turns()
    _create_take()
    _create_count()
    op.execute("DROP FUNCTION footfall_unswept_bulk_actions(integer)")
    _create_unswept("(b.state = 'pending' AND b.run_at IS NOT NULL AND b.run_at > now()), b.id")


def downgrade() -> None:
    for function in ("footfall_take_chunk", "footfall_count_waiting_chunks", "footfall_unswept_bulk_actions"):
        op.execute(f"DROP FUNCTION {function}")
    _create_unswept("b.id")
    op.drop_table("bulk_action_turns")
    for index in ("ix_bulk_action_chunks_waiting", "ix_bulk_action_chunks_taken"):
        op.drop_index(index, "bulk_action_chunks")
    op.add_column("bulk_action_chunks", sa.Column("sent_at", TIME, nullable=True))
    op.drop_column("bulk_action_chunks", "taken_at")
    for name in ("given_up_chunk_count", "wait_reason", "run_at"):
        op.drop_column("bulk_actions", name)


def _change_bulk_actions() -> None:
    op.add_column("bulk_actions", sa.Column("run_at", TIME, nullable=True))
    op.add_column("bulk_actions", sa.Column("wait_reason", sa.Text(), nullable=True))
    count = sa.Column("given_up_chunk_count", sa.Integer(), nullable=False, server_default="0")
    op.add_column("bulk_actions", count)
    op.alter_column("bulk_actions", "given_up_chunk_count", server_default=None)


def _change_chunks() -> None:
    """What is left of bulk actions that are over will never be taken."""
    op.add_column("bulk_action_chunks", sa.Column("taken_at", TIME, nullable=True))
    op.drop_column("bulk_action_chunks", "sent_at")
    op.execute(
        "DELETE FROM bulk_action_chunks c USING bulk_actions b WHERE c.state = 'pending'"
        " AND b.organisation_id = c.organisation_id AND b.id = c.bulk_action_id"
        " AND b.state IN ('completed', 'failed', 'cancelled')"
    )
    for name, columns, where in (
        ("waiting", ["organisation_id", "bulk_action_id", "phase", "index"], WAITING),
        ("taken", ["organisation_id", "bulk_action_id"], TAKEN),
    ):
        op.create_index(f"ix_bulk_action_chunks_{name}", "bulk_action_chunks", columns, postgresql_where=sa.text(where))


def _create_turns() -> None:
    op.create_table(
        "bulk_action_turns",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in MARKS),
        sa.Column("taken_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "bulk_action_id", name="pk_bulk_action_turns"),
        sa.ForeignKeyConstraint(
            ["organisation_id", "bulk_action_id"],
            ["bulk_actions.organisation_id", "bulk_actions.id"],
            ondelete="CASCADE",
            name="fk_bulk_action_turns_organisation_id_bulk_action_id",
        ),
    )
    protect("bulk_action_turns")


def _create_take() -> None:
    """The chunk whose turn it is, marked as taken by one attempt more.

    Turns are fair queueing by rows: a turn starts where its organisation's last one ended, a newcomer's where the
    present one does, and the smallest start comes first; so whoever's chunks are small gets as many rows done as the
    others. Within an organisation its bulk actions take turns alike.

    A chunk that was tried before may be what killed its worker, and with it whatever else was in that process: only
    one such chunk is at work at a time, so that it does not take the same company with it again.
    """
    of_candidate = f"""
        FROM bulk_action_chunks c
        WHERE c.organisation_id = candidate.organisation_id AND c.bulk_action_id = candidate.bulk_action_id
          AND c.{WAITING} AND (may_retry OR c.attempt_count = 0)
    """
    lend(
        "footfall_take_chunk(moment timestamptz)"
        " RETURNS TABLE (organisation_id uuid, bulk_action_id uuid, phase text, index integer, attempt_count integer)",
        f"""
        DECLARE
            present_mark bigint; may_retry boolean; candidate record; chosen record; charge bigint;
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtextextended('take chunk', 0));
            SELECT coalesce(max(t.organisation_start_mark), 0) INTO present_mark FROM bulk_action_turns t;
            may_retry := NOT EXISTS (
                SELECT FROM bulk_action_chunks c
                JOIN bulk_actions b ON b.organisation_id = c.organisation_id AND b.id = c.bulk_action_id
                WHERE c.{TAKEN} AND c.attempt_count > 1 AND b.state IN ('pending', 'running'));
            FOR candidate IN
                WITH RECURSIVE {WITH_WAITING}, organisation_turns AS (
                    SELECT t.organisation_id, max(t.organisation_end_mark) AS end_mark, max(t.start_mark) AS present,
                           max(t.taken_at) AS taken_at
                    FROM bulk_action_turns t GROUP BY t.organisation_id
                )
                SELECT d.organisation_id, d.bulk_action_id,
                       greatest(present_mark, o.end_mark) AS organisation_start_mark,
                       greatest(coalesce(o.present, 0), t.end_mark) AS start_mark
                FROM due d
                LEFT JOIN organisation_turns o ON o.organisation_id = d.organisation_id
                LEFT JOIN bulk_action_turns t
                    ON t.organisation_id = d.organisation_id AND t.bulk_action_id = d.bulk_action_id
                ORDER BY 3, o.taken_at NULLS FIRST, 1, 4, t.taken_at NULLS FIRST, 2
            LOOP
                SELECT c.phase, c.index, c.row_count INTO chosen {of_candidate} AND c.phase = 'plan' AND (
                    SELECT count(*) FROM (
                        SELECT FROM bulk_action_chunks a
                        WHERE a.organisation_id = c.organisation_id AND a.bulk_action_id = c.bulk_action_id
                          AND a.{WAITING} AND a.phase <> 'plan' LIMIT {PLANNED_AHEAD}) ahead
                ) < {PLANNED_AHEAD} LIMIT 1 FOR UPDATE OF c SKIP LOCKED;
                IF NOT FOUND THEN
                    SELECT c.phase, c.index, c.row_count INTO chosen {of_candidate} AND c.phase <> 'plan'
                    ORDER BY c.phase, c.index LIMIT 1 FOR UPDATE OF c SKIP LOCKED;
                END IF;
                IF FOUND THEN
                    charge := greatest(chosen.row_count, {MIN_CHARGE});
                    INSERT INTO bulk_action_turns AS t VALUES (
                        candidate.organisation_id, candidate.bulk_action_id,
                        candidate.start_mark, candidate.start_mark + charge,
                        candidate.organisation_start_mark, candidate.organisation_start_mark + charge, moment)
                    ON CONFLICT (organisation_id, bulk_action_id) DO UPDATE SET
                        {", ".join(f"{mark} = excluded.{mark}" for mark in MARKS)}, taken_at = moment;
                    RETURN QUERY UPDATE bulk_action_chunks c
                    SET taken_at = moment, started_at = moment, attempt_count = c.attempt_count + 1
                    WHERE c.organisation_id = candidate.organisation_id
                      AND c.bulk_action_id = candidate.bulk_action_id
                      AND c.phase = chosen.phase AND c.index = chosen.index
                    RETURNING c.organisation_id, c.bulk_action_id, c.phase::text, c.index, c.attempt_count;
                    RETURN;
                END IF;
            END LOOP;
        END
        """,
        f"plpgsql VOLATILE {BY_INDEX}",
    )


def _create_count() -> None:
    """Chunks that a worker might take now, up to a limit."""
    lend(
        "footfall_count_waiting_chunks(moment timestamptz, most integer) RETURNS bigint",
        f"""
        WITH RECURSIVE {WITH_WAITING}
        SELECT count(*) FROM (
            SELECT FROM due d CROSS JOIN LATERAL (
                SELECT FROM bulk_action_chunks c WHERE c.organisation_id = d.organisation_id
                  AND c.bulk_action_id = d.bulk_action_id AND c.{WAITING} LIMIT most) c
            LIMIT most) waiting_chunks
        """,
        f"sql STABLE {BY_INDEX}",
    )


def _create_unswept(order: str) -> None:
    lend(
        "footfall_unswept_bulk_actions(most integer) RETURNS TABLE (organisation_id uuid, id uuid)",
        "SELECT b.organisation_id, b.id FROM bulk_actions b WHERE b.state <> 'draft' AND b.cleaned_at IS NULL"
        f" ORDER BY {order} LIMIT most",
    )
