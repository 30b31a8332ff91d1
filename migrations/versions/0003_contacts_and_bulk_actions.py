"""Contacts, bulk actions with their chunks, and the rows that wait for a merge."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.rls import APP_ROLE, grant, protect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
KEY = sa.Text(collation="C")
CELLS = ("first_name", "last_name", "phone", "company", "job_title", "city", "country")
FULL_NAME = "btrim(coalesce(first_name, '') || ' ' || coalesce(last_name, ''))"


def upgrade() -> None:
    _create_contacts()
    _create_staging()
    _create_bulk_actions()
    _create_reports()
    _create_mappings()
    _create_functions()


def downgrade() -> None:
    op.execute("DROP FUNCTION footfall_unswept_bulk_actions(integer)")
    for table in ("import_mappings", "replaced_rows", "rejected_rows", "bulk_action_chunks", "bulk_actions"):
        op.drop_table(table)
    for table in ("staged_contacts", "contacts"):
        op.drop_table(table)


def _create_contacts() -> None:
    op.create_table(
        "contacts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in CELLS),
        sa.Column("email_key", KEY, nullable=False),
        sa.Column("name_key", KEY, sa.Computed(f"lower({FULL_NAME})", persisted=True), nullable=False),
        sa.Column("last_name_key", KEY, sa.Computed("lower(coalesce(last_name, ''))", persisted=True), nullable=False),
        sa.Column("company_key", KEY, sa.Computed("lower(coalesce(company, ''))", persisted=True), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_contacts"),
        sa.UniqueConstraint("organisation_id", "email_key", name="uq_contacts_organisation_id_email_key"),
    )
    for key in ("name_key", "last_name_key", "company_key"):
        op.create_index(f"ix_contacts_organisation_id_{key}_id", "contacts", ["organisation_id", key, "id"])
    protect("contacts")


def _create_staging() -> None:
    """No policy: PostgreSQL refuses COPY under one. No key: rows are written once and read by bucket."""
    op.create_table(
        "staged_contacts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("email_key", KEY, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in CELLS),
    )
    index = "ix_staged_contacts_organisation_id_bulk_action_id_bucket"
    op.create_index(index, "staged_contacts", ["organisation_id", "bulk_action_id", "bucket"])
    grant("staged_contacts")


def _create_bulk_actions() -> None:
    op.create_table(
        "bulk_actions",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("verb", sa.String(32), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("file_key", sa.Text(), nullable=False),
        sa.Column("file_byte_count", sa.BigInteger(), nullable=False),
        sa.Column("file_sha256", sa.Text(), nullable=False),
        sa.Column("format", JSONB(), nullable=False),
        sa.Column("mapping", JSONB(), nullable=False),
        sa.Column("planned_offset", sa.BigInteger(), nullable=False),
        sa.Column("planned_at", TIME, nullable=True),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("staged_chunk_count", sa.Integer(), nullable=False),
        sa.Column("staged_count", sa.BigInteger(), nullable=False),
        sa.Column("partition_count", sa.Integer(), nullable=False),
        sa.Column("merged_partition_count", sa.Integer(), nullable=False),
        *(
            sa.Column(f"{outcome}_count", sa.BigInteger(), nullable=False)
            for outcome in ("merged", "created", "updated", "unchanged", "rejected", "duplicate", "blank")
        ),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("cleaned_at", TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_bulk_actions"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_bulk_actions_organisation_id"),
    )
    unswept = sa.text("state <> 'draft' AND cleaned_at IS NULL")
    op.create_index("ix_bulk_actions_unswept", "bulk_actions", ["id"], postgresql_where=unswept)
    _create_chunks()
    protect("bulk_actions")
    protect("bulk_action_chunks")


def _create_chunks() -> None:
    op.create_table(
        "bulk_action_chunks",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("start_offset", sa.BigInteger(), nullable=False),
        sa.Column("end_offset", sa.BigInteger(), nullable=False),
        sa.Column("first_row_number", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        *(
            sa.Column(f"{outcome}_count", sa.Integer(), nullable=False)
            for outcome in ("created", "updated", "unchanged", "rejected", "duplicate")
        ),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("sent_at", TIME, nullable=True),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "bulk_action_id", "phase", "index", name="pk_bulk_action_chunks"),
        _belongs_to_bulk_action("bulk_action_chunks"),
    )


def _create_reports() -> None:
    op.create_table(
        "rejected_rows",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cells", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "bulk_action_id", "row_number", name="pk_rejected_rows"),
        _belongs_to_bulk_action("rejected_rows"),
    )
    op.create_table(
        "replaced_rows",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bulk_action_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("replaced_by_row_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "bulk_action_id", "row_number", name="pk_replaced_rows"),
        _belongs_to_bulk_action("replaced_rows"),
    )
    protect("rejected_rows")
    protect("replaced_rows")


def _belongs_to_bulk_action(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organisation_id", "bulk_action_id"],
        ["bulk_actions.organisation_id", "bulk_actions.id"],
        ondelete="CASCADE",
        name=f"fk_{table}_organisation_id_bulk_action_id",
    )


def _create_mappings() -> None:
    op.create_table(
        "import_mappings",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("mapping", JSONB(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "entity", "fingerprint", name="pk_import_mappings"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_import_mappings_organisation_id"),
    )
    protect("import_mappings")


def _create_functions() -> None:
    """The sweeper's look across organisations, lent to the app's role."""
    name = "footfall_unswept_bulk_actions"
    op.execute(
        f"CREATE FUNCTION {name}(most integer) RETURNS TABLE (organisation_id uuid, id uuid)"
        " LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $body$"
        " SELECT b.organisation_id, b.id FROM bulk_actions b"
        " WHERE b.state <> 'draft' AND b.cleaned_at IS NULL ORDER BY b.id LIMIT most $body$"
    )
    op.execute(f"REVOKE ALL ON FUNCTION {name}(integer) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {name}(integer) TO {APP_ROLE}")
