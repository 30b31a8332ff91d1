"""DuckDB opens its own files and nothing else, whoever asks from how many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from webapp.config import Settings, settings_from
from webapp.visits.raw import duck
from webapp.visits.raw.duck import duck_cursor


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_from({"DATA_DIR": str(tmp_path), "DUCKDB_MEMORY_BYTES": str(200 * 1024**2)})
    settings.raw_cache_dir.mkdir(parents=True)
    return settings


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_parquet('https://shop.example/rows.parquet')",
        "COPY (SELECT 1) TO '/tmp/rows.parquet'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET threads = 64",
    ],
)
def test_what_is_not_its_own_is_refused(settings: Settings, statement: str) -> None:
    with duck_cursor(settings, (settings.raw_cache_dir,)) as cursor, pytest.raises(duckdb.Error):
        cursor.execute(statement)


def test_many_threads_ask_at_once_while_it_begins_anew(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duck, "USES", 7)
    path = settings.raw_cache_dir / "rows.parquet"
    with duck_cursor(settings, (settings.raw_cache_dir,)) as cursor:
        cursor.execute(f"COPY (SELECT i, i % 10 AS rest FROM range(50000) t(i)) TO '{path}' (FORMAT parquet)")

    def ask(rest: int) -> int:
        with duck_cursor(settings, (settings.raw_cache_dir,)) as cursor:
            statement = "SELECT count(DISTINCT i) FROM read_parquet($paths) WHERE rest = $rest"
            [row] = cursor.execute(statement, {"paths": [str(path)], "rest": rest % 10}).fetchall()
            return int(row[0])

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(100))) == {5000}
