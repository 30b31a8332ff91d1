"""Tables as files: CSV for spreadsheets, JSON for programs. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import msgspec

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run as a formula begins with one of these (OWASP, "CSV injection")."""

Cell = str | float | None


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """With a byte order mark, so that spreadsheets read it as UTF-8; what strangers wrote is no formula."""
    file = io.StringIO()
    file.write("\ufeff")
    writer = csv.writer(file)
    writer.writerow(header)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return file.getvalue()


def as_json(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """A list of objects, one a row."""
    return msgspec.json.encode({"data": [dict(zip(header, row, strict=True)) for row in rows]})


def _cell(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return round(cell, 4) if isinstance(cell, float) else cell
