"""What every tenant's table gets in its migration: the row-level policy, and the app role's rights."""

from __future__ import annotations

from alembic import op

APP_ROLE = "footfall_app"
TENANT = "nullif(current_setting('footfall.organisation_id', true), '')::uuid"


def protect(table: str) -> None:
    """Let the app's role see and write only rows of the organisation that its transaction named.

    Without a name nothing is visible. The owner, who migrates, is not bound.

    Statistics of `organisation_id` are switched off: they know nothing of an organisation that came or
    grew since they were taken, so the planner would expect no row of it and take whichever index begins with
    the organisation, reading all of its rows for each one wanted. Without them it expects the same small
    share for each.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} USING (organisation_id = {TENANT}) WITH CHECK (organisation_id = {TENANT})"
    )
    op.execute(f"ALTER TABLE {table} ALTER COLUMN organisation_id SET STATISTICS 0")
    grant(table)


def grant(table: str) -> None:
    """Let the app's role read and write a table that no policy binds (global, or staging)."""
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP_ROLE}")
