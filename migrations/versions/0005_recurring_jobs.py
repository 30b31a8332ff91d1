"""Recurring jobs say what they skipped, and find their runs; old reservations can be forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recurring_jobs", sa.Column("skipped_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("recurring_jobs", sa.Column("skip_reason", sa.Text(), nullable=True))
    runs = ["organisation_id", "recurring_job_id", "id"]
    op.create_index("ix_jobs_recurring", "jobs", runs, postgresql_where=sa.text("recurring_job_id IS NOT NULL"))
    lend(
        "footfall_prune_rate_reservations(reserved_before timestamptz) RETURNS bigint",
        """
        WITH gone AS (
            DELETE FROM rate_reservations r WHERE r.reserved_at < reserved_before AND (
                r.used_at IS NOT NULL OR NOT EXISTS (
                    SELECT FROM jobs j WHERE j.organisation_id = r.organisation_id AND j.id = r.job_id
                      AND j.state IN ('pending', 'retrying', 'running')))
            RETURNING 1
        )
        SELECT count(*) FROM gone
        """,
        "sql VOLATILE",
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_prune_rate_reservations(timestamptz)")
    op.drop_index("ix_jobs_recurring", "jobs")
    op.drop_column("recurring_jobs", "skip_reason")
    op.drop_column("recurring_jobs", "skipped_at")
