"""Files of raw rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import protect

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sealed_files",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("from_chunk", sa.BigInteger(), nullable=False),
        sa.Column("to_chunk", sa.BigInteger(), nullable=False),
        sa.Column("from_at", TIME, nullable=False),
        sa.Column("to_at", TIME, nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("retired_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "id", name="pk_sealed_files"),
    )
    protect("sealed_files")


def downgrade() -> None:
    op.drop_table("sealed_files")
