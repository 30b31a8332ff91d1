"""Copies of raw rows on a disk that several processes fill and empty at once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask

from webapp.config import Settings
from webapp.visits.raw.cache import SEALING, SPILL, UNUSED_SECONDS, RawCache
from webapp.visits.raw.tasks import look_after_raw_rows


@pytest.fixture
def cache(tmp_path: Path) -> RawCache:
    return RawCache(tmp_path / "cache", 100)


@pytest.mark.parametrize("asked", ["stat", "iterdir"])
def test_a_folder_that_another_process_removes_meanwhile_is_nobodys_trouble(
    cache: RawCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    folder = _unused_folder(tmp_path)
    look = getattr(Path, asked)

    def look_too_late(path: Path, *given: object, **named: object) -> object:
        if path == folder and os.path.isdir(folder):
            os.rmdir(folder)
        return look(path, *given, **named)

    monkeypatch.setattr(Path, asked, look_too_late)
    assert cache.keep("a.parquet", [b"rows"]).read_bytes() == b"rows"
    assert not folder.exists()


def test_folders_that_nobody_used_for_a_day_go_and_others_stay(cache: RawCache, tmp_path: Path) -> None:
    unused, used = _unused_folder(tmp_path), tmp_path / "cache" / f"{SPILL}b"
    used.mkdir()
    cache.trim()
    assert not unused.exists()
    assert used.exists()


def test_what_a_killed_process_was_writing_goes_after_a_day(cache: RawCache, tmp_path: Path) -> None:
    folders = [tmp_path / "cache" / f"{SEALING}{name}" for name in ("left", "in-use")]
    for folder in folders:
        folder.mkdir()
        (folder / "a.parquet").write_bytes(b"rows")
    os.utime(folders[0], (time.time() - UNUSED_SECONDS - 10,) * 2)
    cache.trim()
    assert [folder.exists() for folder in folders] == [False, True]


def test_a_copy_that_is_being_made_is_not_removed_by_another_process(cache: RawCache, tmp_path: Path) -> None:
    other = RawCache(tmp_path / "cache", 100)

    def blocks() -> Iterator[bytes]:
        yield b"x" * 100_000
        other.trim()
        yield b"x" * 100_000

    assert cache.keep("a.parquet", blocks()).name == "a.parquet"


def test_the_copies_used_longest_ago_are_removed_when_there_are_too_many(cache: RawCache, tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        path = cache.keep(name, [b"x" * 50])
        os.utime(path, (time.time() - 10 + number,) * 2)
    cache.trim()
    assert [cache.find(name) is not None for name in ("a", "b", "c")] == [False, True, True]


def test_whoever_only_reads_removes_what_nobody_read_for_a_day(cache: RawCache, tmp_path: Path) -> None:
    old, read = (cache.keep(name, [b"x"]) for name in ("old", "read"))
    os.utime(old, (time.time() - UNUSED_SECONDS - 10,) * 2)
    assert RawCache(tmp_path / "cache", 100).find("read") == read
    assert not old.exists()


def test_a_machine_on_which_nobody_reads_any_more_is_tidied_up(app_context: APIFlask, services: Settings) -> None:
    cache = RawCache(services.raw_cache_dir, services.raw_cache_bytes)
    old, new = (cache.keep(f"{name}.parquet", [b"rows"]) for name in ("old", "new"))
    os.utime(old, (time.time() - UNUSED_SECONDS - 10,) * 2)
    look_after_raw_rows()
    assert [path.exists() for path in (old, new)] == [False, True]
    new.unlink()


def _unused_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / f"{SPILL}a"
    folder.mkdir()
    os.utime(folder, (time.time() - UNUSED_SECONDS - 10,) * 2)
    return folder
