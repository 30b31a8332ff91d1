"""The migrations lead to one head, and there to what the models say."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from apiflask import APIFlask
from flask_migrate import check
from sqlalchemy import create_engine, text

from migrations.partitions import declared_names
from webapp import worker  # noqa: F401  (imports every feature's models)
from webapp.app import ROOT, sqlalchemy_url
from webapp.config import Settings
from webapp.extensions import Base
from webapp.lib.clock import utc_now


def script_directory() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return ScriptDirectory.from_config(config)


def test_there_is_one_head() -> None:
    assert len(script_directory().get_heads()) == 1


def test_every_migration_is_named_by_its_number() -> None:
    for revision in script_directory().walk_revisions():
        assert Path(revision.path).name.startswith(f"{revision.revision}_")


def test_the_migrated_database_is_what_the_models_say(services: Settings) -> None:
    """Nor do the partitions, of which there are more every day, show up as tables to drop."""
    engine = create_engine(sqlalchemy_url(services.database_url))
    with engine.connect() as connection:
        partitions = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition")))
        options = {"compare_type": True, "include_name": declared_names(connection)}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert {"seen_default", f"seen_{utc_now():%Y%m%d}"} <= partitions
    assert differences == []


def test_alembic_itself_finds_nothing_to_write(shared_app: APIFlask) -> None:
    """What `flask db migrate` would write is worked out by env.py, with its own options."""
    with shared_app.app_context():
        check(directory=str(ROOT / "migrations"))
