"""Putting checked rows of a file where the merge finds them: by COPY, in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID
from zlib import crc32

from sqlalchemy import delete

from webapp.contacts.fields import FIELD_NAMES, email_key
from webapp.contacts.models import staged_contacts
from webapp.extensions import db, driver_connection

BUCKET_COUNT = 4096
"""Keys are spread over this many buckets; a merge takes a range of them."""
ROWS_PER_BLOCK = 4_000
COPY_COLUMNS = ("organisation_id", "bulk_action_id", "bucket", "row_number", "email_key", *FIELD_NAMES)
# In COPY's text format these would end a cell or a row, or begin an escape.
ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def stage_contacts(
    organisation_id: UUID, bulk_action_id: UUID, row_numbers: Sequence[int], columns: Mapping[str, Sequence[str]]
) -> None:
    """Copy rows, given as one sequence of cells for each field, in the order of their buckets."""
    if not row_numbers:
        return
    statement = f"COPY staged_contacts ({', '.join(COPY_COLUMNS)}) FROM STDIN WITH (FORMAT text, NULL '')"
    with driver_connection().cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for block in copy_blocks(organisation_id, bulk_action_id, row_numbers, columns):
            copy.write(block)


def copy_blocks(
    organisation_id: UUID, bulk_action_id: UUID, row_numbers: Sequence[int], columns: Mapping[str, Sequence[str]]
) -> Iterator[bytes]:
    """The rows in COPY's text format. A blank cell is NULL; neighbours share a bucket, so a merge reads few pages."""
    keys = email_keys(columns["email"])
    buckets = [crc32(key) % BUCKET_COUNT for key in map(str.encode, keys)]
    blank = [""] * len(row_numbers)
    lines = copy_lines([buckets, row_numbers], [keys, *(columns.get(name, blank) for name in FIELD_NAMES)])
    order = sorted(range(len(lines)), key=buckets.__getitem__)
    start = f"{organisation_id}\t{bulk_action_id}\t"
    for first in range(0, len(order), ROWS_PER_BLOCK):
        block = f"\n{start}".join([lines[position] for position in order[first : first + ROWS_PER_BLOCK]])
        yield f"{start}{block}\n".encode()


def copy_lines(numbers: Sequence[Sequence[int]], cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows as COPY's lines. Cells are escaped only where the lines show that one of them needs it."""
    shown = [list(map(str, column)) for column in numbers]
    lines = list(map("\t".join, zip(*shown, *cells, strict=True)))
    whole = "\n".join(lines)
    tab_count = len(lines) * (len(shown) + len(cells) - 1)
    is_plain = "\\" not in whole and "\r" not in whole
    if is_plain and whole.count("\t") == tab_count and whole.count("\n") == len(lines) - 1:
        return lines
    return list(map("\t".join, zip(*shown, *map(escaped, cells), strict=True)))


def email_keys(emails: Sequence[str]) -> Sequence[str]:
    """The unique keys of a column of addresses."""
    if "".join(emails).isascii():
        return list(map(str.lower, emails))
    return list(map(email_key, emails))


def escaped(column: Sequence[str]) -> Sequence[str]:
    """The column as COPY's text format wants it; hardly any column needs a change."""
    whole = "".join(column)
    for special, escape in ESCAPES:
        if special in whole:
            column = [cell.replace(special, escape) for cell in column]
    return column


def clean_staged(organisation_id: UUID, bulk_action_id: UUID, start: int, end: int) -> None:
    """Remove what an import staged in buckets from `start` up to, not including, `end`."""
    staged = staged_contacts.c
    db.session.execute(
        delete(staged_contacts).where(
            staged.organisation_id == organisation_id,
            staged.bulk_action_id == bulk_action_id,
            staged.bucket >= start,
            staged.bucket < end,
        )
    )
