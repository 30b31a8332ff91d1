"""A bulk action in plain words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from webapp.bulk_actions.models import BulkAction, Verb
from webapp.bulk_actions.verbs.selection import SelectionError, selection_from
from webapp.records.chips import chips_of
from webapp.records.context import context_of
from webapp.records.entities import get_entity
from webapp.records.fields import Context, Field
from webapp.records.filters import FilterError
from webapp.records.imports import find_import
from webapp.visits.queries import list_sites

FORMULA_WORDS = {
    "keep": "kept as they are",
    "neutralise": "with an apostrophe in front",
}
TIME_LABELS = {"created_at": "Created", "updated_at": "Changed"}


@dataclass(frozen=True)
class Chosen:
    """Which records a verb was for: in words, with the parts of a filter by themselves."""

    words: str
    parts: tuple[str, ...] = ()


def title_of(bulk_action: BulkAction) -> str:
    """Like "Import people.csv", "Add the tag “vip” to contacts", "Update City of contacts"."""
    entity, parameters = get_entity(bulk_action.entity), bulk_action.parameters
    if bulk_action.verb is Verb.IMPORT:
        return f"{'Try' if bulk_action.is_dry_run else 'Import'} {bulk_action.file_name}"
    if bulk_action.verb in {Verb.ADD_TAGS, Verb.REMOVE_TAGS}:
        tags = ", ".join(f"“{tag}”" for tag in parameters["tags"])
        noun = "tag" if len(parameters["tags"]) == 1 else "tags"
        adds = bulk_action.verb is Verb.ADD_TAGS
        return f"{'Add' if adds else 'Remove'} the {noun} {tags} {'to' if adds else 'from'} {entity.name}"
    if bulk_action.verb is Verb.UPDATE:
        labels = ", ".join(entity.label_of_column(name) for name in parameters["values"])
        return f"Update {labels} of {entity.name}"
    if bulk_action.verb is Verb.EXPORT:
        return f"Export {entity.name} as {parameters['format'].upper()}"
    if bulk_action.verb is Verb.FIND_PICTURES:
        return f"Find pictures of {entity.name}"
    if bulk_action.verb is Verb.UNDO:
        return f"Undo a bulk action on {entity.name}"
    return f"{bulk_action.verb.value.replace('_', ' ').capitalize()} {entity.name}"


def chosen_of(bulk_action: BulkAction) -> Chosen | None:
    """Which records somebody chose; None where there was nothing to choose."""
    entity = get_entity(bulk_action.entity)
    if bulk_action.verb is Verb.DELETE_ALL:
        return Chosen(f"All {entity.name}")
    if bulk_action.selection is None:
        return None
    selection = selection_from(bulk_action.selection)
    if selection.ids is not None:
        count = len(selection.ids)
        return Chosen(f"{count:,} ticked {entity.noun(count)}")
    if selection.deletion_id:
        return Chosen(f"{entity.title} that one bulk action deleted")
    try:
        wanted, zone = selection.filter(entity), ZoneInfo(selection.zone)
    except (FilterError, SelectionError) as error:  # kept before that became a mistake
        return Chosen(f"{entity.title} by a filter that cannot be read any more: {error}")
    organisation_id = bulk_action.organisation_id
    came_with = find_import(organisation_id, wanted.import_id)
    site_names = {site.id: site.name for site in list_sites(organisation_id)} if wanted.did else {}
    chips = chips_of(wanted, entity, zone, context_of(organisation_id), came_with, site_names)
    parts = [f"Search “{wanted.q}”"] if wanted.q else []
    parts += [chip.text for chip in chips]
    if wanted.did and (at := selection.at or bulk_action.selected_at):
        parts.append(f"As of {at.astimezone(zone):%Y-%m-%d %H:%M}")
    return Chosen(f"{entity.title} that matched" if parts else f"All {entity.name}", tuple(parts))


def said_parameters(bulk_action: BulkAction) -> list[tuple[str, str]]:
    """(label, value) of what was said beside the selection: what an update changes, what an export writes."""
    if bulk_action.verb is Verb.UPDATE:
        return _said_values(bulk_action)
    if bulk_action.verb is not Verb.EXPORT:
        return []
    entity, parameters = get_entity(bulk_action.entity), bulk_action.parameters
    labels = [TIME_LABELS.get(name) or entity.label_of_column(name) for name in parameters["columns"]]
    formulas = FORMULA_WORDS[parameters["formulas"]]
    return [("Columns", ", ".join(labels)), ("Cells like a formula", formulas)]


def _said_values(bulk_action: BulkAction) -> list[tuple[str, str]]:
    entity, context = get_entity(bulk_action.entity), context_of(bulk_action.organisation_id)
    return [
        (
            f"{entity.label_of_column(name)} becomes",
            _said_value(entity.fields_by_name.get(name), value, context) or "blank",
        )
        for name, value in bulk_action.parameters["values"].items()
    ]


def _said_value(field: Field | None, literal: str, context: Context) -> str:
    """What people read for a value that is kept in PostgreSQL's text form."""
    if field is None or not literal:
        return literal
    if field.sql_type == "uuid":
        member_id = context.member_of(literal)
        return context.member_names[member_id] if member_id else "somebody who left"
    if field.sql_type == "boolean":
        return field.shown(literal == "t", context)
    if field.sql_type == "text[]":
        return field.shown(json.loads(f"[{literal[1:-1]}]", strict=False), context)
    return literal
