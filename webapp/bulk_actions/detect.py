"""Looking at the beginning of a file: its encoding, delimiter, header and first rows, or why it is no CSV."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from webapp.bulk_actions.encoding import (
    SAVE_AS_CSV,
    WIDE_ENCODINGS,
    decode_sample,
    find_encoding,
    mark_length,
)
from webapp.bulk_actions.mapping import field_for
from webapp.bulk_actions.records import UnreadableFileError
from webapp.records.entities import Entity
from webapp.records.field_types import is_email

SAMPLE_BYTES = 256 * 1024
PREVIEW_ROWS = 10
SCORED_ROWS = 200
MAX_COLUMNS = 1_000
MAX_NAME_LENGTH = 200
DELIMITERS = (",", ";", "\t", "|")
CSV, WORKBOOK = "csv", "workbook"
ENDLESS_ROW = (
    'The first row does not end. Most likely it opens a quote (") that is never closed: close it, and drop the file '
    "again."
)
SIGNATURES = (
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLite format 3", "a database file"),
)
MARKUP = (
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
)
MARKUP_BYTES = 1024
# An object opens with a name or is empty; an array that is no row of a CSV opens with another, an object or a text.
JSON_START = re.compile(rb'\{\s*["}]|\[\s*[{\["\]]')


@dataclass(frozen=True)
class FileFormat:
    """How to read the file.

    Of a workbook, one sheet is converted to CSV, which encoding, delimiter and lengths speak of.
    """

    encoding: str
    delimiter: str
    has_header: bool
    header: list[str]
    """A name for every column, each different."""
    byte_order_mark: int = 0
    """Length of the mark at the beginning, which belongs to no cell."""
    leading_byte_count: int = 0
    """Length of the blank rows that follow it, before the table begins."""
    leading_row_count: int = 0
    kind: str = CSV
    sheet: str = ""
    sheets: list[str] = field(default_factory=list)
    """All sheets of a workbook; hidden ones come last."""

    @property
    def column_count(self) -> int:
        return len(self.header)

    @property
    def is_wide(self) -> bool:
        """Whether a byte of it may look like a comma or a quote without being one."""
        return self.encoding in WIDE_ENCODINGS

    @property
    def is_workbook(self) -> bool:
        return self.kind == WORKBOOK

    @property
    def needs_conversion(self) -> bool:
        """Whether only a copy of the file, as CSV in UTF-8, can be cut into chunks."""
        return self.is_wide or self.is_workbook

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Detected:
    """The format and the first rows of data, as the mapping page shows them."""

    format: FileFormat
    rows: list[list[str]]
    row_numbers: list[int]
    """The place of each in the file; blank rows are left out, and the first of all is 1."""


def detect(
    sample: bytes, entity: Entity, *, is_whole: bool, is_utf8: bool | None = None, odd_sample: bytes = b""
) -> Detected:
    """Look at the first bytes of a file of records; raises UnreadableFileError.

    `is_utf8` is what a look at the whole file found, and `odd_sample` some bytes from where it was not.
    """
    refuse_other_formats(sample)
    encoding = find_encoding(sample, is_whole=is_whole, is_utf8=is_utf8, odd_sample=odd_sample)
    return detect_as(sample, entity, encoding, is_whole=is_whole)


def detect_as(
    sample: bytes,
    entity: Entity,
    encoding: str,
    *,
    is_whole: bool,
    delimiter: str | None = None,
    has_header: bool | None = None,
) -> Detected:
    """As `detect`, with what a person already decided."""
    mark = mark_length(sample, encoding)
    text = decode_sample(sample[mark:], encoding, is_whole=is_whole)
    if not text.strip("\ufeff\x00 \t\r\n,;|"):
        raise UnreadableFileError("The file is empty. Choose a CSV file with a header and at least one row.")
    delimiter = delimiter or find_delimiter(text, is_whole=is_whole)
    leading = _leading_blank_rows(text, delimiter)
    rows = sample_rows(text[len(leading) :], delimiter, SCORED_ROWS, is_whole=is_whole)
    if not rows:
        raise UnreadableFileError(ENDLESS_ROW)
    has_header = looks_like_header(rows, entity) if has_header is None else has_header
    leading_byte_count, leading_row_count = len(leading.encode(encoding)), len(LINE_BREAK.findall(leading))
    places = [place for place, row in enumerate(rows) if any(map(str.strip, row)) and (place or not has_header)]
    data = [rows[place] for place in places]
    header = name_columns(rows[0] if has_header else [], table_width(rows[0], data, has_header=has_header))
    _refuse_unusable(header, data, is_whole=is_whole)
    file_format = FileFormat(encoding, delimiter, has_header, header, mark, leading_byte_count, leading_row_count)
    return Detected(file_format, data, [leading_row_count + place + 1 for place in places])


def refuse_other_formats(sample: bytes) -> None:
    """Raise for what is plainly something else."""
    if not sample:
        raise UnreadableFileError("The file is empty. Choose a CSV file with a header and at least one row.")
    for signature, name in SIGNATURES:
        if sample.startswith(signature):
            raise UnreadableFileError(f"This is {name}, not a CSV. {SAVE_AS_CSV}")
    start = sample[:MARKUP_BYTES].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for signature, name in MARKUP:
        if start.startswith(signature):
            raise UnreadableFileError(f"This is {name}, not a CSV. {SAVE_AS_CSV}")
    if JSON_START.match(start):
        raise UnreadableFileError(f"This is a JSON file, not a CSV. {SAVE_AS_CSV}")


def find_delimiter(text: str, *, is_whole: bool) -> str:
    """The delimiter under which most rows have one and the same number of cells, above one."""
    return max(DELIMITERS, key=lambda tried: _score(sample_rows(text, tried, SCORED_ROWS, is_whole=is_whole)))


def sample_rows(text: str, delimiter: str, count: int, *, is_whole: bool) -> list[list[str]]:
    """The first rows; the last is left out when the sample may have cut it, even if none is left."""
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for row in reader:
        rows.append(row)
        if len(rows) > count:
            break
    if len(rows) > count or not is_whole:
        rows.pop()
    return rows


def looks_like_header(rows: Sequence[Sequence[str]], entity: Entity) -> bool:
    """Whether the first row names the columns: it has names that we know, and no address of anybody."""
    first = [cell.strip() for cell in rows[0]]
    if any(is_email(cell) for cell in first):
        return False
    if any(field_for(cell, entity) for cell in first):
        return True
    later = [cell.strip() for row in rows[1:] for cell in row]
    if any(is_email(cell) for cell in later):
        return True
    return all(first) and len(set(first)) == len(first) and not any(cell[0].isdigit() for cell in first)


def table_width(first: Sequence[str], data: Sequence[Sequence[str]], *, has_header: bool) -> int:
    """How many columns the file has. A row with another number of cells is rejected when it is read.

    The header says it, unless most rows have more cells, or fewer and the header's last are blank: then they do. A
    short row is not filled up, although spreadsheets sometimes write such: far more often a line break or a quote
    broke it, and half a person in the database is worse than a row to mend in the file of rejected rows.
    """
    width = len(first)
    widths = Counter(map(len, data))
    commonest, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(width, 0))
    if 2 * count <= len(data):
        return width
    fits = commonest > width or not has_header or not any(cell.strip() for cell in first[commonest:])
    return commonest if fits else width


def name_columns(first: Sequence[str], width: int) -> list[str]:
    """A name for each of `width` columns, all different: "E-mail", "E-mail (2)"; without one, by its place.

    U+0000 is left out of them, since PostgreSQL cannot keep it.
    """
    names: dict[str, None] = {}
    for column in range(width):
        cell = first[column].replace("\x00", "").strip()[:MAX_NAME_LENGTH] if column < len(first) else ""
        name = shown = cell or f"Column {column + 1}"
        number = 1
        while shown in names:
            number += 1
            shown = f"{name} ({number})"
        names[shown] = None
    return list(names)


def _leading_blank_rows(text: str, delimiter: str) -> str:
    """Lines before the table in which nothing stands, as spreadsheets write them: `,,,`."""
    found = re.match(rf"(?:[ \t{re.escape(delimiter)}]*+(?:\r\n|\r|\n))*+", text)
    return found[0] if found else ""


def _refuse_unusable(header: list[str], data: list[list[str]], *, is_whole: bool) -> None:
    if len(header) > MAX_COLUMNS:
        raise UnreadableFileError(
            f"The first row has {len(header):,} columns; at most {MAX_COLUMNS:,} are read. Remove those not needed."
        )
    if not data and is_whole and any("\n" in name for name in header):
        raise UnreadableFileError(ENDLESS_ROW)
    if not data and is_whole:
        raise UnreadableFileError(
            "The file has a header and no rows. Add the rows that should be imported, and drop it again."
        )


def _score(rows: Sequence[Sequence[str]]) -> tuple[float, int]:
    """(share of rows with the commonest width, that width); one column says nothing, so it scores nothing."""
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        return (0.0, 0)
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    return (count / widths.total(), width) if width > 1 else (0.0, 1)


LINE_BREAK = re.compile(r"\r\n|\r|\n")
