"""Contacts who did something on the websites, remembered for an hour or two."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend, protect

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

SET = ["organisation_id", "set_id"]


def upgrade() -> None:
    op.create_table(
        "behaviour_sets",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("member_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_behaviour_sets"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_behaviour_sets_organisation_id_organisations"
        ),
    )
    op.create_index(
        "ix_behaviour_sets_organisation_id_fingerprint_made_at",
        "behaviour_sets",
        ["organisation_id", "fingerprint", "made_at"],
    )
    op.create_table(
        "behaviour_members",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("set_id", sa.Uuid(), nullable=False),
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.PrimaryKeyConstraint(*SET, "first_id", name="pk_behaviour_members"),
        sa.ForeignKeyConstraint(
            SET,
            ["behaviour_sets.organisation_id", "behaviour_sets.id"],
            name="fk_behaviour_members_organisation_id_set_id_behaviour_sets",
            ondelete="CASCADE",
        ),
    )
    for table in ("behaviour_sets", "behaviour_members"):
        protect(table)
    op.execute("ALTER TABLE behaviour_members ALTER COLUMN ids SET STORAGE PLAIN")
    lend(
        "footfall_forget_behaviour_sets(before timestamptz, most integer) RETURNS bigint",
        """
        WITH old AS (
            SELECT s.organisation_id, s.id FROM behaviour_sets s WHERE s.made_at < before
            LIMIT most FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM behaviour_sets s USING old
            WHERE s.organisation_id = old.organisation_id AND s.id = old.id RETURNING 1
        )
        SELECT count(*) FROM gone
        """,
        "sql VOLATILE",
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_forget_behaviour_sets(timestamptz, integer)")
    op.drop_table("behaviour_members")
    op.drop_table("behaviour_sets")
