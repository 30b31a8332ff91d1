"""Which records a verb is about: those that were ticked, or all that matched a filter at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, Select, Uuid, bindparam, func, select

from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.texts import UNKEEPABLE, is_keepable, shown
from webapp.records.behaviour_sets import Moment, settle
from webapp.records.entities import Entity
from webapp.records.filters import ARGUMENTS, REPEATED, RecordFilter, read_filter
from webapp.records.queries import matching_ids
from webapp.visits.periods import is_possible

MAX_TICKED = 10_000
CLOCK_SKEW = timedelta(minutes=1)
"""So far a caller's clock may be ahead."""
WAYS = ("ids", "filter", "deletion_id")
BESIDE = ("zone", "at")
"""What may be said beside a filter."""


class SelectionError(ValueError):
    """Nothing can be done to such a selection; the message says why."""


@dataclass(frozen=True)
class Selection:
    """Ticked records, or a filter's arguments with the time zone in which its days are meant, or a deletion's.

    `at` is the moment up to which a filter looks for what people did; without it that of the selection.
    Ids of a selection for `restore` are those of deleted records.
    """

    ids: tuple[UUID, ...] | None = None
    arguments: Mapping[str, Sequence[str]] | None = None
    zone: str = "UTC"
    deletion_id: UUID | None = None
    at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        if self.ids is not None:
            return {"ids": [str(record_id) for record_id in self.ids]}
        if self.deletion_id:
            return {"deletion_id": str(self.deletion_id)}
        at = {"at": self.at.isoformat()} if self.at else {}
        return {"filter": dict(self.arguments or {}), "zone": self.zone, **at}

    def is_everything(self, entity: Entity) -> bool:
        """Whether it is all that there are; raises as `filter` does."""
        return self.arguments is not None and self.filter(entity).is_empty

    def frozen(self, moment: datetime) -> Selection:
        """With the moment, where it matters and none is said yet."""
        return replace(self, at=moment) if self.at is None and self.arguments and self.arguments.get("did") else self

    def filter(self, entity: Entity) -> RecordFilter:
        """The filter; raises FilterError when it cannot be read, SelectionError when there is no such time zone."""
        return read_filter(self.arguments or {}, entity, self.time_zone)

    @property
    def time_zone(self) -> ZoneInfo:
        """Raises SelectionError when there is none of this name."""
        try:
            return ZoneInfo(self.zone)
        except (ValueError, KeyError, OSError) as error:  # whatever a name makes of the folder of time zones
            raise SelectionError(f"There is no time zone called “{shown(self.zone)}”.") from error


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
    if unknown := set(kept) - {*named, *(BESIDE if named == ["filter"] else [])}:
        raise SelectionError(f"A selection by `{named[0]}` has no “{_named(unknown)}”.")
    if named == ["ids"]:
        return Selection(ids=_checked_ids(kept["ids"]))
    if named == ["deletion_id"]:
        return Selection(deletion_id=_checked_id(kept["deletion_id"]))
    wanted_zone = kept.get("zone", zone)
    if not isinstance(wanted_zone, str):
        raise SelectionError("`zone` is the name of a time zone, such as Europe/Berlin.")
    at = _checked_moment(kept["at"]) if "at" in kept else None
    return Selection(arguments=_checked_filter(kept["filter"]), zone=wanted_zone, at=at)


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


def _checked_moment(given: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(given if isinstance(given, str) else "").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SelectionError("`at` is a moment such as 2026-11-22T10:30:00Z.") from error
    if moment > utc_now() + CLOCK_SKEW or not is_possible(moment.date()):
        raise SelectionError("`at` is a moment that has passed.")
    return moment


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
    """The ids, in their order; a filter's are those of records that were created before the moment.

    Who did what the filter names is settled for this transaction: ask within it.
    """
    if selection.ids is not None:
        ids = bindparam("ids", list(selection.ids), ARRAY(Uuid()), unique=True)
        return select(func.unnest(ids).label("id")).order_by("id")
    if selection.deletion_id:
        deleted = entity.deleted.c
        query = select(deleted.id).where(
            deleted.organisation_id == organisation_id, deleted.deletion_id == selection.deletion_id
        )
        return query.order_by(deleted.id)
    moment = Moment(selection.at or selected_at, selection.time_zone, is_frozen=True)
    wanted = settle(entity, organisation_id, selection.filter(entity), moment)
    return matching_ids(entity, organisation_id, wanted, selected_at)


def count_selected(entity: Entity, organisation_id: UUID, selection: Selection, selected_at: datetime) -> int:
    """Exactly how many there are as of now: what a person confirms."""
    if selection.ids is not None:
        return len(selection.ids)
    query = selected_ids(entity, organisation_id, selection, selected_at).order_by(None).subquery()
    return db.session.scalar(select(func.count()).select_from(query)) or 0
