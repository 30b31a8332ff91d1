"""Goals, segments, notes on the chart of a site's visits, and links that show it to others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.rls import protect

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES: dict[str, list[sa.Column[object]]] = {
    "goals": [
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("operator", sa.String(32), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
    ],
    "visit_segments": [
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("filters", JSONB(), nullable=False),
    ],
    "chart_notes": [
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
    ],
    "shared_links": [
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("filters", JSONB(), nullable=False),
    ],
}
NAME = ("organisation_id", "site_id", "name")
UNIQUE = {"goals": [NAME], "visit_segments": [NAME], "shared_links": [("organisation_id", "secret")]}


def upgrade() -> None:
    for table, columns in TABLES.items():
        _create(table, columns)
        protect(table)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _create(table: str, columns: list[sa.Column[object]]) -> None:
    """A site's table, with what there is only once."""
    op.create_table(
        table,
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        *columns,
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["organisation_id", "site_id"],
            ["sites.organisation_id", "sites.id"],
            name=f"fk_{table}_organisation_id_site_id",
        ),
        *(sa.UniqueConstraint(*key, name=f"uq_{table}_{'_'.join(key)}") for key in UNIQUE.get(table, [])),
    )
