"""The rules that keep tenants apart in PostgreSQL, read from the models and from the real database."""

from __future__ import annotations

import pytest
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, Table, UniqueConstraint

from tests.conftest import owner_connection
from webapp import worker  # noqa: F401  (imports every feature's models)
from webapp.config import Settings
from webapp.extensions import APP_ROLE, Base

GLOBAL_TABLES = {
    "organisations": "the tenants themselves",
    "users": "a person may belong to several organisations",
    "paused_queues": "the queues are the whole installation's",
}
WITHOUT_POLICY = {
    "staged_contacts": "COPY into a table with a policy is refused; every statement on it names the organisation",
    "staged_products": "the same",
}
OTHER_TABLES_WITHOUT_TENANT = {
    "alembic_version": "which migration the database is at",
}

TENANT_TABLES = [table for name, table in sorted(Base.metadata.tables.items()) if name not in GLOBAL_TABLES]
TABLES = """
    SELECT c.relname, c.relrowsecurity,
           (SELECT array_agg(pg_get_expr(p.polqual, p.polrelid)) FROM pg_policy p WHERE p.polrelid = c.oid),
           (SELECT array_agg(pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy p WHERE p.polrelid = c.oid),
           pg_get_userbyid(c.relowner)
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""


def name_of(table: Table) -> str:
    return table.name


@pytest.mark.parametrize("table", TENANT_TABLES, ids=name_of)
def test_a_tenants_table_begins_every_key_with_its_organisation(table: Table) -> None:
    for constraint in table.constraints:
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint) and list(constraint.columns):
            assert next(iter(constraint.columns)).name == "organisation_id", constraint
        if isinstance(constraint, ForeignKeyConstraint) and constraint.referred_table.name not in GLOBAL_TABLES:
            assert constraint.column_keys[0] == "organisation_id", constraint
    assert not table.c.organisation_id.nullable


@pytest.mark.parametrize("table", TENANT_TABLES, ids=name_of)
def test_a_unique_index_begins_with_the_organisation_too(table: Table) -> None:
    for index in table.indexes:
        if index.unique:
            assert next(iter(index.columns)).name == "organisation_id", index


def test_every_table_of_the_database_is_a_tenants_or_on_the_list(services: Settings) -> None:
    with owner_connection(services) as connection:
        found = {row[0] for row in connection.execute(TABLES)}
    assert found == set(Base.metadata.tables) | set(OTHER_TABLES_WITHOUT_TENANT)


def test_every_tenants_table_has_its_policy_in_the_database(services: Settings) -> None:
    with owner_connection(services) as connection:
        rows = {row[0]: row[1:] for row in connection.execute(TABLES)}
    for table in TENANT_TABLES:
        is_enabled, reads, writes, owner = rows[table.name]
        if table.name in WITHOUT_POLICY:
            assert not is_enabled
            continue
        assert is_enabled, table.name
        assert owner != APP_ROLE, "A table's owner is not bound by its policies."
        for conditions in (reads, writes):
            assert len(conditions) == 1, table.name
            assert "organisation_id = " in conditions[0]
            assert "footfall.organisation_id" in conditions[0]


def test_the_apps_role_cannot_step_over_a_policy(services: Settings) -> None:
    with owner_connection(services) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s", [APP_ROLE]
        ).fetchone()
    assert row == (False, False, False, False)


def test_the_app_connects_as_that_role_and_sees_nothing_unasked(app_context: object, services: Settings) -> None:
    from sqlalchemy import text

    from webapp.extensions import db

    assert db.session.scalar(text("SELECT current_user")) == APP_ROLE
    for table in TENANT_TABLES:
        if table.name not in WITHOUT_POLICY:
            assert db.session.scalar(text(f"SELECT count(*) FROM {table.name}")) == 0


def test_functions_that_look_across_tenants_are_few_and_named(services: Settings) -> None:
    query = """
        SELECT proname FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef AND prolang <> 13 ORDER BY proname
    """
    with owner_connection(services) as connection:
        found = {row[0] for row in connection.execute(query)}
    assert all(name.startswith("footfall_") for name in found)
    with owner_connection(services) as connection:
        for name in found:
            row = connection.execute("SELECT proconfig FROM pg_proc WHERE proname = %s", [name]).fetchone()
            assert row is not None
            assert any(setting.startswith("search_path=") for setting in row[0] or ()), name
