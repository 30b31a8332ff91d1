"""What every tenant's table gets in its migration: the row-level policy, and the app role's rights."""

from __future__ import annotations

from alembic import op

APP_ROLE = "footfall_app"
TENANT = "nullif(current_setting('footfall.organisation_id', true), '')::uuid"


def protect(table: str) -> None:
    """Let the app's role see and write only rows of the organisation that its transaction named.

    Without a name nothing is visible. The owner, who migrates, is not bound.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} USING (organisation_id = {TENANT}) WITH CHECK (organisation_id = {TENANT})"
    )
    grant(table)


def grant(table: str) -> None:
    """Let the app's role read and write a table that no policy binds (global, or staging)."""
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP_ROLE}")
