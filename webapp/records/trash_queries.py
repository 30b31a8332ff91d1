"""What lies in the trash, in the order in which it was deleted.

Nothing but that order has an index, so a search walks it, some rows at a time, and its cursor goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Row, Select, func, literal_column, or_, select, tuple_

from webapp.extensions import db
from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor
from webapp.records.entities import Entity
from webapp.records.search import along_indexes

PAGE_SIZE = 50
WALK_ROWS = 20_000
DELETION = ("deleted_at", "deleted_by", "deletion_id")


@dataclass(frozen=True)
class DeletedRecord:
    """A record as it was, and who deleted it when, with which bulk action."""

    record: Any
    deleted_at: datetime
    deleted_by: UUID | None
    deletion_id: UUID | None


@dataclass(frozen=True)
class DeletedPage:
    """Some of the trash, the cursor of what follows, and whether that one goes on with a search that is not over."""

    records: Sequence[DeletedRecord]
    next_cursor: str | None
    is_partial: bool = False


def list_deleted(
    entity: Entity, organisation_id: UUID, *, q: str = "", cursor: str | None = None, limit: int = PAGE_SIZE
) -> DeletedPage:
    """The latest first; `q` is the beginning of a key or of a name. Raises BadCursorError."""
    deleted = entity.deleted.c
    walked = select(entity.deleted).where(deleted.organisation_id == organisation_id)
    if cursor:
        walked = walked.where(tuple_(deleted.deleted_at, deleted.id) < tuple_(*_place(cursor)))
    walked = walked.order_by(deleted.deleted_at.desc(), deleted.id.desc())
    with along_indexes():
        return _search(entity, walked, q, limit) if q else _page(entity, _rows(walked, limit), limit)


def _search(entity: Entity, walked: Select[Any], q: str, limit: int) -> DeletedPage:
    """Those that match among the next WALK_ROWS."""
    some = walked.limit(WALK_ROWS).subquery()
    found = select(some).where(_begins(entity, some, q)).order_by(some.c.deleted_at.desc(), some.c.id.desc())
    page = _page(entity, _rows(found, limit), limit)
    if page.next_cursor:
        return page
    last = db.session.execute(walked.offset(WALK_ROWS - 1).limit(1)).one_or_none()
    return DeletedPage(page.records, _cursor_of(last) if last else None, is_partial=last is not None)


def _rows(query: Select[Any], limit: int) -> Sequence[Row[Any]]:
    """One more than fits, which tells whether there are more."""
    return db.session.execute(query.limit(limit + 1)).all()


def _begins(entity: Entity, deleted: FromClause, q: str) -> ColumnElement[bool]:
    """Any of the texts that a search looks at begins so; the trash works out those that live records keep."""
    folded = entity.key.fold(q)
    texts: list[Any] = []
    for name in entity.search_keys:
        computed = entity.model.__table__.c[name].computed
        texts.append(literal_column(str(computed.sqltext)) if computed is not None else deleted.c[name])
    return or_(*(func.starts_with(text, folded) for text in texts))


def _page(entity: Entity, rows: Sequence[Row[Any]], limit: int) -> DeletedPage:
    records = [_deleted_record(entity, row) for row in rows[:limit]]
    return DeletedPage(records, _cursor_of(rows[limit - 1]) if len(rows) > limit else None)


def _deleted_record(entity: Entity, row: Row[Any]) -> DeletedRecord:
    values = dict(row._mapping)
    deletion = {name: values.pop(name) for name in DELETION}
    return DeletedRecord(entity.model(**values), **deletion)


def _cursor_of(row: Row[Any]) -> str:
    return encode_cursor(row.deleted_at.isoformat(), row.id)


def _place(cursor: str) -> tuple[datetime, UUID]:
    moment, record_id = decode_cursor(cursor)
    try:
        deleted_at = datetime.fromisoformat(moment)
    except ValueError as error:
        raise BadCursorError("This page link is damaged. Start again from the first page.") from error
    if deleted_at.tzinfo is None:
        raise BadCursorError("This page link is damaged. Start again from the first page.")
    return deleted_at, record_id
