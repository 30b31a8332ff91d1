"""Workbooks for tests, as spreadsheets write them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import xlsxwriter

FORMATS = {date: "dd.mm.yyyy", datetime: "yyyy-mm-dd hh:mm:ss", time: "hh:mm", timedelta: "[h]:mm:ss"}
MANIFEST = (
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
    '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>'
)


def workbook_of(sheets: Mapping[str, Iterable[Sequence[Any]]], *, hidden: Sequence[str] = (), **options: Any) -> bytes:
    """An XLSX with these rows in each sheet; None leaves a cell out, `=…` is a formula with its error as value."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, **options}) as workbook:
        formats = {kind: workbook.add_format({"num_format": shown}) for kind, shown in FORMATS.items()}
        for name, rows in sheets.items():
            sheet = workbook.add_worksheet(name)
            for row, cells in enumerate(rows):
                for column, cell in enumerate(cells):
                    _write(sheet, row, column, cell, formats)
            if name in hidden:
                sheet.hide()
        next(sheet for sheet in workbook.worksheets() if sheet.name not in hidden).activate()
    return file.getvalue()


def _write(sheet: Any, row: int, column: int, cell: Any, formats: Mapping[type, Any]) -> None:
    if cell is None:
        return
    if isinstance(cell, str) and cell.startswith("=#"):
        sheet.write_formula(row, column, "=NA()", None, cell[1:])
    elif isinstance(cell, str):
        sheet.write_string(row, column, cell)
    else:
        sheet.write(row, column, cell, formats.get(type(cell)))


def rewritten(workbook: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The workbook with every part as `change(name, content)` gives it; None leaves it out."""
    file = io.BytesIO()
    with ZipFile(io.BytesIO(workbook)) as old, ZipFile(file, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return file.getvalue()


def open_document(rows: Iterable[Sequence[str]]) -> bytes:
    """An ODS with one sheet of texts, called "Sheet1"."""
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    lines = ("".join(map(cell.format, cells)) for cells in rows)
    table = "".join(f"<table:table-row>{line}</table:table-row>" for line in lines)
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces}><office:body><office:spreadsheet>'
        f'<table:table table:name="Sheet1">{table}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", MANIFEST)
        archive.writestr("content.xml", content)
    return file.getvalue()
