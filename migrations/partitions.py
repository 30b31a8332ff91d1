"""Partitions follow their tables, which the models declare; workers add and drop them by the day."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, text


def declared_names(connection: Connection) -> Callable[[str | None, str, object], bool]:
    """What Alembic compares with the models: everything but the partitions that there are now."""
    partitions = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition")))

    def is_declared(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name not in partitions

    return is_declared
