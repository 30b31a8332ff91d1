"""The uploaded file: into the store with a limit and a hash, and back out in pieces."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.records import UnreadableFileError
from webapp.lib.storage import Storage

COPIES_SUFFIX = ".copies"
HEAD_SUFFIX = ".head"
ODD_SAMPLE_BYTES = 64 * 1024
# A UTF-8 file with a few broken bytes stays one; its broken rows are rejected.
CLEARLY_MORE = 10
FILE_KEY = re.compile(r"([0-9a-f-]{36})/bulk-actions/([0-9a-f-]{36})\.csv(?:\.head|\.copies/[0-9a-f]+(?:\.problem)?)?")
BEYOND_ASCII = bytes(range(128, 256))


class UploadTooLargeError(UnreadableFileError):
    """The file is over the limit; nothing of it was kept."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The file is larger than {shown_bytes(limit_bytes)}, the most that is accepted. "
            "Split it into several files with the same header, and drop them one after another."
        )


def shown_bytes(count: int) -> str:
    """A size for people: 2 GB, 512 KB."""
    for unit, size in (("GB", 1024**3), ("MB", 1024**2), ("KB", 1024)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


@dataclass
class Upload:
    """What is learnt about a file while it streams into the store."""

    limit_bytes: int
    byte_count: int = 0
    odd_sample: bytes = b""
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    _utf8: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))
    _bad_count: int = 0
    _wide_count: int = 0

    def watched(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The same blocks; raises UploadTooLargeError as soon as there are too many bytes."""
        for block in blocks:
            self.byte_count += len(block)
            if self.byte_count > self.limit_bytes:
                raise UploadTooLargeError(self.limit_bytes)
            self._hash.update(block)
            self._look_for_utf8(block)
            yield block

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def is_utf8(self) -> bool:
        """Whether the file reads as UTF-8, but for a few bytes at most."""
        return not self._bad_count or self._wide_count > CLEARLY_MORE * self._bad_count

    def _look_for_utf8(self, block: bytes) -> None:
        pending = self._utf8.getstate()[0]
        try:
            letters = len(self._utf8.decode(block))
            self._wide_count += 0 if block.isascii() else letters - _ascii_count(block)
        except UnicodeDecodeError:
            self._utf8.reset()
            self._count_bad(pending + block)

    def _count_bad(self, block: bytes) -> None:
        if len(self.odd_sample) < ODD_SAMPLE_BYTES:
            lines = b"\n".join(line for line in block.split(b"\n") if not line.isascii())
            self.odd_sample = (self.odd_sample + lines)[:ODD_SAMPLE_BYTES]
        text = block.decode("utf-8", "ignore")
        readable = text.encode()
        self._bad_count += len(block) - len(readable)
        self._wide_count += len(text) - _ascii_count(readable)


def _ascii_count(block: bytes) -> int:
    """Counted in C: walking the letters of a large file would hold the other threads for seconds."""
    return len(block.translate(None, BEYOND_ASCII))


def file_key(organisation_id: UUID, bulk_action_id: UUID) -> str:
    """Where the store keeps an import's file."""
    return f"{organisation_id}/bulk-actions/{bulk_action_id}.csv"


def owner_of(key: str) -> tuple[UUID, UUID] | None:
    """(organisation, bulk action) of a stored import's file or of what was made from it; None for any other key."""
    found = FILE_KEY.fullmatch(key)
    return (UUID(found[1]), UUID(found[2])) if found else None


@contextmanager
def deleted_on_error(storage: Storage, key: str) -> Iterator[None]:
    """Whatever goes wrong inside, the stored file does not stay behind without its row."""
    try:
        yield
    except BaseException:
        _delete(storage, key)
        raise


def delete_files(storage: Storage, bulk_action: BulkAction) -> None:
    """Remove the file and what was made from it. A dry run's are its draft's, and stay."""
    if not bulk_action.is_dry_run:
        _delete(storage, bulk_action.file_key)


def _delete(storage: Storage, key: str) -> None:
    storage.delete(key)
    storage.delete(key + HEAD_SUFFIX)
    storage.delete_folder(key + COPIES_SUFFIX)
