"""Beside an Idempotency-Key stands what its call asked for, so that another request under it can be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bulk_actions", sa.Column("idempotency_fingerprint", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("bulk_actions", "idempotency_fingerprint")
