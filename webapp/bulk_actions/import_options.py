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
from webapp.records.field_types import regions

TRUE = {"1", "true", "yes"}


class OptionError(ValueError):
    """An option cannot be used; the message says why."""


def apply_options(draft: BulkAction, options: Mapping[str, str], storage: Storage) -> None:
    """Format, mapping and rules as the caller wants them. Raises OptionError or UnreadableFileError."""
    _read_as(draft, options, storage)
    if text := options.get("mapping"):
        drafts.change_mapping(draft, _mapping(draft, _object(text, "mapping")))
    if _is_true(options.get("keep_unmapped", "")):
        drafts.change_mapping(draft, keep_as_attributes(dict(draft.mapping), draft.format["header"]))
    _change_rules(draft, options)


def _change_rules(draft: BulkAction, options: Mapping[str, str]) -> None:
    """What is not said stays as it was remembered."""
    rules = _object(options.get("rules") or "{}", "rules")
    if mode := options.get("mode"):
        rules["mode"] = mode
    region = options.get("region") or draft.parameters.get("region", "")
    if region and region not in regions():
        raise OptionError(f"`region` is not the ISO 3166 code of a country, such as DE: “{region[:20]}”.")
    try:
        _check_targets(draft, rules)
        drafts.change_rules(draft, {**draft.rules, **rules}, region)
    except OptionError:
        raise
    except (ValueError, AttributeError, TypeError) as error:
        raise OptionError(f"The rules cannot be used: {error}.") from error


def _check_targets(draft: BulkAction, rules: Mapping[str, Any]) -> None:
    """Raise OptionError for a rule about something that no column goes into."""
    for name in [*rules.get("policies", ()), *rules.get("cleared", ())]:
        if name not in draft.mapping.values():
            raise OptionError(f"No column goes into “{str(name)[:60]}”, so no rule can be about it.")


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
        has_header=_is_true(options["has_header"]) if options.get("has_header") else before.has_header,
        sheet=options.get("sheet", ""),
    )


def _mapping(draft: BulkAction, given: Mapping[str, Any]) -> dict[str, str | None]:
    """By the column's name, or its place, the first being 1; one that is not named stays as it was matched."""
    entity, mapping = get_entity(draft.entity), dict(draft.mapping)
    places = {str(place + 1): str(place) for place in range(len(mapping))}
    places |= {name: str(place) for place, name in enumerate(draft.format["header"])}
    for column, target in given.items():
        place = places.get(column)
        if place is None:
            raise OptionError(f"There is no column “{column[:60]}”.")
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
    return _is_true(options.get("dry_run", ""))


def _is_true(text: str) -> bool:
    return text.lower() in TRUE
