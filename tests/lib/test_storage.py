"""The upload store keeps an object whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from webapp.lib import storage as storage_module
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage, StorageMissingError, storage_at


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_at(f"file://{tmp_path}/uploads")


def test_blocks_are_kept_in_order_and_read_by_range(storage: Storage) -> None:
    assert storage.write("a/b.csv", [b"one,", b"", b"two"]) == 7
    assert storage.size("a/b.csv") == 7
    assert storage.read("a/b.csv", 2, 6) == b"e,tw"
    assert storage.read("a/b.csv", 3, 3) == b""
    assert b"".join(storage.stream("a/b.csv", 4)) == b"two"


def test_an_upload_that_breaks_off_leaves_nothing(storage: Storage) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half of it"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        storage.write("a/b.csv", broken())
    with pytest.raises(StorageMissingError):
        storage.size("a/b.csv")


def test_keys_are_listed_by_age(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "KEYS_PER_PAGE", 2)
    keys = {f"a/{number}.csv" for number in range(5)}
    for key in keys:
        storage.write(key, [b"x"])
    soon, before = utc_now() + timedelta(seconds=5), utc_now() - timedelta(hours=1)
    pages = list(storage.key_pages(soon))
    assert (len(pages) > 1, {key for page in pages for key in page}) == (True, keys)
    assert [key for page in storage.key_pages(before) for key in page] == []


def test_what_a_killed_writer_left_is_removed_when_it_is_old(storage: Storage, tmp_path: Path) -> None:
    storage.write("a/b.csv", [b"whole"])
    half = tmp_path / "uploads" / "a" / "b.csv#2"
    half.write_bytes(b"half")
    storage.delete_unfinished(utc_now() - timedelta(hours=1))
    assert half.exists()
    storage.delete_unfinished(utc_now() + timedelta(seconds=5))
    assert not half.exists()
    assert storage.size("a/b.csv") == 5


def test_a_missing_object_is_missing_and_can_be_deleted_twice(storage: Storage) -> None:
    with pytest.raises(StorageMissingError):
        storage.read("nothing", 0, 1)
    storage.write("a", [b"x"])
    storage.delete("a")
    storage.delete("a")
    with pytest.raises(StorageMissingError):
        storage.size("a")
