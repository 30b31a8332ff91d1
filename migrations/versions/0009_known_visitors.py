"""Known visitors: what each visitor did whose identifier can name a record, filled from the pageviews so far."""

from __future__ import annotations

import re
import unicodedata

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text

from migrations.rls import protect

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ROLL_UP_LOCK = 7_305_010
ROWS_AT_ONCE = 10_000
EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
MACHINE_MADE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|[0-9a-z]{20,}")


def upgrade() -> None:
    _create_tables()
    # The roll-up waits meanwhile, so that no pageview is left out or counted twice.
    op.execute(f"SELECT pg_advisory_xact_lock({ROLL_UP_LOCK})")
    fill()
    for table in ("known_visitors", "known_visitor_counts"):
        protect(table)


def downgrade() -> None:
    op.drop_table("known_visitor_counts")
    op.drop_table("known_visitors")


def _create_tables() -> None:
    """Known visitors are changed more often than added: room in each page lets the index rest."""
    op.create_table(
        "known_visitors",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("visitor_key", sa.Text(collation="C"), nullable=False),
        sa.Column("first_seen_at", TIME, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("pageview_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "visitor_key", name="pk_known_visitors"),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "known_visitor_counts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("visitor_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "kind", name="pk_known_visitor_counts"),
    )


def fill() -> None:
    """Every pageview so far. Identifiers are folded here: PostgreSQL's `lower` depends on the database's locale."""
    connection = op.get_bind()
    options = {"stream_results": True, "yield_per": ROWS_AT_ONCE}
    for seen in connection.execute(text(SEEN_VISITORS), execution_options=options).partitions():
        keyed = [{**row._mapping, "visitor_key": _visitor_key(row.visitor)} for row in seen]
        rows = [row for row in keyed if row["visitor_key"] is not None]
        if rows:
            connection.execute(text(ADD_VISITOR), rows)
    connection.execute(text(FILL_COUNTS))


def _visitor_key(identifier: str) -> str | None:
    key = unicodedata.normalize("NFC", identifier.strip()).lower()
    if "@" in key:
        return key if len(key) <= 254 and EMAIL.fullmatch(key) else None
    return key if 0 < len(key) <= 100 and not MACHINE_MADE.fullmatch(key) else None


# The tracker's own identifiers, most of all there are, are left out before they are grouped.
SEEN_VISITORS = """
    SELECT organisation_id, visitor, min(visited_at) AS first_seen_at, max(visited_at) AS last_seen_at,
        count(*) AS pageview_count
    FROM pageviews
    WHERE visitor !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    GROUP BY 1, 2
"""
ADD_VISITOR = """
    INSERT INTO known_visitors (organisation_id, visitor_key, first_seen_at, last_seen_at, pageview_count)
    VALUES (:organisation_id, :visitor_key, :first_seen_at, :last_seen_at, :pageview_count)
    ON CONFLICT (organisation_id, visitor_key) DO UPDATE SET
        first_seen_at = least(known_visitors.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(known_visitors.last_seen_at, excluded.last_seen_at),
        pageview_count = known_visitors.pageview_count + excluded.pageview_count
"""
FILL_COUNTS = """
    INSERT INTO known_visitor_counts (organisation_id, kind, visitor_count)
    SELECT organisation_id, CASE WHEN strpos(visitor_key, '@') > 0 THEN 'email' ELSE 'other' END, count(*)
    FROM known_visitors GROUP BY 1, 2
"""
