"""What a record's form shows, and what comes back from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from webapp.records.entities import ATTRIBUTES, Entity
from webapp.records.fields import Context, Field
from webapp.records.service import InvalidRecordError

ATTRIBUTE_NAME = "attribute-name"
ATTRIBUTE_VALUE = "attribute-value"
VERSION = "version"
VERSION_LENGTH = 32
NO_ROW = ("", "")

Row = tuple[str, str]
"""Name and value of an own field."""


@dataclass(frozen=True)
class Difference:
    """What somebody else saved in a field meanwhile, and what this person entered."""

    label: str
    now: str
    entered: str


def texts_of(entity: Entity, record: Any, context: Context) -> dict[str, str]:
    """What the form of a record shows in its fields."""
    return {field.name: _text(field, getattr(record, field.name), context) for field in entity.fields}


def new_texts(entity: Entity) -> dict[str, str]:
    """What the form of a new record begins with."""
    return {field.name: "yes" if field.sql_type == "boolean" else "" for field in entity.fields}


def _text(field: Field, value: Any, context: Context) -> str:
    if field.sql_type == "text[]":
        return ", ".join(value or ())
    if field.sql_type == "uuid" and value is not None:
        return context.member_emails.get(value, str(value))  # somebody who left goes on to own it
    return field.shown(value, context)


def posted_texts(entity: Entity, form: MultiDict[str, str]) -> dict[str, str]:
    """What was entered, with line breaks as they are kept."""
    return {name: form.get(name, "").replace("\r\n", "\n") for name in entity.field_names}


def changed(entity: Entity, texts: Mapping[str, str], shown: Mapping[str, str]) -> dict[str, str]:
    """Those fields in which something else was entered than was shown."""
    large = {field.name for field in entity.fields if field.is_multiline}
    return {name: text for name, text in texts.items() if not _are_same(text, shown[name], in_large=name in large)}


def _are_same(entered: str, shown: str, *, in_large: bool) -> bool:
    """But for what browsers make of line breaks: others in large boxes, none in small ones."""
    entered, shown = (text.replace("\r\n", "\n").replace("\r", "\n").strip() for text in (entered, shown))
    return entered == (shown if in_large else shown.replace("\n", ""))


def _are_same_values(entered: str, shown: str) -> bool:
    """Own fields have large boxes where they have several lines."""
    return _are_same(entered, shown, in_large="\n" in shown)


def rows_of(attributes: Mapping[str, str]) -> list[Row]:
    """The rows of own fields, and one to fill in."""
    return [*sorted(attributes.items()), NO_ROW]


def posted_rows(form: MultiDict[str, str]) -> list[Row]:
    """The rows as they were entered."""
    names, values = form.getlist(ATTRIBUTE_NAME), form.getlist(ATTRIBUTE_VALUE)
    return list(zip(names, values, strict=False))


def rearranged(form: MultiDict[str, str]) -> list[Row] | None:
    """The rows with one more or one less, if that was asked for instead of saving."""
    rows = posted_rows(form)
    if "add_row" in form:
        return [*rows, NO_ROW]
    if "remove_row" not in form:
        return None
    kept = [row for number, row in enumerate(rows) if str(number) != form["remove_row"]]
    return kept or [NO_ROW]


def posted_attributes(form: MultiDict[str, str]) -> dict[str, str] | None:
    """Own fields by name; None when the form had none of them. Raises InvalidRecordError."""
    if ATTRIBUTE_NAME not in form:
        return None
    found: dict[str, str] = {}
    for row_name, value in posted_rows(form):
        name = " ".join(row_name.split())
        if not name and value.strip():
            raise InvalidRecordError({ATTRIBUTES: f"Give the field with “{value.strip()[:60]}” a name."})
        if name in found:
            raise InvalidRecordError({ATTRIBUTES: f"Two fields are called {name}. Keep one of them."})
        if name:
            found[name] = value.replace("\r\n", "\n")
    return found


def replacing(attributes: Mapping[str, str] | None, kept: Mapping[str, str]) -> dict[str, str | None] | None:
    """What makes a record's own fields these: those that were taken out of the form become blank."""
    if attributes is None:
        return None
    entered = {name: text for name, text in attributes.items() if not _are_same_values(text, kept.get(name, ""))}
    return {**dict.fromkeys(kept.keys() - attributes.keys()), **entered}


def version_of(entity: Entity, record: Any) -> str:
    """What tells whether a form still shows what is kept; a picture that was found meanwhile does not change it."""
    values = {field.name: field.as_json(getattr(record, field.name)) for field in entity.fields}
    kept = json.dumps([values, record.attributes], sort_keys=True)
    return hashlib.sha256(kept.encode()).hexdigest()[:VERSION_LENGTH]


def was_changed_since(entity: Entity, record: Any, form: MultiDict[str, str]) -> bool:
    """Whether somebody else changed a field after this form was opened."""
    return form.get(VERSION, "") not in {"", version_of(entity, record)}


def differences(
    entity: Entity,
    shown: Mapping[str, str],
    texts: Mapping[str, str],
    kept: Mapping[str, str],
    attributes: Mapping[str, str],
) -> Sequence[Difference]:
    """Where a record (`shown`, and its own fields as `kept`) is not what was entered."""
    others = changed(entity, texts, shown)
    found = [Difference(entity.label_of_column(name), shown[name], text) for name, text in others.items()]
    names = sorted(kept.keys() | attributes.keys())
    own = [Difference(name, kept.get(name, ""), attributes.get(name, "").strip()) for name in names]
    return [*found, *(one for one in own if not _are_same_values(one.entered, one.now))]
