"""Details of bulk actions that ended long ago go; their numbers stay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bulk_actions", sa.Column("details_removed_at", sa.TIMESTAMP(timezone=True), nullable=True))
    op.create_index(
        "ix_bulk_actions_with_details",
        "bulk_actions",
        ["ended_at"],
        postgresql_where=sa.text("ended_at IS NOT NULL AND details_removed_at IS NULL"),
    )
    lend(
        "footfall_bulk_actions_with_details(before timestamptz, most integer) RETURNS TABLE (a uuid, b uuid)",
        "SELECT b.organisation_id, b.id FROM bulk_actions b"
        " WHERE b.ended_at < before AND b.ended_at IS NOT NULL AND b.details_removed_at IS NULL"
        " AND NOT EXISTS (SELECT FROM bulk_actions u WHERE u.organisation_id = b.organisation_id"
        "  AND u.source_id = b.id AND u.ended_at IS NULL)"
        " ORDER BY b.ended_at LIMIT most",
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_bulk_actions_with_details(timestamptz, integer)")
    op.drop_index("ix_bulk_actions_with_details", "bulk_actions")
    op.drop_column("bulk_actions", "details_removed_at")
