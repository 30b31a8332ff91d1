"""Looking refused merges up by person, and erasing what visits know of people who are gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend, protect

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
COUNTS = ("pageview_count", "visit_count", "bounce_count", "visit_ms", "event_count", "engaged_ms")
EMPTY_TRASH = "footfall_empty_trash(before timestamptz, most integer) RETURNS bigint"
TRASHES = ("deleted_contacts", "deleted_products")
GONE = [
    f"{table}_gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY("
    f"SELECT ctid FROM {table} WHERE deleted_at < before LIMIT most)) RETURNING *)"
    for table in TRASHES
]
TOTAL = " + ".join(f"(SELECT count(*) FROM {table}_gone)" for table in TRASHES)
KNOWN = " OR ".join(
    f"EXISTS (SELECT 1 FROM {table} k WHERE k.organisation_id = g.organisation_id AND k.{column} = g.email_key)"
    for table, column in (("identities", "identity"), ("refused_merges", "identity"), ("known_visitors", "visitor_key"))
)
# Of whom visits know something, unless there is a contact of that address again. What undoing kept of people goes, too.
# The planner cannot know how many rows go, so it is told to read the other tables once and not once for each.
AT_ONCE = "sql VOLATILE SET enable_nestloop = off"
ERASURES = f"""
    known AS MATERIALIZED (
        SELECT DISTINCT g.organisation_id, g.email_key FROM deleted_contacts_gone g
        WHERE ({KNOWN})
            AND NOT EXISTS (
                SELECT 1 FROM contacts c WHERE c.organisation_id = g.organisation_id AND c.email_key = g.email_key
                OFFSET 0
            )
    ),
    to_erase AS (
        INSERT INTO erasures (organisation_id, identity, requested_at)
        SELECT k.organisation_id, k.email_key, now() FROM known k
        WHERE NOT EXISTS (
            SELECT 1 FROM deleted_contacts d
            WHERE d.organisation_id = k.organisation_id AND d.email_key = k.email_key AND d.deleted_at >= before
        )
        ON CONFLICT (organisation_id, identity) DO UPDATE SET requested_at = excluded.requested_at, erased_at = NULL
    ),
    images AS (
        DELETE FROM before_images b USING deleted_contacts_gone g
        WHERE b.organisation_id = g.organisation_id AND b.record_id = g.id
    )
"""


def upgrade() -> None:
    op.create_index("ix_refused_merges_identity", "refused_merges", ["organisation_id", "identity"])
    op.create_index("ix_refused_merges_at", "refused_merges", ["organisation_id", "at", "site_id", "visitor"])
    op.create_table(
        "erasures",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("identity", sa.Text(collation="C"), nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("erased_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "identity", name="pk_erasures"),
    )
    protect("erasures")
    op.create_table(
        "erased_counts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("bucket_at", TIME, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "bucket_at", name="pk_erased_counts"),
    )
    protect("erased_counts")
    op.execute("DROP FUNCTION footfall_empty_trash(timestamptz, integer)")
    lend(EMPTY_TRASH, f"WITH {', '.join(GONE)}, {ERASURES} SELECT {TOTAL}", AT_ONCE)
    lend(
        "footfall_organisations_to_erase(forgotten_before timestamptz) RETURNS TABLE (organisation_id uuid)",
        """
        SELECT DISTINCT e.organisation_id FROM erasures e
        WHERE e.erased_at IS NULL OR e.erased_at < forgotten_before
        """,
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_organisations_to_erase(timestamptz)")
    op.execute("DROP FUNCTION footfall_empty_trash(timestamptz, integer)")
    lend(EMPTY_TRASH, f"WITH {', '.join(GONE)} SELECT {TOTAL}", "sql VOLATILE")
    op.drop_table("erased_counts")
    op.drop_table("erasures")
    op.drop_index("ix_refused_merges_at", "refused_merges")
    op.drop_index("ix_refused_merges_identity", "refused_merges")
