"""What a program says about an import beside its file: form fields that come before the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from webapp.bulk_actions import drafts
from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.mapping import attribute_fault, keep_as_attributes
from webapp.bulk_actions.models import BulkAction
from webapp.lib.storage import Storage
from webapp.records.entities import get_entity

TRUE = {"1", "true", "yes"}


class OptionError(ValueError):
    """An option cannot be used; the message says why."""


def apply_options(draft: BulkAction, options: Mapping[str, str], storage: Storage) -> None:
    """Format, mapping and rules as the caller wants them. Raises OptionError or UnreadableFileError."""
    _read_as(draft, options, storage)
    if text := options.get("mapping"):
        drafts.change_mapping(draft, _mapping(draft, _object(text, "mapping")))
    if options.get("keep_unmapped", "").lower() in TRUE:
        drafts.change_mapping(draft, keep_as_attributes(dict(draft.mapping), draft.format["header"]))
    rules = _object(options.get("rules", "{}"), "rules")
    if mode := options.get("mode"):
        rules["mode"] = mode
    if rules or options.get("region"):
        try:
            drafts.change_rules(draft, {**draft.rules, **rules}, options.get("region", ""))
        except (ValueError, AttributeError) as error:
            raise OptionError(f"The rules cannot be used: {error}") from error


def _read_as(draft: BulkAction, options: Mapping[str, str], storage: Storage) -> None:
    before = FileFormat(**draft.format)
    wanted = replace(
        before,
        encoding=options.get("encoding") or before.encoding,
        delimiter=options.get("delimiter") or before.delimiter,
    )
    drafts.change_format(
        draft,
        storage,
        encoding=wanted.encoding,
        delimiter=wanted.delimiter,
        has_header=before.has_header,
        sheet=options.get("sheet", ""),
    )


def _mapping(draft: BulkAction, given: Mapping[str, Any]) -> dict[str, str | None]:
    """By the column's place, the first being 1; a column that is not named stays as it was matched."""
    entity, mapping = get_entity(draft.entity), dict(draft.mapping)
    for column, target in given.items():
        place = str(int(column) - 1) if str(column).isdecimal() else ""
        if place not in mapping:
            raise OptionError(f"There is no column {column}.")
        if target and target not in entity.fields_by_name and (fault := attribute_fault(str(target))):
            raise OptionError(fault)
        mapping[place] = str(target) if target else None
    return mapping


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise OptionError(f"`{name}` is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise OptionError(f"`{name}` is not a JSON object.")
    return found


def run_at_of(options: Mapping[str, str]) -> datetime | None:
    """When to start; raises OptionError for what is no moment with its offset."""
    text = options.get("run_at", "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise OptionError("`run_at` is not a moment such as 2026-11-23T18:30:00+01:00.") from error
    if moment.tzinfo is None:
        raise OptionError("`run_at` needs its offset from UTC, such as 2026-11-23T18:30:00+01:00.")
    return moment


def is_dry_run(options: Mapping[str, str]) -> bool:
    """Whether nothing shall be changed."""
    return options.get("dry_run", "").lower() in TRUE
