"""Which column of a file goes where. A mapping is {"<column>": "<field>", "attributes.<name>" or None}."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from webapp.records.entities import ATTRIBUTE_PREFIX, Entity
from webapp.records.field_types import is_email
from webapp.records.fields import Field
from webapp.records.phones import as_e164

ColumnMapping = dict[str, str | None]
MAX_ATTRIBUTE_NAME = 100
REPORT_COLUMNS = ("Row number", "Reason")
"""What a file of rejected rows has behind the columns of its own."""
CONTENT_SHARE = 0.5
"""So much of a column's filled cells must be addresses, or phone numbers, before it is taken for their column."""


class MappingError(ValueError):
    """The mapping cannot be used; the message says why."""


def normalise(name: str) -> str:
    """A header reduced to its letters and digits: "E-Mail Address " and "email_address" are the same."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if letter.isalnum())


def fingerprint(header: Sequence[str]) -> str:
    """The same for every file with these columns in this order, and for the file of its rejected rows."""
    own = header[: own_width(header)]
    return hashlib.sha256("\x1f".join(map(normalise, own)).encode("utf-8", "replace")).hexdigest()


def own_width(header: Sequence[str]) -> int:
    """How many columns are the file's own: a file of rejected rows ends with two that go nowhere."""
    last = [normalise(name) for name in header[-len(REPORT_COLUMNS) :]]
    is_report = len(header) > len(last) and last == [normalise(name) for name in REPORT_COLUMNS]
    return len(header) - (len(REPORT_COLUMNS) if is_report else 0)


def field_for(name: str, entity: Entity) -> str | None:
    """The field that a column of this name means."""
    return _spellings(entity).get(normalise(name))


@cache
def _spellings(entity: Entity) -> dict[str, str]:
    """Names first, so that a field's own name is never another's synonym."""
    found: dict[str, str] = {}
    for field in entity.fields:
        found.update({normalise(spelling): field.name for spelling in (field.name, field.label)})
    for field in entity.fields:
        for spelling in field.synonyms:
            found.setdefault(normalise(spelling), field.name)
    return found


def match_columns(header: Sequence[str], rows: Sequence[Sequence[str]], entity: Entity) -> ColumnMapping:
    """Match by name; the first of two columns that mean the same field gets it. Content tells what names do not."""
    mapping: ColumnMapping = {}
    taken: set[str] = set()
    for column, name in enumerate(header):
        field = field_for(name, entity)
        mapping[str(column)] = field if field not in taken else None
        taken.add(field or "")
    for wanted in entity.fields:
        if wanted.type in CONTENTS and wanted.name not in taken:
            _match_by_content(mapping, rows, wanted)
    return mapping


def _match_by_content(mapping: ColumnMapping, rows: Sequence[Sequence[str]], wanted: Field) -> None:
    """The unmatched column with most cells that fit."""
    fits = CONTENTS[wanted.type]
    shares = {column: _share(int(column), rows, fits) for column, field in mapping.items() if field is None}
    best = max(shares, key=lambda column: shares[column], default=None)
    if best is not None and shares[best] >= CONTENT_SHARE:
        mapping[best] = wanted.name


def _share(column: int, rows: Sequence[Sequence[str]], fits: Callable[[str], object]) -> float:
    cells = [row[column].strip() for row in rows if column < len(row) and row[column].strip()]
    return sum(1 for cell in cells if fits(cell)) / len(cells) if cells else 0.0


def _is_whole_phone(cell: str) -> bool:
    """Whether it is a phone number wherever it is dialled: others look too much like any number."""
    return as_e164(cell, "") is not None


CONTENTS: dict[str, Callable[[str], object]] = {"email": is_email, "tel": _is_whole_phone}
"""Types of fields that are told by what stands in a cell."""


def known_target(target: str | None, entity: Entity) -> str | None:
    """The target if it is a field or a well-formed own attribute, else None."""
    if target and (target in entity.fields_by_name or attribute_fault(target) is None):
        return target
    return None


def attribute_fault(target: str) -> str | None:
    """Why a target is no own attribute."""
    name = target.removeprefix(ATTRIBUTE_PREFIX)
    if name == target:
        return f"There is no field called “{target}”."
    if not name.strip() or len(name) > MAX_ATTRIBUTE_NAME or "\x00" in name:
        return f"A field of your own needs a name of 1 to {MAX_ATTRIBUTE_NAME} characters."
    return None


def check_mapping(mapping: Mapping[str, str | None], column_count: int, entity: Entity) -> ColumnMapping:
    """A complete mapping over `column_count` columns; raises MappingError."""
    complete: ColumnMapping = {str(column): mapping.get(str(column)) or None for column in range(column_count)}
    chosen = [target for target in complete.values() if target]
    for target in chosen:
        if target not in entity.fields_by_name and (fault := attribute_fault(target)):
            raise MappingError(fault)
        if chosen.count(target) > 1:
            label = entity.label_of_column(target)
            raise MappingError(f"Two columns are matched to “{label}”. Choose one of them.")
    if entity.key.name not in chosen:
        raise MappingError(
            f"No column is matched to “{entity.key.label}”, which tells two {entity.name} apart. "
            "Choose the column that holds it."
        )
    return complete


def keep_as_attributes(mapping: ColumnMapping, header: Sequence[str]) -> ColumnMapping:
    """Every column that nobody matched becomes an own attribute of its header's name."""
    taken = {target for target in mapping.values() if target}
    kept = dict(mapping)
    for column, name in enumerate(header[: own_width(header)]):
        if kept.get(str(column)) is None:
            kept[str(column)] = target = _free_name(name, column, taken)
            taken.add(target)
    return kept


def _free_name(name: str, column: int, taken: set[str]) -> str:
    plain = " ".join(name.replace("\x00", " ").split())[:MAX_ATTRIBUTE_NAME] or f"Column {column + 1}"
    target, number = ATTRIBUTE_PREFIX + plain, 2
    while target in taken:
        target, number = f"{ATTRIBUTE_PREFIX}{plain[: MAX_ATTRIBUTE_NAME - 6]} ({number})", number + 1
    return target


def leave_attributes_out(mapping: ColumnMapping) -> ColumnMapping:
    """Only the columns that a field matches; every other one is left out."""
    return {column: None if is_attribute(target) else target for column, target in mapping.items()}


def is_attribute(target: str | None) -> bool:
    """Whether a column goes into an own attribute."""
    return bool(target and target.startswith(ATTRIBUTE_PREFIX))


def attribute_target(name: str) -> str | None:
    """The target of an own attribute that somebody named; None without a name, or for one that will not do."""
    target = ATTRIBUTE_PREFIX + " ".join(name.split())
    return target if attribute_fault(target) is None else None
