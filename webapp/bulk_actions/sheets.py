"""A workbook's sheet as CSV, made by a process of its own that may take only so much memory and time.

    python -m webapp.bulk_actions.sheets head FILE [SHEET]      the sheets in a line of JSON, then the first rows
    python -m webapp.bulk_actions.sheets rows FILE SHEET WIDTH  all rows

Row n of the sheet is record n of the CSV, so that people find it by its number. A row is as wide as the table, and
wider where it has more cells. Dates are ISO 8601, whole numbers have no point, the truth is true or false.
It ends with 2 and the reason on its standard error when the workbook cannot be read.
"""

from __future__ import annotations

import csv
import io
import json
import mmap
import resource
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from zipfile import BadZipFile, ZipFile, is_zipfile

from python_calamine import (
    CalamineError,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
    load_workbook,
)

from webapp.bulk_actions.xlsx import BrokenSheetError, bare_workbook, is_xlsx, small_workbooks

Cell = int | float | str | bool | date | time | timedelta
UNREADABLE = 2
HEAD_ROWS = 201
HEAD_CHARACTERS = 2 * 1024 * 1024
MAX_ROWS = 1_048_576
"""As many as a spreadsheet has; only a file made to do harm names a row beyond."""
MAX_UNPACKED_BYTES = 16 * 1024**3
MEMORY_BYTES = {"head": 1024**3, "rows": 2 * 1024**3}
CPU_SECONDS = {"head": 60, "rows": 3_600}
LONGEST_NUMBER = 1e21
OLE_SIGNATURE = b"\xd0\xcf\x11\xe0"
# Excel keeps a workbook with a password inside such a stream of an old container.
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


class UnreadableWorkbookError(Exception):
    """The message says why, and what to do."""


PROTECTED = "This workbook is protected by a password. Remove the password in the spreadsheet, save, and drop it again."
BROKEN = (
    "This looks like a spreadsheet or a zip archive, and no rows can be read from it. "
    "Open it in a spreadsheet, save it as XLSX or CSV (UTF-8), and drop that."
)
TOO_LARGE = "This workbook unpacks to more than can be read. Save the sheet as CSV (UTF-8), and drop that."


def main(arguments: list[str]) -> int:
    verb, path, *more = arguments
    _limit(resource.RLIMIT_DATA, MEMORY_BYTES[verb])
    _limit(resource.RLIMIT_CPU, CPU_SECONDS[verb])
    _limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever read this is gone
    output = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        refuse_unreadable(path)
        if verb == "head":
            write_head(path, more[0] if more else None, output)
        else:
            write_rows(filled_rows(path, more[0]), int(more[1]), output)
        output.flush()
    except (UnreadableWorkbookError, PasswordError, CalamineError, BrokenSheetError, BadZipFile, MemoryError) as error:
        print(_reason(error), file=sys.stderr)
        return UNREADABLE
    return 0


def _limit(what: int, most: int) -> None:
    """Less than `most` where this machine allows no more."""
    hard = resource.getrlimit(what)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (limit, limit))


def _reason(error: Exception) -> str:
    if isinstance(error, UnreadableWorkbookError):
        return str(error)
    if isinstance(error, PasswordError):
        return PROTECTED
    return TOO_LARGE if isinstance(error, MemoryError) else BROKEN


def refuse_unreadable(path: str) -> None:
    """Raise for what is encrypted, and for a zip that says itself that it would fill the disk."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:4] == OLE_SIGNATURE and content.find(ENCRYPTED) >= 0:
            raise UnreadableWorkbookError(PROTECTED)
    if not is_zipfile(path):
        return
    with ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > MAX_UNPACKED_BYTES:
            raise UnreadableWorkbookError(TOO_LARGE)


def write_head(path: str, sheet: str | None, output: io.TextIOBase) -> None:
    """The sheets, those that people see first, and the first rows of this one (default: the first that has any)."""
    sheets = sheet_names(path)
    for name in [sheet] if sheet else sheets:
        rows = _first_rows(path, name)
        if rows:
            output.write(json.dumps({"sheets": sheets, "sheet": name}) + "\n")
            write_rows(rows, max(len(cells) for _, cells in rows), output)
            return
    what = f"The sheet “{sheet}” is empty. Choose another one." if sheet else "No sheet of this workbook has any rows."
    raise UnreadableWorkbookError(what)


def _first_rows(path: str, sheet: str) -> list[tuple[int, list[str]]]:
    rows, character_count = [], 0
    with closing(filled_rows(path, sheet)) as found:
        for row in islice(found, HEAD_ROWS):
            rows.append(row)
            character_count += sum(map(len, row[1]))
            if character_count > HEAD_CHARACTERS:
                break
    return rows


def sheet_names(path: str) -> list[str]:
    """Sheets of cells, hidden ones last."""
    with load_workbook(_without_sheets(path)) as workbook:
        found = [sheet for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    found.sort(key=lambda sheet: sheet.visible != SheetVisibleEnum.Visible)
    return [sheet.name for sheet in found]


def _without_sheets(path: str) -> str | io.BytesIO:
    """Of an XLSX, what names the sheets: there may be hundreds of megabytes of texts in it."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if is_xlsx(archive):
                return io.BytesIO(bare_workbook(archive))
    return path


def filled_rows(path: str, sheet: str) -> Generator[tuple[int, list[str]], None, None]:
    """(its place, its cells up to the last that holds anything) of every row that holds anything; the first is 0."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if is_xlsx(archive):
                for content in small_workbooks(archive, sheet):
                    yield from _rows_of(load_workbook(io.BytesIO(content)), sheet)
                return
    yield from _rows_of(load_workbook(path), sheet)


def _rows_of(workbook: CalamineWorkbook, name: str) -> Iterator[tuple[int, list[str]]]:
    with workbook:
        sheet = workbook.get_sheet_by_name(name)
        if sheet.start is None or sheet.end is None:
            return
        if sheet.end[0] >= MAX_ROWS:
            raise UnreadableWorkbookError(TOO_LARGE)
        top, left = sheet.start
        for place, row in enumerate(sheet.to_python(), top):
            cells = [cell if type(cell) is str else text_of(cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                yield place, [""] * left + cells


def text_of(cell: Cell) -> str:
    """A cell as the CSV has it."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float):
        return _number(cell)
    if isinstance(cell, timedelta):
        return _duration(cell)
    if isinstance(cell, datetime | time):
        return cell.isoformat(timespec="milliseconds" if cell.microsecond else "seconds")
    return cell if isinstance(cell, str) else cell.isoformat()


def _number(cell: float) -> str:
    """With the 15 digits that a spreadsheet keeps; long whole numbers, such as those of articles, stay digits."""
    text = f"{cell:.15g}"
    return str(int(Decimal(text))) if abs(cell) < LONGEST_NUMBER and cell == int(cell) else text


def _duration(cell: timedelta) -> str:
    """In the notation of ISO 8601, as hours, minutes and seconds: PT36H30M0S."""
    minutes, seconds = divmod(round(abs(cell).total_seconds()), 60)
    sign = "-" if cell < timedelta() else ""
    return f"{sign}PT{minutes // 60}H{minutes % 60}M{seconds}S"


def write_rows(rows: Iterable[tuple[int, list[str]]], width: int, output: io.TextIOBase) -> None:
    """As CSV, an empty line for every row that holds nothing."""
    writer = csv.writer(output, lineterminator="\r\n")  # these two are what it then knows to quote
    following = 0
    for place, cells in rows:
        while following < place:
            writer.writerow(())
            following += 1
        writer.writerow(cells + [""] * (width - len(cells)))
        following = place + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
