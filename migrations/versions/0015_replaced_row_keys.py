"""A row that a later one replaced says whose it was, so that a report leads to the record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("replaced_rows", sa.Column("record_key", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("replaced_rows", "record_key")
