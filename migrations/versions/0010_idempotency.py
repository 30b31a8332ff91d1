"""A repeated call with the same Idempotency-Key finds the bulk action of the first one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEX = "uq_bulk_actions_organisation_id_idempotency_key"


def upgrade() -> None:
    op.add_column("bulk_actions", sa.Column("idempotency_key", sa.Text(), nullable=True))
    op.create_index(
        INDEX,
        "bulk_actions",
        ["organisation_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, "bulk_actions")
    op.drop_column("bulk_actions", "idempotency_key")
