"""Organisations, people, keys and jobs, and the role that row-level security binds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.rls import APP_ROLE, grant, lend, protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SYSTEM_ORGANISATION_ID = "00000000-0000-0000-0000-000000000000"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_role()
    _create_accounts()
    _create_jobs()
    _create_functions()


def downgrade() -> None:
    for function in ("footfall_ended_jobs", "footfall_due_jobs", "footfall_invitations", "footfall_memberships"):
        op.execute(f"DROP FUNCTION {function}")
    for table in ("job_attempts", "jobs", "api_keys", "invitations", "memberships", "users", "organisations"):
        op.drop_table(table)


def _create_role() -> None:
    """The role is the cluster's, not the database's, so another database may have made it."""
    op.execute(
        f"""
        DO $$ BEGIN
            CREATE ROLE {APP_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
        """
    )
    op.execute(f"GRANT {APP_ROLE} TO CURRENT_USER")
    op.execute(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}")


def _create_accounts() -> None:
    op.create_table(
        "organisations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisations"),
        sa.UniqueConstraint("slug", name="uq_organisations_slug"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_is_verified", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("signed_in_at", TIME, nullable=False),
        sa.Column("sign_in_number", sa.Integer(), nullable=False),
        sa.Column("last_organisation_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.ForeignKeyConstraint(["last_organisation_id"], ["organisations.id"], name="fk_users_last_organisation_id"),
        sa.UniqueConstraint("issuer", "subject", name="uq_users_issuer_subject"),
    )
    op.create_table(
        "memberships",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "user_id", name="pk_memberships"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_memberships_organisation_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_memberships_user_id"),
    )
    op.create_table(
        "invitations",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(collation="C"), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("accepted_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_invitations"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_invitations_organisation_id"),
        sa.ForeignKeyConstraint(["invited_by"], ["users.id"], name="fk_invitations_invited_by"),
        sa.UniqueConstraint("organisation_id", "email_key", name="uq_invitations_organisation_id_email_key"),
    )
    op.create_table(
        "api_keys",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=True),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_api_keys_organisation_id"),
        sa.UniqueConstraint("organisation_id", "secret_hash", name="uq_api_keys_organisation_id_secret_hash"),
    )
    # Sign-in looks a person up before it knows an organisation.
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"])
    op.create_index("ix_invitations_email_key", "invitations", ["email_key"])
    for table in ("organisations", "users"):
        grant(table)
    for table in ("memberships", "invitations", "api_keys"):
        protect(table)
    op.execute(
        "INSERT INTO organisations (id, slug, name, time_zone, created_at)"
        f" VALUES ('{SYSTEM_ORGANISATION_ID}', 'system', 'This installation', 'UTC', now())"
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("parameters", JSONB(), nullable=False),
        sa.Column("progress_count", sa.BigInteger(), nullable=False),
        sa.Column("total_count", sa.BigInteger(), nullable=True),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("attempt_limit", sa.Integer(), nullable=False),
        sa.Column("result", JSONB(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("subject_path", sa.Text(), nullable=True),
        sa.Column("in_chunks", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("run_at", TIME, nullable=False),
        sa.Column("sent_at", TIME, nullable=True),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("cancel_requested_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_jobs"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_jobs_organisation_id"),
    )
    op.create_index("ix_jobs_organisation_id_state_id", "jobs", ["organisation_id", "state", "id"])
    unfinished = sa.text("state IN ('pending', 'retrying', 'running')")
    op.create_index("ix_jobs_unfinished", "jobs", ["run_at"], postgresql_where=unfinished)
    op.create_index("ix_jobs_ended_at", "jobs", ["ended_at"])
    op.create_table(
        "job_attempts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "job_id", "number", name="pk_job_attempts"),
        sa.ForeignKeyConstraint(
            ["organisation_id", "job_id"],
            ["jobs.organisation_id", "jobs.id"],
            ondelete="CASCADE",
            name="fk_job_attempts_organisation_id_job_id",
        ),
    )
    protect("jobs")
    protect("job_attempts")


def _create_functions() -> None:
    """The few looks across organisations, lent to the app's role one by one."""
    lend(
        "footfall_memberships(wanted_user_id uuid) RETURNS SETOF memberships",
        "SELECT * FROM memberships WHERE user_id = wanted_user_id ORDER BY created_at, organisation_id",
    )
    lend(
        "footfall_invitations(wanted_email_key text) RETURNS SETOF invitations",
        'SELECT * FROM invitations WHERE email_key = wanted_email_key COLLATE "C" AND accepted_at IS NULL',
    )
    lend(
        "footfall_due_jobs(due_at timestamptz, most integer) RETURNS TABLE (organisation_id uuid, id uuid)",
        """
        SELECT j.organisation_id, j.id FROM jobs j
        WHERE NOT j.in_chunks AND j.run_at <= due_at
          AND (
            (j.state IN ('pending', 'retrying') AND (j.sent_at IS NULL OR j.sent_at < due_at - interval '60 seconds'))
            OR (j.state = 'running' AND (j.sent_at IS NULL OR j.sent_at < due_at - interval '5 seconds'))
          )
          AND NOT EXISTS (
            SELECT 1 FROM pg_locks l
            WHERE l.locktype = 'advisory' AND l.granted
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(j.id::text, 0)
          )
        ORDER BY j.run_at LIMIT most
        """,
    )
    lend(
        "footfall_ended_jobs(since timestamptz, most integer) RETURNS TABLE (organisation_id uuid, id uuid)",
        "SELECT j.organisation_id, j.id FROM jobs j WHERE j.ended_at >= since ORDER BY j.ended_at LIMIT most",
    )
