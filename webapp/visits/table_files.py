"""Tables as files to download, in one shape for every page that has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from flask import Response

from webapp.visits.site_page.tables import Cell, as_csv, as_json

FileKind = Callable[[Sequence[str], Sequence[Sequence[Cell]]], str | bytes]
WRITERS: Mapping[str, FileKind] = MappingProxyType({"csv": as_csv, "json": as_json})
"""By how a file's address ends."""
ENDINGS = "<any(csv, json):kind>"


def table_file(write: FileKind, name: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Response:
    """A table as a file of this name."""
    kind = "csv" if write is as_csv else "json"
    content_type = "text/csv; charset=utf-8" if kind == "csv" else "application/json"
    response = Response(write(header, rows), content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response
