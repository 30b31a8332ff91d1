"""Weekly reports by mail, saved funnels, and links that show goals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.rls import lend, protect

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
TABLES = ("weekly_subscriptions", "weekly_mails", "visit_funnels")
SITES = (
    "footfall_sites_with_weekly_mail() RETURNS TABLE (organisation_id uuid, site_id uuid, time_zone text)",
    """
        SELECT s.organisation_id, s.id, s.time_zone FROM sites s
        WHERE EXISTS (
            SELECT FROM weekly_subscriptions w WHERE w.organisation_id = s.organisation_id AND w.site_id = s.id
        )
        ORDER BY 1, 2
    """,
)


def upgrade() -> None:
    op.create_table("weekly_subscriptions", *_whose("weekly_subscriptions"), _made(), *_keys("weekly_subscriptions"))
    op.create_table(
        "weekly_mails",
        *_whose("weekly_mails"),
        sa.Column("monday", sa.Date(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _made(),
        sa.Column("ended_at", TIME, nullable=True),
        *_keys("weekly_mails", "monday"),
    )
    op.create_table(
        "visit_funnels",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("steps", JSONB(), nullable=False),
        _made(),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_visit_funnels"),
        _of_site("visit_funnels"),
        sa.UniqueConstraint("organisation_id", "site_id", "name", name="uq_visit_funnels_organisation_id_site_id_name"),
    )
    op.add_column("shared_links", sa.Column("shows_goals", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.alter_column("shared_links", "shows_goals", server_default=None)
    for table in TABLES:
        protect(table)
    lend(*SITES)


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_sites_with_weekly_mail()")
    op.drop_column("shared_links", "shows_goals")
    for table in reversed(TABLES):
        op.drop_table(table)


def _whose(table: str) -> list[sa.Column[object]]:
    """A site and a person of its organisation."""
    return [
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id", name=f"fk_{table}_user_id"), nullable=False),
    ]


def _made() -> sa.Column[object]:
    return sa.Column("created_at", TIME, nullable=False)


def _keys(table: str, *more: str) -> list[sa.Constraint]:
    key = ("organisation_id", "site_id", *more, "user_id")
    return [sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"), _of_site(table)]


def _of_site(table: str) -> sa.ForeignKeyConstraint:
    """What is a site's goes with it."""
    return sa.ForeignKeyConstraint(
        ["organisation_id", "site_id"],
        ["sites.organisation_id", "sites.id"],
        name=f"fk_{table}_organisation_id_site_id",
        ondelete="CASCADE",
    )
