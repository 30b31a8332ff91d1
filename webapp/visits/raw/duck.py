"""DuckDB within this process: one database in memory, a cursor for each use.

It reads files of its cache and of a local upload store, and nothing else: no network, no extensions, and nobody can
change that later. Statements are ours, values are parameters.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from webapp.config import Settings
from webapp.visits.models import RawKind
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, VISIT_SCHEMA
from webapp.visits.raw.selection import NO_ROWS

TYPES: dict[pl.DataType, str] = {
    pl.Int64(): "BIGINT",
    pl.Int8(): "TINYINT",
    pl.UInt8(): "UTINYINT",
    pl.Boolean(): "BOOLEAN",
    pl.String(): "VARCHAR",
}
USES = 1_000
"""DuckDB remembers the outline of every file it ever opened, 35 kB each: after so many uses it begins anew."""
_lock = threading.Lock()
_databases: dict[tuple[int, Settings], duckdb.DuckDBPyConnection] = {}
_uses: Counter[tuple[int, Settings]] = Counter()


@contextmanager
def duck_cursor(settings: Settings, folders: tuple[Path, ...]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one use by one thread; `folders` (of the first call) are all that it may open."""
    with _lock:
        cursor = _database(settings, folders).cursor()
    try:
        yield cursor
    finally:
        cursor.close()


def _database(settings: Settings, folders: tuple[Path, ...]) -> duckdb.DuckDBPyConnection:
    """This process's database: one that was made before a fork has lost its threads."""
    key = (os.getpid(), settings)
    if _uses[key] % USES == 0:
        _databases[key] = _open(settings, folders)  # cursors in use keep the former one alive
    _uses[key] += 1
    return _databases[key]


def _open(settings: Settings, folders: tuple[Path, ...]) -> duckdb.DuckDBPyConnection:
    spill = tempfile.mkdtemp(prefix="spill-", dir=settings.raw_cache_dir)
    database = duckdb.connect(
        ":memory:",
        config={
            "threads": settings.duckdb_threads,
            "memory_limit": f"{settings.duckdb_memory_bytes}B",
            "temp_directory": spill,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    for kind, schema in ((RawKind.ACTIVITY, ACTIVITY_SCHEMA), (RawKind.VISIT, VISIT_SCHEMA)):
        columns = ", ".join(f"{name} {TYPES[dtype]}" for name, dtype in schema.items())
        database.execute(f"CREATE TABLE {NO_ROWS[kind]} ({columns})")
    database.execute("SET parquet_metadata_cache = true")
    database.execute("SET allowed_directories = $folders", {"folders": [str(folder) for folder in (*folders, spill)]})
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database
