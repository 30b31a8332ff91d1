"""What a beacon tells beyond its page, visits, and the roll-ups of every dimension."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import protect

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NEW_TABLES = ("dimension_roll_ups", "visits", "raw_chunks", "drop_counts")
SITE_COUNTS = ("visit_count", "bounce_count", "visit_ms", "event_count", "engaged_ms")
PAGE_COUNTS = ("entry_count", "exit_count", "bounce_count", "engaged_ms", "scroll_sum", "scroll_count")


def upgrade() -> None:
    _give_sites_a_zone()
    _add_counts("site_roll_ups", SITE_COUNTS)
    _add_counts("page_roll_ups", PAGE_COUNTS)
    _create_dimension_roll_ups()
    _create_visits()
    _create_raw_chunks()
    _create_drop_counts()
    for table in NEW_TABLES:
        protect(table)


def downgrade() -> None:
    for table in reversed(NEW_TABLES):
        op.drop_table(table)
    for table, columns in (("page_roll_ups", PAGE_COUNTS), ("site_roll_ups", SITE_COUNTS), ("sites", ("time_zone",))):
        for column in columns:
            op.drop_column(table, column)


def _give_sites_a_zone() -> None:
    op.add_column("sites", sa.Column("time_zone", sa.Text(), nullable=True))
    op.execute("UPDATE sites SET time_zone = o.time_zone FROM organisations o WHERE o.id = sites.organisation_id")
    op.alter_column("sites", "time_zone", nullable=False)


def _add_counts(table: str, columns: tuple[str, ...]) -> None:
    """Counts that begin at zero for what was counted before."""
    for column in columns:
        op.add_column(table, sa.Column(column, sa.BigInteger(), nullable=False, server_default="0"))
        op.alter_column(table, column, server_default=None)


def _create_dimension_roll_ups() -> None:
    op.create_table(
        "dimension_roll_ups",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("dimension", sa.String(32), nullable=False),
        sa.Column("grain", sa.String(32), nullable=False),
        sa.Column("bucket_at", TIME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("pageview_count", sa.BigInteger(), nullable=False),
        sa.Column("visit_count", sa.BigInteger(), nullable=False),
        sa.Column("bounce_count", sa.BigInteger(), nullable=False),
        sa.Column("visit_ms", sa.BigInteger(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.Column("visitors", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint(
            "organisation_id", "site_id", "dimension", "grain", "bucket_at", "value", name="pk_dimension_roll_ups"
        ),
    )


def _create_visits() -> None:
    op.create_table(
        "visits",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("visitor", sa.BigInteger(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("visit", sa.BigInteger(), nullable=False),
        sa.Column("pageview_count", sa.Integer(), nullable=False),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("entry_page", sa.Text(), nullable=False),
        sa.Column("exit_page", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "visitor", "started_at", name="pk_visits"),
    )


def _create_raw_chunks() -> None:
    op.create_table(
        "raw_chunks",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("chunk", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("from_at", TIME, nullable=False),
        sa.Column("to_at", TIME, nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "kind", "chunk", name="pk_raw_chunks"),
    )
    # Parquet is compressed already: trying again costs time and gains nothing.
    op.execute("ALTER TABLE raw_chunks ALTER COLUMN content SET STORAGE EXTERNAL")


def _create_drop_counts() -> None:
    op.create_table(
        "drop_counts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("drop_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "day", "reason", name="pk_drop_counts"),
    )
