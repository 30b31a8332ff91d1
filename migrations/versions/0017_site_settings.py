"""What a site takes: exclusions, privacy, limits, and the secret that it shares with its own server."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

LISTS = ("query_keys", "excluded_pages", "excluded_addresses", "excluded_countries")
FLAGS = {"drops_bots": "true", "respects_dnt": "false", "is_cookieless": "false", "counts_fragments": "false"}
RATE_LIMIT = "1000"


def upgrade() -> None:
    op.add_column("sites", sa.Column("retention_days", sa.Integer(), nullable=True))
    for name in LISTS:
        _add(name, JSONB(), "[]")
    for name, default in FLAGS.items():
        _add(name, sa.Boolean(), default)
    _add("rate_limit", sa.Integer(), RATE_LIMIT)
    _give_secrets()


def downgrade() -> None:
    for name in ("identify_secret", "rate_limit", *FLAGS, *LISTS, "retention_days"):
        op.drop_column("sites", name)


def _add(name: str, column_type: sa.types.TypeEngine[object], default: str) -> None:
    """A column that the sites which are there get this value in."""
    op.add_column("sites", sa.Column(name, column_type, nullable=False, server_default=default))
    op.alter_column("sites", name, server_default=None)


def _give_secrets() -> None:
    op.add_column("sites", sa.Column("identify_secret", sa.Text(), nullable=True))
    connection = op.get_bind()
    for organisation_id, site_id in connection.execute(sa.text("SELECT organisation_id, id FROM sites")).all():
        connection.execute(
            sa.text("UPDATE sites SET identify_secret = :secret WHERE organisation_id = :organisation_id AND id = :id"),
            {"secret": f"fis_{secrets.token_hex(32)}", "organisation_id": organisation_id, "id": site_id},
        )
    op.alter_column("sites", "identify_secret", nullable=False)
