"""The upload store: a folder by default, an S3 bucket by URL.

Web and worker processes may run on different machines, so nothing else of ours touches a file. A store belongs
to one installation: uploads that its database does not know are removed.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

READ_BLOCK_BYTES = 4 * 1024 * 1024
KEYS_PER_PAGE = 500
UNFINISHED = re.compile(r"#\d+$")
"""How obstore calls a file in a folder until it is whole."""


class StorageMissingError(Exception):
    """There is no object under this key."""


class Storage:
    """Objects of bytes under keys such as `organisation/imports/<id>.csv`."""

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    def write(self, key: str, blocks: Iterable[bytes]) -> int:
        """Keep all blocks under the key and return their length in bytes.

        The object appears whole or not at all: when `blocks` raises, nothing is kept. `blocks` runs inside
        obstore's own loop, so it must not read this or any other store (obstore panics): let another
        thread read and hand the bytes over.
        """
        length = 0

        def counted() -> Iterator[bytes]:
            nonlocal length
            for block in blocks:
                length += len(block)
                yield block

        obstore.put(self._store, key, counted())
        return length

    def read(self, key: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to, not including, `end`."""
        if end <= start:
            return b""
        try:
            return bytes(obstore.get_range(self._store, key, start=start, end=end))
        except FileNotFoundError as error:
            raise StorageMissingError(key) from error

    def size(self, key: str) -> int:
        """Length in bytes."""
        try:
            return int(obstore.head(self._store, key)["size"])
        except FileNotFoundError as error:
            raise StorageMissingError(key) from error

    def stream(self, key: str, start: int = 0) -> Iterator[bytes]:
        """The object's bytes from `start`, in blocks."""
        end = self.size(key)
        for offset in range(start, end, READ_BLOCK_BYTES):
            yield self.read(key, offset, min(offset + READ_BLOCK_BYTES, end))

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return

    def has(self, key: str) -> bool:
        """Whether there is an object, which then is whole."""
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def delete_folder(self, folder: str) -> None:
        """Remove all objects whose key begins with the folder and a slash, and the folder.

        For folders of one writer: another might just be about to open a file in it.
        """
        for key in self.keys(folder):
            self.delete(key)
        if self._folder:
            _remove_empty(self._folder / folder)

    def local_path(self, key: str) -> Path | None:
        """Where the object lies when the store is a folder; None for a bucket."""
        return self._folder / key if self._folder else None

    def keys(self, folder: str) -> list[str]:
        """The keys that begin with the folder and a slash."""
        pages = obstore.list(self._store, prefix=folder, chunk_size=KEYS_PER_PAGE)
        return [found["path"] for page in pages for found in page]

    def key_pages(self, modified_before: datetime) -> Iterator[list[str]]:
        """The keys of all objects that are older, some hundreds at a time, in no order."""
        for page in obstore.list(self._store, chunk_size=KEYS_PER_PAGE):
            yield [found["path"] for found in page if found["last_modified"] < modified_before]

    def delete_unfinished(self, modified_before: datetime) -> None:
        """Remove what writers left in the folder who were killed. A bucket does so by its own lifecycle rule."""
        for folder, _, names in os.walk(self._folder) if self._folder else ():  # which bears that folders vanish
            for path in (Path(folder, name) for name in names if UNFINISHED.search(name)):
                if _is_older(path, modified_before):
                    path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:  # it never was, or a late writer is at work in it
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:
            raise


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) < moment
    except FileNotFoundError:  # it was finished meanwhile, and has its proper name
        return False


@cache
def storage_at(url: str) -> Storage:
    """The store behind `file:///folder` or `s3://bucket/prefix`."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return Storage(from_url(url))
    folder = Path(unquote(parts.path))
    folder.mkdir(parents=True, exist_ok=True)
    return Storage(LocalStore(prefix=folder), folder)
