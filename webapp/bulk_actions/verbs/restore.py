"""Restoring deleted records, and why some cannot be."""

from __future__ import annotations

from uuid import UUID

from webapp.bulk_actions.verbs.places import Place, exists_in, note_rest, note_succeeded
from webapp.records.entities import Entity
from webapp.records.trash import returning

LOST = "It is not in the trash any more."


def taken_words(entity: Entity) -> str:
    """Why a record stays in the trash."""
    return f"Another {entity.singular} has its {entity.key.label} by now."


def restore_deleted(place: Place, deletion_id: UUID | None = None) -> None:
    """Move records out of the trash, with `deletion_id` what that bulk action deleted; skip those that are back."""
    entity = place.entity
    of_deletion = " AND d.deletion_id = :deletion_id" if deletion_id else ""
    more = {"deletion_id": deletion_id} if deletion_id else {}
    moving_back = returning(entity, place.among("d.id") + of_deletion)
    if note_succeeded(moving_back, "back", {**place.values, **more}) == place.row_count:
        return
    note_rest(place, "skipped", exists_in(entity.name))
    in_trash = (
        f"EXISTS (SELECT FROM {entity.deleted.name} d"
        f" WHERE d.organisation_id = :organisation_id AND d.id = rest.id{of_deletion})"
    )
    note_rest(place, "failed", in_trash, reason=taken_words(entity), **more)
    note_rest(place, "failed", reason=LOST)
