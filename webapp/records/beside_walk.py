"""Walking a list in the order of a number beside its records, so many steps at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, exists, literal, not_, select
from sqlalchemy.orm import aliased

from webapp.extensions import db
from webapp.records.beside import BesideOrder, Place, Range, range_in, read_place
from webapp.records.search import RecordPage, Search

FIRST_STEPS = 2_000
STEPS = 6_000
"""Each record is looked up by itself."""


def walk_beside(search: Search, order: BesideOrder, cursor: str | None, limit: int) -> RecordPage:
    """A page of those that match among the next steps of the order."""
    place = read_place(cursor) if cursor else None
    page = _Walk(search, order, place, FIRST_STEPS).page(limit)
    return _Walk(search, order, place, STEPS).page(limit) if page.is_partial else page


@dataclass(frozen=True)
class _Walk:
    """So many steps from a place on: along the numbers, along the records without one, or both."""

    search: Search
    order: BesideOrder
    place: Place | None
    steps: int

    def page(self, limit: int) -> RecordPage:
        found: list[tuple[Any, int]] = []
        for is_numbered in self._parts():
            records = self._numbered() if is_numbered else self._without()
            found += [(record, number) for record, number in db.session.execute(records.limit(limit + 1 - len(found)))]
            if len(found) > limit:
                return RecordPage(
                    [record for record, _ in found[:limit]], self._place_of(*found[limit - 1]).as_cursor()
                )
            if last := self._last_step(is_numbered=is_numbered):
                records_found = [record for record, _ in found]
                return RecordPage(records_found, last.as_cursor(), is_partial=True, searched_count=self.steps)
        return RecordPage([record for record, _ in found], None)

    @property
    def _bounds(self) -> Range:
        return range_in(self.search.wanted, str(self.order.column))

    def _parts(self) -> Iterator[bool]:
        """The numbered, the others: those that the filter lets pass and that lie behind the place."""
        numbered, without = self._bounds.high > 0, self._bounds.low == 0
        in_order = [(True, numbered), (False, without)]
        for is_numbered, is_wanted in in_order if self.order.descends else reversed(in_order):
            is_behind = self.place is None or (self.place.number > 0) is is_numbered
            is_ahead = self.place is not None and is_numbered is not self.order.descends
            if is_wanted and (is_behind or is_ahead):
                yield is_numbered

    def _numbered(self) -> Select[Any]:
        """Records along the index of numbers; what is numbered and no record is a step, too."""
        search, entity = self.search, self.search.entity
        place = self._places(is_numbered=True).limit(self.steps).subquery().c
        record = aliased(entity.model)
        key = getattr(record, entity.key_column)
        found = select(record, place.number).join_from(place.key.table, record, key == place.key)
        found = found.where(record.organisation_id == search.organisation_id, *search.of(record))
        return found.order_by(*self._directed(place.number, place.key))

    def _without(self) -> Select[Any]:
        search, entity = self.search, self.search.entity
        own = select(entity.model).where(entity.model.organisation_id == search.organisation_id)
        key = getattr(entity.model, entity.key_column)
        own = own.where(*self._behind_key(key)).order_by(*self._directed(key)).limit(self.steps)
        record = aliased(entity.model, own.subquery())
        found = select(record, literal(0)).where(not_(self._has_number(record)), *search.of(record))
        return found.order_by(*self._directed(getattr(record, entity.key_column)))

    def _last_step(self, *, is_numbered: bool) -> Place | None:
        """Where the steps of a part end; None when the part ends before."""
        last = db.session.execute(self._places(is_numbered=is_numbered).offset(self.steps - 1).limit(1)).one_or_none()
        return Place(last.number, last.key) if last else None

    def _places(self, *, is_numbered: bool) -> Select[Any]:
        """What indexes hold."""
        search, entity, beside = self.search, self.search.entity, self.order.beside
        if not is_numbered:
            key = getattr(entity.model, entity.key_column)
            keys = select(literal(0).label("number"), key.label("key"))
            own = keys.where(entity.model.organisation_id == search.organisation_id, *self._behind_key(key))
            return own.order_by(*self._directed(key))
        number, key = beside.number, getattr(beside.model, entity.key_column)
        own = select(number.label("number"), key.label("key")).where(
            beside.model.organisation_id == search.organisation_id,
            number >= max(1, self._bounds.low),
            number <= self._bounds.high,
        )
        if self.place and self.place.number:
            own = own.where(self.order.is_behind(number, key, self.place))
        return own.order_by(*self._directed(number, key))

    def _behind_key(self, key: Any) -> list[Any]:
        if self.place is None or self.place.number:
            return []
        return [key < self.place.key if self.order.descends else key > self.place.key]

    def _has_number(self, record: Any) -> Any:
        entity, model = self.search.entity, self.order.beside.model
        own = model.organisation_id == self.search.organisation_id
        return exists().where(own, getattr(model, entity.key_column) == getattr(record, entity.key_column))

    def _directed(self, *columns: Any) -> list[Any]:
        return [column.desc() if self.order.descends else column.asc() for column in columns]

    def _place_of(self, record: Any, number: int) -> Place:
        return Place(number, getattr(record, self.search.entity.key_column))
