"""Every look at records. Lists are paged by key: the thousandth page costs what the first does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, not_, select

from webapp.extensions import db
from webapp.records.beside import BesideOrder
from webapp.records.beside_walk import walk_beside
from webapp.records.entities import Entity
from webapp.records.filters import RecordFilter
from webapp.records.known_sets import KnownSet, ids_of_set
from webapp.records.leads import id_bounds
from webapp.records.matching import begins, bool_of, conditions_of, settled_sets
from webapp.records.models import AttributeName, SavedFilter
from webapp.records.orders import order_of
from webapp.records.search import (
    COUNT_WALK_ROWS,
    GLANCE_ROWS,
    PAGE_SIZE,
    RecordCount,
    RecordPage,
    Search,
    along_indexes,
)

EVERYTHING = RecordFilter()


def get_record(entity: Entity, organisation_id: UUID, record_id: UUID) -> Any:
    """The record, or None."""
    return db.session.get(entity.model, (organisation_id, record_id))


def get_record_for_update(entity: Entity, organisation_id: UUID, record_id: UUID) -> Any:
    """The record, re-read and locked until the transaction ends, or None."""
    key = (organisation_id, record_id)
    return db.session.get(entity.model, key, with_for_update=True, populate_existing=True)


def find_by_key(entity: Entity, organisation_id: UUID, key: str) -> Any:
    """The record with this key, in whatever case, or None."""
    model = entity.model
    column = getattr(model, entity.key_column)
    return db.session.scalar(
        select(model).where(model.organisation_id == organisation_id, column == entity.key.fold(key))
    )


def list_by_ids(entity: Entity, organisation_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Those of these records that there are, by id."""
    model = entity.model
    found = db.session.scalars(select(model).where(model.organisation_id == organisation_id, model.id.in_(ids)))
    return {record.id: record for record in found}


def list_deleted_by_ids(entity: Entity, organisation_id: UUID, ids: Collection[UUID]) -> dict[UUID, Any]:
    """Those of these records that are in the trash, by id, as they were: none of them belongs to the session."""
    return {record.id: record for record in _list_deleted(entity, organisation_id, "id", ids)}


def list_by_keys(entity: Entity, organisation_id: UUID, keys: Collection[str]) -> dict[str, Any]:
    """The records that have these keys, as they are compared, by them."""
    model, column = entity.model, getattr(entity.model, entity.key_column)
    found = db.session.scalars(select(model).where(model.organisation_id == organisation_id, column.in_(keys)))
    return {getattr(record, entity.key_column): record for record in found}


def list_deleted_by_keys(entity: Entity, organisation_id: UUID, keys: Collection[str]) -> dict[str, Any]:
    """The same of the trash; of several with one key the one that was deleted last."""
    found = _list_deleted(entity, organisation_id, entity.key_column, keys)
    return {getattr(record, entity.key_column): record for record in found}


def _list_deleted(entity: Entity, organisation_id: UUID, column: str, values: Collection[Any]) -> list[Any]:
    """In the order of their deletion."""
    if not values:
        return []
    deleted = entity.deleted.c
    columns = [deleted[name] for name in entity.data_columns]
    query = select(*columns).where(deleted.organisation_id == organisation_id, deleted[column].in_(values))
    return [entity.model(**row._mapping) for row in db.session.execute(query.order_by(deleted.deleted_at))]


def has_records(entity: Entity, organisation_id: UUID) -> bool:
    """Whether there is any at all."""
    model = entity.model
    return db.session.scalar(select(model.id).where(model.organisation_id == organisation_id).limit(1)) is not None


def list_records(
    entity: Entity,
    organisation_id: UUID,
    wanted: RecordFilter = EVERYTHING,
    *,
    sort: str = "created",
    direction: str = "",
    cursor: str | None = None,
    limit: int = PAGE_SIZE,
) -> RecordPage:
    """A page of the records that match. Raises BadCursorError, or KeyError for an unknown sort."""
    order = order_of(entity, sort, direction)
    search = Search(entity, organisation_id, wanted)
    with along_indexes():
        ids = search.small_set()
        if ids is not None:
            return search.page_of(ids, order, cursor, limit)
        if isinstance(order, BesideOrder):
            return walk_beside(search, order, cursor, limit)
        return search.walk(order, cursor, limit)


def count_records(
    entity: Entity, organisation_id: UUID, wanted: RecordFilter = EVERYTHING, *, walk_rows: int = COUNT_WALK_ROWS
) -> RecordCount:
    """How many match, counted up to COUNT_LIMIT in at most `walk_rows` of them, so that nobody waits for a count."""
    search = Search(entity, organisation_id, wanted)
    with along_indexes():
        return search.count(search.small_set(), walk_rows)


def count_beside(
    entity: Entity, organisation_id: UUID, wanted: RecordFilter, page: RecordPage, cursor: str | None
) -> RecordCount:
    """How many match, as far as a short look beside a page tells; a page that holds all of them tells it itself."""
    if not cursor and page.next_cursor is None:
        return RecordCount(len(page.records), is_exact=True)
    return count_records(entity, organisation_id, wanted, walk_rows=GLANCE_ROWS)


def count_matching(entity: Entity, organisation_id: UUID, wanted: RecordFilter, created_before: datetime) -> int:
    """Exactly how many match: what a person confirms. It may read the whole list."""
    query = matching_ids(entity, organisation_id, wanted, created_before)
    return db.session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0


def matching_ids(
    entity: Entity, organisation_id: UUID, wanted: RecordFilter, created_before: datetime
) -> Select[tuple[UUID]]:
    """The ids, in their order, of all that match and were created before the moment."""
    model, search = entity.model, Search(entity, organisation_id, wanted)
    by_index = [*id_bounds(model.id, wanted), *(model.id.in_(search.ids_of_tag(tag)) for tag in search.tags)]
    others = conditions_of(entity, model, organisation_id, replace(wanted, did=(), sets=()), search.context)
    query: Select[tuple[UUID]] = select(model.id).where(
        model.organisation_id == organisation_id,
        model.created_at < created_before,
        *by_index,
        *others,
        *(_is_on_side(organisation_id, known, model) for known in settled_sets(wanted)),
    )
    return query.order_by(model.id)


def _is_on_side(organisation_id: UUID, known: KnownSet, model: Any) -> ColumnElement[bool]:
    """Whether a record is wanted by a set, where every record is asked about: the whole set is read once."""
    members = ids_of_set(organisation_id, known.id).subquery()
    if known.is_done:
        return bool_of(model.id.in_(select(members.c.id)))
    return not_(exists(select(1).where(members.c.id == model.id)))


def list_tags(entity: Entity, organisation_id: UUID, beginning: str = "", limit: int = 20) -> list[str]:
    """Tags in use, in order, found by stepping from one to the next in their index."""
    tags = entity.tags.c
    own = select(func.min(tags.tag).label("tag")).where(tags.organisation_id == organisation_id)
    first = own.where(begins(tags.tag, beginning)).cte("steps", recursive=True)
    following = own.where(begins(tags.tag, beginning), tags.tag > first.c.tag).scalar_subquery()
    steps = first.union_all(select(following).where(first.c.tag.is_not(None)))
    return list(db.session.scalars(select(steps.c.tag).where(steps.c.tag.is_not(None)).limit(limit)))


def list_attribute_names(organisation_id: UUID, entity: Entity) -> list[str]:
    """The names of the organisation's own attributes."""
    query = select(AttributeName.name).where(
        AttributeName.organisation_id == organisation_id, AttributeName.entity == entity.name
    )
    return list(db.session.scalars(query.order_by(AttributeName.name)))


def list_saved_filters(organisation_id: UUID, entity: Entity) -> Sequence[SavedFilter]:
    """The organisation's saved filters of this list, by name."""
    query = select(SavedFilter).where(SavedFilter.organisation_id == organisation_id, SavedFilter.entity == entity.name)
    return db.session.scalars(query.order_by(SavedFilter.name)).all()
