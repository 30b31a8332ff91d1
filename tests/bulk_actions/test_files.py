"""What is learnt about a file while it streams by: its length, and whether it is UTF-8."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import pytest

from webapp.bulk_actions.files import HEAD_SUFFIX, Upload, deleted_on_error, file_key, owner_of
from webapp.lib.storage import StorageMissingError, storage_at

LATIN_LINE = "zoë@example.com,Müller,Köln\n".encode("latin-1")


def watched(content: bytes, block_bytes: int = 1000) -> Upload:
    upload = Upload(limit_bytes=10**9)
    blocks = (content[start : start + block_bytes] for start in range(0, len(content), block_bytes))
    assert sum(map(len, upload.watched(blocks))) == len(content)
    return upload


@pytest.mark.parametrize("block_bytes", [1, 7, 1000])
@pytest.mark.parametrize(
    ("content", "is_utf8"),
    [
        (b"Email\na@example.com\n" * 50, True),
        ("Zoë, Köln, 東京, 😀\n".encode() * 50, True),
        ("Zoë, Köln, 東京, 😀\n".encode() * 50 + b"\xff\xfe", True),
        (LATIN_LINE * 50, False),
        ("Владимир, Москва\n".encode("cp1251") * 50, False),
        ("Zoë\n".encode() * 10 + LATIN_LINE * 10, False),
    ],
)
def test_a_file_of_utf_8_stays_one_with_a_few_broken_bytes(content: bytes, is_utf8: bool, block_bytes: int) -> None:
    assert watched(content, block_bytes).is_utf8 is is_utf8


def test_lines_that_are_no_utf_8_are_kept_for_finding_out_what_they_are() -> None:
    upload = watched(b"Email,Name,City\n" * 300 + LATIN_LINE * 3)
    assert LATIN_LINE.strip() in upload.odd_sample
    assert b"Email" not in upload.odd_sample


def test_another_encoding_is_counted_without_looking_at_every_letter() -> None:
    """Every block is decoded in C: a file of Latin-1 held a web worker for seconds otherwise."""
    content = LATIN_LINE * 400_000
    began_at = time.process_time()
    watched(content, 256 * 1024)
    assert time.process_time() - began_at < 0.5


@pytest.mark.parametrize("suffix", ["", HEAD_SUFFIX, ".copies/0123456789abcdef", ".copies/0123456789abcdef.problem"])
def test_what_is_made_from_a_file_belongs_to_its_import_and_goes_with_it(tmp_path: Path, suffix: str) -> None:
    storage = storage_at(f"file://{tmp_path}")
    owner = uuid4(), uuid4()
    key = file_key(*owner)
    assert owner_of(key + suffix) == owner
    assert owner_of(key + suffix + "x") is None
    storage.write(key + suffix, [b"Email"])
    with pytest.raises(RuntimeError), deleted_on_error(storage, key):
        raise RuntimeError("The lamp fell over.")
    with pytest.raises(StorageMissingError):
        storage.size(key + suffix)
