"""Product views, SKU by SKU: of each site's days, and of the last thirty days together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend, protect

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLES = ("product_view_days", "product_view_day_counts", "product_view_windows", "product_view_totals")


def upgrade() -> None:
    _create_days()
    _create_totals()
    for table in TABLES:
        protect(table)
    for table in ("product_view_days", "product_view_totals"):
        # Rows are changed again and again: with room beside them, fewer indexes have to be touched.
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 80)")
    lend("footfall_due_product_views(before date) RETURNS SETOF uuid", DUE_ORGANISATIONS)


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_due_product_views(date)")
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_days() -> None:
    """The days of a batch lie together; a product's days are found by the index."""
    op.create_table(
        "product_view_days",
        *_site_day(),
        sa.Column("sku_key", sa.Text(collation="C"), nullable=False),
        sa.Column("view_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "day", "sku_key", name="pk_product_view_days"),
    )
    op.create_index("ix_product_view_days_sku_key", "product_view_days", ["organisation_id", "sku_key", "day"])
    op.create_table(
        "product_view_day_counts",
        *_site_day(),
        sa.Column("sku_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "day", name="pk_product_view_day_counts"),
    )


def _create_totals() -> None:
    op.create_table(
        "product_view_windows",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", name="pk_product_view_windows"),
    )
    op.create_table(
        "product_view_totals",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("sku_key", sa.Text(collation="C"), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("view_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "sku_key", name="pk_product_view_totals"),
    )
    op.create_index(
        "ix_product_view_totals_view_count", "product_view_totals", ["organisation_id", "view_count", "sku_key"]
    )


def _site_day() -> list[sa.Column[object]]:
    return [
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
    ]


DUE_ORGANISATIONS = """
    SELECT DISTINCT organisation_id FROM product_view_windows WHERE first_day < before ORDER BY 1
"""
