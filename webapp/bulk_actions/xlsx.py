"""An XLSX sheet cut into small workbooks of some rows each, so that reading it takes little memory.

Calamine keeps a whole sheet: 940 MB for a million rows of ten cells. A sheet is XML in a zip, though, where rows follow
one another; a few of them with the workbook's own styles around are a workbook again, which calamine reads in
a moment. What a cell takes from elsewhere, its text out of the shared strings, is put into it; an error, of which
calamine says nothing, becomes the text that the spreadsheet shows.
"""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO
from xml.etree import ElementTree
from zipfile import ZipFile

WORKBOOK = "xl/workbook.xml"
RELATIONS = "xl/_rels/workbook.xml.rels"
KEPT_PARTS = ("[Content_Types].xml", "_rels/.rels", WORKBOOK, RELATIONS, "xl/styles.xml")
FIRST_BLOCK_BYTES = 256 * 1024
BLOCK_BYTES = 4 * 1024 * 1024
LONGEST_ROW_BYTES = 64 * 1024 * 1024
ROOT = re.compile(rb"<((?:\w+:)?)worksheet\b[^<>]*>")
SHARED_STRING = re.compile(rb"<((?:\w+:)?)si\b[^<>]*?(?:/>|>(.*?)</\1si>)", re.DOTALL)


class BrokenSheetError(Exception):
    """The workbook's parts are not as they must be."""


@dataclass
class SharedStrings:
    """The workbook's table of texts, as XML, read as far as somebody asks."""

    stream: IO[bytes] | None
    _texts: list[bytes] = field(default_factory=list)
    _rest: bytes = b""

    def __getitem__(self, index: int) -> bytes:
        while index >= len(self._texts):
            block = self.stream.read(BLOCK_BYTES) if self.stream else b""
            if not block or len(self._rest) > LONGEST_ROW_BYTES:
                raise BrokenSheetError(f"There is no shared string {index}.")
            self._take(self._rest + block)
        return self._texts[index]

    def _take(self, xml: bytes) -> None:
        end = 0
        for found in SHARED_STRING.finditer(xml):
            self._texts.append(found[2] or b"")
            end = found.end()
        self._rest = xml[end:]


def is_xlsx(archive: ZipFile) -> bool:
    return WORKBOOK in archive.namelist()


def small_workbooks(archive: ZipFile, sheet: str) -> Iterator[bytes]:
    """The sheet in workbooks of some rows each, in order; the rows keep their numbers. None for an empty sheet."""
    relations = _relations(archive)
    part = _part_of(archive, sheet, relations)
    kept = _kept(archive)
    strings = SharedStrings(archive.open(relations["sharedStrings"]) if "sharedStrings" in relations else None)
    with archive.open(part) as stream:
        for xml in _sheets(stream, strings):
            yield _zipped(kept | {part: xml})


def bare_workbook(archive: ZipFile) -> bytes:
    """The workbook without any sheet's rows; it still knows the sheets' names."""
    return _zipped(_kept(archive))


def _kept(archive: ZipFile) -> dict[str, bytes]:
    return {name: archive.read(name) for name in KEPT_PARTS if name in archive.namelist()}


def _relations(archive: ZipFile) -> dict[str, str]:
    """The part behind every id, and behind the last word of every type, such as "sharedStrings"."""
    found = {}
    for relation in ElementTree.fromstring(archive.read(RELATIONS)):  # noqa: S314  (in a process with limits)
        target = posixpath.normpath(posixpath.join("/xl", relation.get("Target", ""))).removeprefix("/")
        found[relation.get("Type", "").rsplit("/", 1)[-1]] = found[relation.get("Id", "")] = target
    return found


def _part_of(archive: ZipFile, sheet: str, relations: dict[str, str]) -> str:
    for element in ElementTree.fromstring(archive.read(WORKBOOK)).iter():  # noqa: S314
        if element.tag.endswith("}sheet") and element.get("name") == sheet:
            relation_id = next(value for name, value in element.items() if name.endswith("}id"))
            return relations[relation_id]
    raise BrokenSheetError(f"There is no sheet {sheet}.")


def _sheets(stream: IO[bytes], strings: SharedStrings) -> Iterator[bytes]:
    """The sheet's XML in pieces of whole rows, each a sheet by itself. The first is small: often it is enough."""
    start, prefix, buffer = _read_start(stream)
    end_of_row, end_of_rows = b"</%brow>" % prefix, b"</%bsheetData>" % prefix
    pieces = Pieces(prefix, strings)
    while end_of_rows not in buffer:
        cut = buffer.rfind(end_of_row) + 1
        if cut:
            cut += len(end_of_row) - 1
            yield start + pieces.completed(buffer[:cut]) + end_of_rows + b"</%bworksheet>" % prefix
        buffer = buffer[cut:]
        block = stream.read(BLOCK_BYTES)
        if not block or len(buffer) > LONGEST_ROW_BYTES:
            raise BrokenSheetError("The sheet does not end.")
        buffer += block
    rows = buffer[: buffer.index(end_of_rows)]
    if rows:
        yield start + pieces.completed(rows) + end_of_rows + b"</%bworksheet>" % prefix


def _read_start(stream: IO[bytes]) -> tuple[bytes, bytes, bytes]:
    """(what opens the sheet and its rows, the prefix of all names, what follows)."""
    xml = stream.read(FIRST_BLOCK_BYTES)
    root = ROOT.search(xml)
    if root is None:
        raise BrokenSheetError("The sheet does not begin.")
    opening = re.compile(rb"<%bsheetData\b[^<>]*>" % root[1])
    while (rows := opening.search(xml)) is None:
        block = stream.read(BLOCK_BYTES)
        if not block or len(xml) > LONGEST_ROW_BYTES:
            raise BrokenSheetError("The sheet has no rows.")
        xml += block
    start = xml[: root.end()] + b"<%bsheetData>" % root[1]
    is_empty = rows[0].endswith(b"/>")
    return start, root[1], b"</%bsheetData>" % root[1] if is_empty else xml[rows.end() :]


class Pieces:
    """Makes rows independent of what stands elsewhere in the workbook."""

    def __init__(self, prefix: bytes, strings: SharedStrings) -> None:
        self._prefix = prefix
        self._strings = strings
        self._row_count = 0
        self._row = re.compile(rb"<%brow\b([^<>]*)>" % prefix)
        formula = rb"<%bf\b[^<>]*(?:/>|>[^<]*</%bf>)" % (prefix, prefix)
        self._cell = re.compile(
            rb'(<%bc\b[^<>]*?\st=")([se])("[^<>]*>)(?:%b)?<%bv>([^<]*)</%bv>' % (prefix, formula, prefix, prefix)
        )

    def completed(self, rows: bytes) -> bytes:
        """The rows with their own texts, the first with its number."""
        first = self._row.search(rows)
        if first and b' r="' not in first[1]:  # then no row has a number, and counting gives it
            count = len(self._row.findall(rows))
            number = b'<%brow r="%d"' % (self._prefix, self._row_count + 1)
            rows = number + rows[first.start(1) :]
            self._row_count += count
        return self._cell.sub(self._completed_cell, rows)

    def _completed_cell(self, cell: re.Match[bytes]) -> bytes:
        if cell[2] == b"e":
            return b"%bstr%b<%bv>%b</%bv>" % (cell[1], cell[3], self._prefix, cell[4], self._prefix)
        text = self._strings[int(cell[4])]
        return b"%binlineStr%b<%bis>%b</%bis>" % (cell[1], cell[3], self._prefix, text, self._prefix)


def _zipped(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()
