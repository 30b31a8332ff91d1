"""A bulk action in plain words."""

from __future__ import annotations

from webapp.bulk_actions.models import BulkAction, Verb
from webapp.records.entities import get_entity


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


def said_values(bulk_action: BulkAction) -> list[tuple[str, str]]:
    """(label, what it becomes) of each field that an update changes."""
    entity = get_entity(bulk_action.entity)
    values = bulk_action.parameters.get("values", {})
    return [(entity.label_of_column(name), value or "blank") for name, value in values.items()]
