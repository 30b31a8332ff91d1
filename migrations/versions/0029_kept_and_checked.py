"""What was laid aside says whose it is and can be counted again; how each site's last check ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from migrations.rls import lend, protect

revision = "0029"
down_revision = "0027"
branch_labels = None
depends_on = None

TIME = sa.TIMESTAMP(timezone=True)
LAID_ASIDE = """
    SELECT d.organisation_id, coalesce(o.name, ''), d.site_id, s.name, split_part(d.reason, ':', 1), min(d.reason),
        count(*), min(d.created_at), max(d.created_at)
    FROM dead_beacons d
    LEFT JOIN organisations o ON o.id = d.organisation_id
    LEFT JOIN sites s ON s.organisation_id = d.organisation_id AND s.id = d.site_id
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 7 DESC, 1, 3, 5 LIMIT most
"""
UNCHECKED = """
    SELECT DISTINCT s.organisation_id FROM sites s
    LEFT JOIN site_checks c ON c.organisation_id = s.organisation_id AND c.site_id = s.id
    WHERE s.erasing_at IS NULL AND coalesce(c.checked_at, s.created_at) < since AND NOT EXISTS (
        SELECT 1 FROM jobs j WHERE j.organisation_id = s.organisation_id AND j.kind = 'check_roll_ups'
        AND (j.ended_at IS NULL OR j.ended_at > tried_since)
    )
"""
CHECKS = """
    SELECT coalesce(sum(c.difference_count), 0), count(*) FILTER (WHERE c.difference_count > 0),
        min(coalesce(c.checked_at, s.created_at))
    FROM sites s LEFT JOIN site_checks c ON c.organisation_id = s.organisation_id AND c.site_id = s.id
    WHERE s.erasing_at IS NULL
"""
FORMER_UNCHECKED = """
    SELECT DISTINCT organisation_id FROM sites s WHERE NOT EXISTS (
        SELECT 1 FROM jobs j
        WHERE j.organisation_id = s.organisation_id AND j.kind = 'check_roll_ups' AND j.created_at > since
    )
"""


def upgrade() -> None:
    op.add_column("sites", sa.Column("broken_at", TIME, nullable=True))
    op.add_column("dead_beacons", sa.Column("site_id", sa.Uuid(), nullable=True))
    op.add_column("dead_beacons", sa.Column("visitor", sa.BigInteger(), nullable=True))
    op.add_column("dead_beacons", sa.Column("keys", ARRAY(sa.Text()), nullable=False, server_default="{}"))
    op.alter_column("dead_beacons", "keys", server_default=None)
    op.create_table(
        "site_checks",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("checked_at", TIME, nullable=False),
        sa.Column("difference_count", sa.BigInteger(), nullable=False),
        sa.Column("differences", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", name="pk_site_checks"),
    )
    protect("site_checks")
    lend(
        "footfall_laid_aside(most integer) RETURNS TABLE (organisation_id uuid, organisation_name text, site_id uuid,"
        " site_name text, error text, reason text, number bigint, first_at timestamptz, last_at timestamptz)",
        LAID_ASIDE,
    )
    lend("footfall_checks() RETURNS TABLE (difference_count numeric, site_count bigint, oldest_at timestamptz)", CHECKS)
    op.execute("DROP FUNCTION footfall_unchecked_organisations(timestamptz)")
    lend("footfall_unchecked_organisations(since timestamptz, tried_since timestamptz) RETURNS SETOF uuid", UNCHECKED)


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_unchecked_organisations(timestamptz, timestamptz)")
    op.execute("DROP FUNCTION footfall_checks()")
    op.execute("DROP FUNCTION footfall_laid_aside(integer)")
    op.drop_table("site_checks")
    for name in ("keys", "visitor", "site_id"):
        op.drop_column("dead_beacons", name)
    op.drop_column("sites", "broken_at")
    lend("footfall_unchecked_organisations(since timestamptz) RETURNS SETOF uuid", FORMER_UNCHECKED)
