"""Alembic's entry: migrates as the owner, under short lock and statement timeouts."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool, text

from migrations.partitions import declared_names
from webapp.app import sqlalchemy_url
from webapp.extensions import Base

LOCK_TIMEOUT = "5s"
MIGRATION_LOCK = 7_305_001


def run_migrations() -> None:
    """Apply what is missing; two migrating processes wait for each other."""
    url = sqlalchemy_url(current_app.extensions["settings"].database_url)
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        include_name = declared_names(connection)
        connection.commit()
        context.configure(
            connection=connection, target_metadata=Base.metadata, compare_type=True, include_name=include_name
        )
        with context.begin_transaction():
            context.run_migrations()


run_migrations()
