"""Which records a verb is about: those that were ticked, or all that matched a filter at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, Select, Uuid, bindparam, func, select

from webapp.extensions import db
from webapp.records.entities import Entity
from webapp.records.filters import RecordFilter, read_filter
from webapp.records.queries import matching_ids

MAX_TICKED = 10_000


class SelectionError(ValueError):
    """Nothing can be done to such a selection; the message says why."""


@dataclass(frozen=True)
class Selection:
    """Ticked records, or a filter's arguments with the time zone in which its days are meant, or a deletion's.

    Ids of a selection for `restore` are those of deleted records.
    """

    ids: tuple[UUID, ...] | None = None
    arguments: Mapping[str, Sequence[str]] | None = None
    zone: str = "UTC"
    deletion_id: UUID | None = None

    def as_json(self) -> dict[str, Any]:
        if self.ids is not None:
            return {"ids": [str(record_id) for record_id in self.ids]}
        if self.deletion_id:
            return {"deletion_id": str(self.deletion_id)}
        return {"filter": dict(self.arguments or {}), "zone": self.zone}

    def filter(self, entity: Entity) -> RecordFilter:
        """The filter; raises FilterError when it cannot be read, SelectionError when there is no such time zone."""
        try:
            zone = ZoneInfo(self.zone)
        except (ValueError, KeyError, OSError) as error:  # whatever a name makes of the folder of time zones
            raise SelectionError(f"There is no time zone called “{self.zone[:60]}”.") from error
        return read_filter(self.arguments or {}, entity, zone)


def check_selection(selection: Selection, entity: Entity, *, of_deleted: bool) -> None:
    """Raises SelectionError or FilterError when nothing can be chosen like that: lists filter what is not deleted."""
    if of_deleted and selection.arguments is not None:
        raise SelectionError(f"Name deleted {entity.name} by their ids, or by the deletion_id of their deletion.")
    if not of_deleted and selection.deletion_id:
        raise SelectionError("What was deleted can only be restored.")
    if selection.arguments is not None:
        selection.filter(entity)


def selection_from(kept: Mapping[str, Any], zone: str = "UTC") -> Selection:
    """What `as_json` wrote, or the API's caller, who may leave out the zone; raises SelectionError."""
    try:
        if "ids" in kept:
            ids = tuple(dict.fromkeys(UUID(str(record_id)) for record_id in kept["ids"]))
            if not ids or len(ids) > MAX_TICKED:
                raise SelectionError(f"Choose 1 to {MAX_TICKED:,} records, or all that match a filter.")
            return Selection(ids=ids)
        if "deletion_id" in kept:
            return Selection(deletion_id=UUID(str(kept["deletion_id"])))
        if "filter" not in kept:
            raise SelectionError("Say which records: `ids`, or a `filter`, which may be empty.")
        arguments = {str(name): _listed(values) for name, values in dict(kept["filter"]).items()}
        return Selection(arguments=arguments, zone=str(kept.get("zone", zone)))
    except (ValueError, TypeError) as error:
        if isinstance(error, SelectionError):
            raise
        raise SelectionError("The selection is neither a list of ids nor a filter.") from error


def _listed(values: Any) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list | tuple) else [str(values)]


def selected_ids(
    entity: Entity, organisation_id: UUID, selection: Selection, selected_at: datetime
) -> Select[tuple[UUID]]:
    """The ids, in their order; a filter's are those of records that were created before the moment."""
    if selection.ids is not None:
        ids = bindparam("ids", list(selection.ids), ARRAY(Uuid()), unique=True)
        return select(func.unnest(ids).label("id")).order_by("id")
    if selection.deletion_id:
        deleted = entity.deleted.c
        query = select(deleted.id).where(
            deleted.organisation_id == organisation_id, deleted.deletion_id == selection.deletion_id
        )
        return query.order_by(deleted.id)
    return matching_ids(entity, organisation_id, selection.filter(entity), selected_at)


def count_selected(entity: Entity, organisation_id: UUID, selection: Selection, selected_at: datetime) -> int:
    """Exactly how many there are as of now: what a person confirms."""
    if selection.ids is not None:
        return len(selection.ids)
    query = selected_ids(entity, organisation_id, selection, selected_at).order_by(None).subquery()
    return db.session.scalar(select(func.count()).select_from(query)) or 0
