"""A filter in plain words, one piece for each of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from types import MappingProxyType
from uuid import UUID

from webapp.records.entities import Entity
from webapp.records.fields import Context
from webapp.records.filters import OPERATOR_LABELS, Condition, RecordFilter, write_filter
from webapp.records.imports import Import
from webapp.visits.behaviour.words import words_of

NO_SITES: Mapping[UUID, str] = MappingProxyType({})


@dataclass(frozen=True)
class Chip:
    """One part: its words, and the argument and value whose removal takes it away."""

    text: str
    name: str
    value: str


WORDS = {
    "created_from": "Added since {}",
    "created_to": "Added until {}",
    "updated_from": "Changed since {}",
    "updated_to": "Changed until {}",
}


def chips_of(
    wanted: RecordFilter,
    entity: Entity,
    zone: tzinfo,
    context: Context,
    came_with: Import | None = None,
    site_names: Mapping[UUID, str] = NO_SITES,
) -> list[Chip]:
    """The parts of a filter but the text that is searched, which stands in its own box; they name `came_with`."""
    arguments = write_filter(wanted, zone)
    chips = [Chip(f"Tag “{tag}”", "tag", tag) for tag in wanted.tags]
    chips += [Chip(_said(condition, entity, context), "where", condition.as_text()) for condition in wanted.conditions]
    chips += [Chip(words.format(arguments[name][0]), name, "") for name, words in WORDS.items() if name in arguments]
    if wanted.import_id:
        chips.append(
            Chip(f"Came with {came_with.file_name}" if came_with else "Came with an unknown import", "import", "")
        )
    if wanted.is_seen is not None:
        chips.append(Chip("Seen on a website" if wanted.is_seen else "Never seen on a website", "seen", ""))
    return [*chips, *(Chip(words_of(one, site_names), "did", one.as_text()) for one in wanted.did)]


def _said(condition: Condition, entity: Entity, context: Context) -> str:
    value = _shown_value(condition, entity, context)
    words = f"{entity.label_of_column(condition.column)} {OPERATOR_LABELS[condition.operator]}"
    return f"{words} “{value}”" if condition.operator.needs_value else words


def _shown_value(condition: Condition, entity: Entity, context: Context) -> str:
    field = entity.fields_by_name.get(condition.column)
    if field is None or field.sql_type != "uuid":
        return condition.value
    emails: Mapping[UUID, str] = context.member_emails
    return next((email for member, email in emails.items() if str(member) == condition.value), condition.value)


def without(arguments: Mapping[str, list[str]], chip: Chip) -> dict[str, list[str]]:
    """The address's arguments without one part; a list begins at its front again."""
    kept = {name: values for name, values in arguments.items() if name != "cursor"}
    if chip.value:
        kept[chip.name] = [value for value in kept.get(chip.name, []) if value != chip.value]
    else:
        kept.pop(chip.name, None)
    return kept
