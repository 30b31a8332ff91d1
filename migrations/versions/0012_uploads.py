"""Uploads that go on after a broken connection."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.rls import lend, protect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ORGANISATION = ["organisation_id"], ["organisations.id"]


def upgrade() -> None:
    _create_uploads()
    _create_pieces()
    lend(
        "footfall_prune_uploads(before timestamptz) RETURNS void",
        "DELETE FROM resumable_uploads WHERE written_at < before",
        "sql VOLATILE",
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_prune_uploads(timestamptz)")
    for table in ("upload_pieces", "resumable_uploads"):
        op.drop_table(table)


def _create_uploads() -> None:
    op.create_table(
        "resumable_uploads",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("received_byte_count", sa.BigInteger(), nullable=False),
        sa.Column("writer_id", sa.Uuid(), nullable=True),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("written_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(*ORGANISATION, name="fk_resumable_uploads_organisation_id"),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_resumable_uploads"),
    )
    op.create_index("ix_resumable_uploads_written_at", "resumable_uploads", ["written_at"])
    protect("resumable_uploads")


def _create_pieces() -> None:
    op.create_table(
        "upload_pieces",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("start_offset", sa.BigInteger(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("writer_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id", "upload_id"],
            ["resumable_uploads.organisation_id", "resumable_uploads.id"],
            name="fk_upload_pieces_organisation_id_upload_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organisation_id", "upload_id", "start_offset", name="pk_upload_pieces"),
    )
    protect("upload_pieces")
