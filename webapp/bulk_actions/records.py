"""Where records end in a CSV, byte for byte as Python's csv module reads it.

Line breaks inside quotes belong to a cell, so a chunk may only be cut where a record ends. Whether
a quote opens a cell depends on everything before it; each cut therefore begins at a known end.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

RECORD_LIMIT_BYTES = 8 * 1024 * 1024
END_MARK = "end of file"
CUT_TRIES = 3

# A cell of a megabyte is read (and rejected by its field's length, or ignored when no field wants it).
csv.field_size_limit(2 * RECORD_LIMIT_BYTES)


class UnreadableFileError(Exception):
    """The file cannot be imported; the message says why and what to do."""


class UnclosedQuoteError(UnreadableFileError):
    """A quote is opened and never closed, so that a cell swallows what follows."""

    def __init__(self, row_number: int, where: str) -> None:
        super().__init__(
            f'Row {row_number:,} {where}: most likely it opens a quote (") that is never closed. '
            f'Close it, or write two ("") where one is meant as text, and drop the file again. Nothing was imported.'
        )


@dataclass(frozen=True)
class Cut:
    """Whole records at the beginning of a block: their bytes and their number, blank ones too."""

    byte_count: int
    record_count: int


@dataclass(frozen=True)
class Span:
    """A piece of the file that holds whole records."""

    start_offset: int
    end_offset: int
    first_record: int
    """Number of its first record; the file's first is 0."""
    record_count: int


def find_spans(
    read: Callable[[int, int], bytes],
    end: int,
    delimiter: str,
    span_bytes: int,
    start: int = 0,
    first_record: int = 0,
    first_row_number: int = 1,
) -> Iterator[Span]:
    """Cut the file's bytes from `start` to `end` into spans of about `span_bytes`.

    The next call may go on where any span ended. Raises UnclosedQuoteError for a record that does
    not end within RECORD_LIMIT_BYTES, or at all.
    """
    while start < end:
        cut = _cut_at(read, start, end, delimiter, span_bytes, first_record + first_row_number)
        yield Span(start, start + cut.byte_count, first_record, cut.record_count)
        start += cut.byte_count
        first_record += cut.record_count


def _cut_at(
    read: Callable[[int, int], bytes], start: int, end: int, delimiter: str, span_bytes: int, row_number: int
) -> Cut:
    """The cut that begins at `start`, from a block that grows until a record ends in it."""
    size = span_bytes
    while True:
        block = read(start, min(start + size, end))
        is_last = start + len(block) >= end
        try:
            cut = cut_records(block, delimiter, is_last=is_last)
        except OpenRecordError as error:
            raise UnclosedQuoteError(row_number + error.record, "does not end before the file does") from error
        if cut:
            return cut
        if size >= RECORD_LIMIT_BYTES:
            raise UnclosedQuoteError(row_number, f"does not end within {RECORD_LIMIT_BYTES // 1024**2} MB")
        size = min(size * 4, RECORD_LIMIT_BYTES)


class OpenRecordError(Exception):
    """The last record of the last block is inside quotes."""

    def __init__(self, record: int) -> None:
        super().__init__(record)
        self.record = record


def cut_records(block: bytes, delimiter: str, *, is_last: bool) -> Cut | None:
    """The whole records at the block's beginning, in any encoding whose ASCII bytes are always ASCII.

    None when no record is known to end in it; of the last block everything is taken.
    """
    return _cut_fast(block, delimiter, is_last) or _cut_exactly(block, delimiter, is_last)


def _cut_fast(block: bytes, delimiter: str, is_last: bool) -> Cut | None:
    """By counting line breaks, where every quote belongs to a well-formed quoted cell."""
    length = len(block) if is_last else block.rfind(b"\n") + 1
    for _ in range(CUT_TRIES):
        if not length:
            return None
        head = block[:length]
        outside = quoted_cell(delimiter).sub(b"q", head) if b'"' in head else head
        if b'"' not in outside:
            return _count_lines(outside, length)
        if is_last:
            return None
        length = block.rfind(b"\n", 0, length - 1) + 1
    return None


def _count_lines(outside: bytes, length: int) -> Cut | None:
    if outside.count(b"\r") != outside.count(b"\r\n"):
        return None
    return Cut(length, outside.count(b"\n") + (not outside.endswith(b"\n")))


@cache
def quoted_cell(delimiter: str) -> re.Pattern[bytes]:
    """A quoted cell, from the place where a cell begins to the place where one ends."""
    edge = re.escape(delimiter.encode())
    return re.compile(rb'(?<![^%b\r\n])"[^"]*+(?:""[^"]*+)*+"(?=[%b\r\n]|\Z)' % (edge, edge))


def _cut_exactly(block: bytes, delimiter: str, is_last: bool) -> Cut | None:
    """By reading it. The last record of a block may go on in the next one, so it is left for that."""
    text = block.decode("latin-1")  # one character a byte, so that positions are offsets
    if is_last:
        return _read_to_end(text, delimiter)
    lines = io.StringIO(text, newline="")
    before, position, count = 0, 0, 0
    for count, _ in enumerate(csv.reader(lines, delimiter=delimiter)):  # noqa: B007
        before, position = position, lines.tell()
    return Cut(before, count) if before else None


def _read_to_end(text: str, delimiter: str) -> Cut:
    """A mark on a line of its own shows whether the last record was over before it."""
    break_before = "" if text.endswith(("\n", "\r")) else "\n"
    lines = io.StringIO(text + break_before + END_MARK, newline="")
    count, record = 0, [END_MARK]
    for count, record in enumerate(csv.reader(lines, delimiter=delimiter)):  # noqa: B007
        pass
    if record != [END_MARK]:
        raise OpenRecordError(count)
    return Cut(len(text), count)
