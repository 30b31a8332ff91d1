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


def lend(signature: str, body: str, language: str = "sql STABLE") -> None:
    """A function of the owner, whom no policy binds, that the app's role may call: a look across organisations.

    `signature` is like `name(argument type, …) RETURNS …`, each type in one word;
    `language` may add what the function sets.
    """
    name, arguments = signature.split(" RETURNS", 1)[0].rstrip(")").split("(", 1)
    types = ", ".join(part.split()[1] for part in arguments.split(", ")) if arguments else ""
    ambiguous = "#variable_conflict use_column\n" if language.startswith("plpgsql") else ""
    op.execute(
        f"CREATE FUNCTION {signature} LANGUAGE {language} SECURITY DEFINER"
        f" SET search_path = public, pg_temp AS $body$ {ambiguous}{body} $body$"
    )
    op.execute(f"REVOKE ALL ON FUNCTION {name}({types}) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {name}({types}) TO {APP_ROLE}")
