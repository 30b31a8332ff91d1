"""Whether a bulk action was undone is asked for every time it is shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEX = "ix_bulk_actions_organisation_id_source_id"


def upgrade() -> None:
    where = sa.text("source_id IS NOT NULL")
    op.create_index(INDEX, "bulk_actions", ["organisation_id", "source_id"], postgresql_where=where)


def downgrade() -> None:
    op.drop_index(INDEX, "bulk_actions")
