"""Which records a verb is about: those that were ticked, or all that matched a filter at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, Select, Uuid, bindparam, func, select

from webapp.extensions import db
from webapp.lib.texts import UNKEEPABLE, is_keepable, shown
from webapp.records.entities import Entity
from webapp.records.filters import ARGUMENTS, REPEATED, RecordFilter, read_filter
from webapp.records.queries import matching_ids

MAX_TICKED = 10_000
WAYS = ("ids", "filter", "deletion_id")


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

    def is_everything(self, entity: Entity) -> bool:
        """Whether it is all that there are; raises as `filter` does."""
        return self.arguments is not None and self.filter(entity).is_empty

    def filter(self, entity: Entity) -> RecordFilter:
        """The filter; raises FilterError when it cannot be read, SelectionError when there is no such time zone."""
        try:
            zone = ZoneInfo(self.zone)
        except (ValueError, KeyError, OSError) as error:  # whatever a name makes of the folder of time zones
            raise SelectionError(f"There is no time zone called “{shown(self.zone)}”.") from error
        return read_filter(self.arguments or {}, entity, zone)


def check_selection(selection: Selection, entity: Entity, *, of_deleted: bool) -> None:
    """Raises SelectionError or FilterError when nothing can be chosen like that: lists filter what is not deleted."""
    if of_deleted and selection.arguments is not None:
        raise SelectionError(f"Name deleted {entity.name} by their ids, or by the deletion_id of their deletion.")
    if not of_deleted and selection.deletion_id:
        raise SelectionError("What was deleted can only be restored.")
    if selection.arguments is not None:
        selection.filter(entity)


def selection_from(kept: Any, zone: str = "UTC") -> Selection:
    """What `as_json` wrote, or the API's caller, who may leave out the zone; raises SelectionError.

    Nothing that is said is left out: a misspelt filter would otherwise stand for everything.
    """
    named = [name for name in WAYS if name in kept] if isinstance(kept, Mapping) else []
    if len(named) != 1:
        raise SelectionError("Say which records: either `ids`, or a `filter`, which may be empty.")
    if unknown := set(kept) - {*named, *(["zone"] if named == ["filter"] else [])}:
        raise SelectionError(f"A selection by `{named[0]}` has no “{_named(unknown)}”.")
    if named == ["ids"]:
        return Selection(ids=_checked_ids(kept["ids"]))
    if named == ["deletion_id"]:
        return Selection(deletion_id=_checked_id(kept["deletion_id"]))
    wanted_zone = kept.get("zone", zone)
    if not isinstance(wanted_zone, str):
        raise SelectionError("`zone` is the name of a time zone, such as Europe/Berlin.")
    return Selection(arguments=_checked_filter(kept["filter"]), zone=wanted_zone)


def _checked_ids(given: Any) -> tuple[UUID, ...]:
    if not isinstance(given, list | tuple):
        raise SelectionError("`ids` is a list of ids.")
    ids = tuple(dict.fromkeys(map(_checked_id, given)))
    if not ids or len(ids) > MAX_TICKED:
        raise SelectionError(f"Choose 1 to {MAX_TICKED:,} records, or all that match a filter.")
    return ids


def _checked_id(given: Any) -> UUID:
    try:
        return UUID(given if isinstance(given, str) else "")
    except ValueError as error:
        raise SelectionError(f"“{shown(given)}” is no id.") from error


def _checked_filter(given: Any) -> dict[str, list[str]]:
    if not isinstance(given, Mapping):
        raise SelectionError('`filter` is an object, such as {"tag": ["vip"]}.')
    if unknown := set(given) - set(ARGUMENTS):
        raise SelectionError(f"A filter has no “{_named(unknown)}”. It may have {', '.join(ARGUMENTS)}.")
    return {name: _checked_texts(name, values) for name, values in given.items()}


def _checked_texts(name: str, given: Any) -> list[str]:
    values = [given] if isinstance(given, str) else given
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise SelectionError(f"“{name}” of a filter is a text, or a list of texts.")
    if len(values) > 1 and name not in REPEATED:
        raise SelectionError(f"“{name}” of a filter can be given only once.")
    for value in values:
        if not value.strip():
            raise SelectionError(f"“{name}” of a filter is blank. Leave it out to choose all.")
        if not is_keepable(value):
            raise SelectionError(f"“{name}” of a filter {UNKEEPABLE}.")
    return list(values)


def _named(names: Iterable[Any]) -> str:
    """One of them, as a message shows it."""
    return shown(min(map(str, names)))


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
