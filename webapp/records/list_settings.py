"""What people keep about a list: its columns, and filters under a name. Nothing here commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.records.entities import ATTRIBUTE_PREFIX, Entity
from webapp.records.filters import ARGUMENTS
from webapp.records.models import ListColumns, SavedFilter

MAX_COLUMNS = 20
MAX_NAME_LENGTH = 80
KEPT_ARGUMENTS = {*ARGUMENTS, "sort", "direction"}
TIMES = ("created_at", "updated_at")


class BadNameError(ValueError):
    """A filter cannot be kept under this name; the message says why."""


def possible_columns(entity: Entity, attributes: Sequence[str]) -> list[tuple[str, str]]:
    """(name, label) of everything that a list may show beside the record's name."""
    names = [*entity.field_names, *(ATTRIBUTE_PREFIX + name for name in attributes)]
    beside = [(name, one.label) for name, one in entity.beside.items()]
    labels = [(name, entity.label_of_column(name)) for name in names]
    return [*labels, *beside, ("created_at", "Added"), ("updated_at", "Changed")]


def columns_of(organisation_id: UUID, user_id: UUID, entity: Entity) -> list[str]:
    """The columns that a person chose, else the usual ones."""
    kept = db.session.get(ListColumns, (organisation_id, user_id, entity.name))
    names = [name for name in kept.names if is_column(entity, name)] if kept else []
    return names or [*entity.shown_columns, "created_at"]


def is_column(entity: Entity, name: str) -> bool:
    """Whether a list can show this."""
    return name in entity.fields_by_name or name in entity.beside or name in TIMES or name.startswith(ATTRIBUTE_PREFIX)


def keep_columns(organisation_id: UUID, user_id: UUID, entity: Entity, names: Sequence[str]) -> None:
    """Remember a person's columns; none of them means the usual ones."""
    chosen = [name for name in dict.fromkeys(names) if is_column(entity, name)][:MAX_COLUMNS]
    kept = db.session.get(ListColumns, (organisation_id, user_id, entity.name))
    if kept is None:
        kept = ListColumns(organisation_id=organisation_id, user_id=user_id, entity=entity.name)
        db.session.add(kept)
    kept.names, kept.updated_at = chosen, utc_now()


def save_filter(
    organisation_id: UUID, user_id: UUID | None, entity: Entity, name: str, arguments: Mapping[str, Sequence[str]]
) -> SavedFilter:
    """Keep the filter and order in a list's arguments under a name, in place of one of that name."""
    plain = " ".join(name.replace("\x00", "").split())
    if not plain or len(plain) > MAX_NAME_LENGTH:
        raise BadNameError(f"Give the filter a name of 1 to {MAX_NAME_LENGTH} characters.")
    found = select(SavedFilter).where(
        SavedFilter.organisation_id == organisation_id, SavedFilter.entity == entity.name, SavedFilter.name == plain
    )
    saved = db.session.scalar(found.with_for_update())
    if saved is None:
        saved = SavedFilter(
            organisation_id=organisation_id, id=uuid7(), entity=entity.name, name=plain, created_by=user_id
        )
        db.session.add(saved)
    saved.arguments = {name: list(values) for name, values in arguments.items() if name in KEPT_ARGUMENTS}
    db.session.flush()
    return saved


def delete_filter(organisation_id: UUID, entity: Entity, filter_id: UUID) -> str | None:
    """Forget a saved filter; its name, or None when there is none."""
    saved = db.session.get(SavedFilter, (organisation_id, filter_id))
    if saved is None or saved.entity != entity.name:
        return None
    db.session.delete(saved)
    return saved.name
