"""Whatever CSV anybody writes is read back cell for cell, wherever it is cut."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from webapp.bulk_actions.copies import convert
from webapp.bulk_actions.detect import DELIMITERS, SAMPLE_BYTES, detect_as
from webapp.bulk_actions.files import file_key
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.records import find_spans
from webapp.bulk_actions.sources import source_of
from webapp.contacts.models import CONTACTS
from webapp.lib.storage import Storage

ENCODINGS = {"utf-8": "utf-8", "utf-8-sig": "utf-8", "utf-16": "utf-16-le", "cp1252": "cp1252", "latin-1": "latin-1"}
"""What a writer uses, and what it is called here."""
TRICKY = '",;\t|\r\n aé'
Table = list[list[str]]


@dataclass(frozen=True)
class Written:
    """A file, how it was written, and what stands in it."""

    content: bytes
    encoding: str
    delimiter: str
    leading_row_count: int
    rows: Table


@st.composite
def written_files(draw: st.DrawFn) -> Written:
    """A header and some rows, by a writer of any dialect."""
    codec = draw(st.sampled_from(sorted(ENCODINGS)))
    width = draw(st.integers(1, 4))
    letters = st.sampled_from(TRICKY) | st.characters(codec=codec)
    cells = st.text(letters, max_size=8)
    data = draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=8))
    rows = [["E-mail", "Name", "City", "Tags"][:width], *data, ["end"] * width]
    delimiter, line_break = draw(st.sampled_from(DELIMITERS)), draw(st.sampled_from(["\r\n", "\n", "\r"]))
    leading_row_count = draw(st.integers(0, 2))
    table = _write(rows, delimiter, line_break, draw(st.sampled_from(list(QUOTING))))
    if draw(st.booleans()):
        table = table.removesuffix(line_break)
    content = (line_break * leading_row_count + table).encode(codec)
    return Written(content, ENCODINGS[codec], delimiter, leading_row_count, rows)


QUOTING: dict[str, Literal[0, 1, 2, 3]] = {
    "minimal": csv.QUOTE_MINIMAL,
    "all": csv.QUOTE_ALL,
    "texts": csv.QUOTE_NONNUMERIC,
    "none": csv.QUOTE_NONE,
}


def _write(rows: Table, delimiter: str, line_break: str, quoting: str) -> str:
    """Python's writer leaves a line break that is not its own without quotes, and some cells need quotes anyway."""
    everything = [cell for row in rows for cell in row]
    letters = set("".join(everything))
    if quoting == "minimal" and letters & set("\r\n") - set(line_break):
        quoting = "all"
    if quoting == "none" and ("" in everything or letters & {'"', delimiter, "\r", "\n"}):
        quoting = "all"
    file = io.StringIO()
    doubles = '"' in letters
    csv.writer(
        file, delimiter=delimiter, lineterminator=line_break, quoting=QUOTING[quoting], doublequote=doubles
    ).writerows(rows)
    return file.getvalue()


@settings(derandomize=True, deadline=None, max_examples=1_500, database=None)
@given(written_files(), st.integers(1, 60))
def test_every_cell_of_any_csv_is_read_back_wherever_it_is_cut(written: Written, span_bytes: int) -> None:
    storage = Storage(MemoryStore())
    bulk_action = _draft(storage, written)
    source = source_of(bulk_action)
    end = storage.size(source.key)
    spans = find_spans(
        lambda start, stop: storage.read(source.key, start, stop),
        end,
        written.delimiter,
        span_bytes,
        source.start,
        written.leading_row_count,
    )
    rows: Table = []
    for span in spans:
        data = storage.read(source.key, span.start_offset, span.end_offset).decode(source.encoding)
        found = list(csv.reader(io.StringIO(data, newline=""), delimiter=written.delimiter))
        assert (span.first_record, span.record_count) == (written.leading_row_count + len(rows), len(found))
        rows += found
    assert rows == written.rows


def _draft(storage: Storage, written: Written) -> BulkAction:
    """As it is after somebody chose how it is read, and a worker began."""
    key = file_key(UUID(int=1), UUID(int=2))
    storage.write(key, [written.content])
    detected = detect_as(
        written.content[:SAMPLE_BYTES], CONTACTS, written.encoding, is_whole=True, delimiter=written.delimiter
    )
    assert detected.format.leading_row_count == written.leading_row_count
    bulk_action = BulkAction(file_key=key, format=detected.format.as_json())
    if detected.format.needs_conversion:
        convert(storage, bulk_action)
    return bulk_action
