"""What a program is told of earlier imports of the very same file, as people are on the page of columns."""

from __future__ import annotations

from typing import Any

from apiflask import Schema, fields

from webapp.accounts.queries import list_members
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.queries import list_same_file

COUNTS = ("created_count", "updated_count", "unchanged_count", "rejected_count", "duplicate_count", "skipped_count")


class EarlierImportOut(Schema):
    """An import that had the very same file."""

    id = fields.UUID()
    entity = fields.String(metadata={"description": "What it imported, perhaps another kind of records."})
    state = fields.String(metadata={"example": "completed"})
    created_by = fields.String(allow_none=True, metadata={"description": "The person's name; null for a program."})
    created_at = fields.DateTime()
    created_count = fields.Integer()
    updated_count = fields.Integer()
    unchanged_count = fields.Integer()
    rejected_count = fields.Integer()
    duplicate_count = fields.Integer()
    skipped_count = fields.Integer()


def earlier_imports_json(bulk_action: BulkAction) -> list[dict[str, Any]]:
    """The last imports of the same bytes (by SHA-256), newest first; it forbids nothing."""
    found = list_same_file(bulk_action.organisation_id, bulk_action)
    people = {member.user_id: member.name for member in list_members(bulk_action.organisation_id)} if found else {}
    return [
        {
            "id": earlier.id,
            "entity": earlier.entity,
            "state": earlier.state.value,
            "created_by": people.get(earlier.created_by) if earlier.created_by else None,
            "created_at": earlier.created_at,
            **{name: getattr(earlier, name) for name in COUNTS},
        }
        for earlier in found
    ]
