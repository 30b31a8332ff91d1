"""Which column of a file goes into which field. A mapping is {"<column>": "<field>" or None}."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence

from webapp.contacts.fields import FIELDS, FIELDS_BY_NAME, KEY_FIELD, is_email

ColumnMapping = dict[str, str | None]


class MappingError(ValueError):
    """The mapping cannot be used; the message says why."""


def normalise(name: str) -> str:
    """A header reduced to its letters and digits: "E-Mail Address " and "email_address" are the same."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if letter.isalnum())


def fingerprint(header: Sequence[str]) -> str:
    """The same for every file with these columns in this order."""
    return hashlib.sha256("\x1f".join(map(normalise, header)).encode("utf-8", "replace")).hexdigest()


def field_for(name: str) -> str | None:
    """The field that a column of this name means."""
    return FIELD_BY_SPELLING.get(normalise(name))


def match_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> ColumnMapping:
    """Match by name; the first of two columns that mean the same field gets it. Find e-mail by content if need be."""
    mapping: ColumnMapping = {}
    taken: set[str] = set()
    for column, name in enumerate(header):
        field = field_for(name)
        mapping[str(column)] = field if field not in taken else None
        taken.add(field or "")
    if KEY_FIELD.name not in taken:
        _match_email_by_content(mapping, rows)
    return mapping


def _match_email_by_content(mapping: ColumnMapping, rows: Sequence[Sequence[str]]) -> None:
    """The unmatched column with most addresses, if at least half of its filled cells are some."""
    shares = {column: _email_share(int(column), rows) for column, field in mapping.items() if field is None}
    best = max(shares, key=lambda column: shares[column], default=None)
    if best is not None and shares[best] >= 0.5:
        mapping[best] = KEY_FIELD.name


def _email_share(column: int, rows: Sequence[Sequence[str]]) -> float:
    cells = [row[column].strip() for row in rows if column < len(row) and row[column].strip()]
    return sum(1 for cell in cells if is_email(cell)) / len(cells) if cells else 0.0


def check_mapping(mapping: Mapping[str, str | None], column_count: int) -> ColumnMapping:
    """A complete mapping over `column_count` columns; raises MappingError."""
    complete: ColumnMapping = {str(column): mapping.get(str(column)) or None for column in range(column_count)}
    chosen = [field for field in complete.values() if field]
    for field in chosen:
        if field not in FIELDS_BY_NAME:
            raise MappingError(f"There is no field called “{field}”.")
        if chosen.count(field) > 1:
            raise MappingError(f"Two columns are matched to “{FIELDS_BY_NAME[field].label}”. Choose one of them.")
    if KEY_FIELD.name not in chosen:
        raise MappingError(
            f"No column is matched to “{KEY_FIELD.label}”, which tells two contacts apart. "
            "Choose the column that holds it."
        )
    return complete


FIELD_BY_SPELLING = {
    normalise(spelling): field.name for field in FIELDS for spelling in (field.name, field.label, *field.synonyms)
}
