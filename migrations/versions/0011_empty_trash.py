"""What empties the trash, of every organisation at once."""

from __future__ import annotations

from alembic import op

from migrations.rls import lend

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TRASHES = ("deleted_contacts", "deleted_products")


def upgrade() -> None:
    steps = [
        f"{table}_gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY("
        f"SELECT ctid FROM {table} WHERE deleted_at < before LIMIT most)) RETURNING 1)"
        for table in TRASHES
    ]
    total = " + ".join(f"(SELECT count(*) FROM {table}_gone)" for table in TRASHES)
    lend(
        "footfall_empty_trash(before timestamptz, most integer) RETURNS bigint",
        f"WITH {', '.join(steps)} SELECT {total}",
        "sql VOLATILE",
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_empty_trash(timestamptz, integer)")
