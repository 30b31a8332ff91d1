"""The migrations lead to one head, and there to what the models say."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from webapp import worker  # noqa: F401  (imports every feature's models)
from webapp.app import ROOT, sqlalchemy_url
from webapp.config import Settings
from webapp.extensions import Base


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
    engine = create_engine(sqlalchemy_url(services.database_url))
    with engine.connect() as connection:
        partitions = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition")))

        def is_declared(name: str | None, kind: str, _: object) -> bool:
            """A partition follows its table, which is declared; workers add and drop them by the day."""
            return kind != "table" or name not in partitions

        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": is_declared})
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []
