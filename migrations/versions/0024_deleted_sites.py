"""Sites that are deleted, and those whose rows are being removed for good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
SITES_TO_ERASE = """
    SELECT s.organisation_id, s.id FROM sites s WHERE s.deleted_at < before ORDER BY s.deleted_at
"""


def upgrade() -> None:
    op.add_column("sites", sa.Column("deleted_at", TIME, nullable=True))
    op.add_column("sites", sa.Column("deleted_by", sa.Uuid(), nullable=True))
    op.add_column("sites", sa.Column("erasing_at", TIME, nullable=True))
    lend(
        "footfall_sites_to_erase(before timestamptz) RETURNS TABLE (organisation_id uuid, id uuid)",
        SITES_TO_ERASE,
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_sites_to_erase(timestamptz)")
    for name in ("erasing_at", "deleted_by", "deleted_at"):
        op.drop_column("sites", name)
