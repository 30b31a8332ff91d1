"""Files of raw rows, and looks across organisations for what is to be done with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend, protect

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

FUNCTIONS = {
    "footfall_chunks_to_seal(small integer, rows bigint, chunks integer, before timestamptz)"
    " RETURNS TABLE (organisation_id uuid, site_id uuid, kind text)": """
        SELECT c.organisation_id, c.site_id, c.kind FROM raw_chunks c
        WHERE c.row_count >= small OR c.from_at < before GROUP BY 1, 2, 3
        HAVING sum(c.row_count) >= rows OR count(*) >= chunks OR min(c.from_at) < before
    """,
    "footfall_files_to_merge(files integer, rows bigint, closed_before date)"
    " RETURNS TABLE (organisation_id uuid, site_id uuid, kind text, month date)": """
        SELECT f.organisation_id, f.site_id, f.kind, f.month FROM sealed_files f
        WHERE f.state = 'sealed' AND f.row_count < rows GROUP BY 1, 2, 3, 4
        HAVING count(*) >= files OR (count(*) > 1 AND f.month < closed_before)
    """,
    "footfall_files_to_sweep(written_before timestamptz, retired_before timestamptz)"
    " RETURNS TABLE (organisation_id uuid, site_id uuid, id uuid, state text)": """
        SELECT f.organisation_id, f.site_id, f.id, f.state FROM sealed_files f
        WHERE (f.state = 'writing' AND f.created_at < written_before)
            OR (f.state = 'retired' AND f.retired_at < retired_before)
    """,
    "footfall_sites_with_retention() RETURNS TABLE (organisation_id uuid, id uuid, retention_days integer)": """
        SELECT s.organisation_id, s.id, s.retention_days FROM sites s WHERE s.retention_days IS NOT NULL
    """,
}
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sealed_files",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("from_chunk", sa.BigInteger(), nullable=False),
        sa.Column("to_chunk", sa.BigInteger(), nullable=False),
        sa.Column("from_at", TIME, nullable=False),
        sa.Column("to_at", TIME, nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("retired_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "site_id", "id", name="pk_sealed_files"),
    )
    protect("sealed_files")
    for signature, body in FUNCTIONS.items():
        lend(signature, body)


def downgrade() -> None:
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature.partition('(')[0]}")
    op.drop_table("sealed_files")
