"""Refused merges: somebody else was named on a visitor that is linked already, by site or by person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, and_, or_, select, tuple_

from webapp.extensions import db
from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor
from webapp.visits.models import Identity, RefusedMerge

PAGE_SIZE = 50
SEPARATOR = "\n"


@dataclass(frozen=True)
class Refused:
    """`identity` was named on a visitor who is `owner` since an earlier moment."""

    site_id: UUID
    visitor: int
    identity: str
    at: datetime
    owner: str


@dataclass(frozen=True)
class RefusedPage:
    """Some of them, the latest first, and the cursor of what follows."""

    merges: Sequence[Refused]
    next_cursor: str | None


def list_refused(
    organisation_id: UUID, site_id: UUID | None = None, *, cursor: str | None = None, limit: int = PAGE_SIZE
) -> RefusedPage:
    """Those of a site, or of all; raises BadCursorError."""
    query = _merges(organisation_id)
    if site_id is not None:
        query = query.where(RefusedMerge.site_id == site_id)
    return _page(query, cursor, limit)


def list_refused_of(
    organisation_id: UUID, identity: str, *, cursor: str | None = None, limit: int = PAGE_SIZE
) -> RefusedPage:
    """Those that concern a person: named on somebody else's visitor, or somebody else on theirs."""
    own = select(Identity.site_id, Identity.visitor).where(
        Identity.organisation_id == organisation_id, Identity.identity == identity
    )
    concerned = or_(RefusedMerge.identity == identity, tuple_(RefusedMerge.site_id, RefusedMerge.visitor).in_(own))
    return _page(_merges(organisation_id).where(concerned), cursor, limit)


def _merges(organisation_id: UUID) -> Select[RefusedMerge, str]:
    link = and_(
        Identity.organisation_id == RefusedMerge.organisation_id,
        Identity.site_id == RefusedMerge.site_id,
        Identity.visitor == RefusedMerge.visitor,
    )
    return (
        select(RefusedMerge, Identity.identity)
        .join(Identity, link)
        .where(RefusedMerge.organisation_id == organisation_id)
        .order_by(
            RefusedMerge.at.desc(),
            RefusedMerge.site_id.desc(),
            RefusedMerge.visitor.desc(),
            RefusedMerge.identity.desc(),
        )
    )


def _page(query: Select[RefusedMerge, str], cursor: str | None, limit: int) -> RefusedPage:
    if cursor:
        place = tuple_(RefusedMerge.at, RefusedMerge.site_id, RefusedMerge.visitor, RefusedMerge.identity)
        query = query.where(place < tuple_(*_place(cursor)))
    found = [
        Refused(merge.site_id, merge.visitor, merge.identity, merge.at, owner)
        for merge, owner in db.session.execute(query.limit(limit + 1))
    ]
    return RefusedPage(found[:limit], _cursor_of(found[limit - 1]) if len(found) > limit else None)


def _cursor_of(last: Refused) -> str:
    return encode_cursor(SEPARATOR.join((last.at.isoformat(), str(last.visitor), last.identity)), last.site_id)


def _place(cursor: str) -> tuple[datetime, UUID, int, str]:
    text, site_id = decode_cursor(cursor)
    try:
        moment, visitor, identity = text.split(SEPARATOR, 2)
        at, number = datetime.fromisoformat(moment), int(visitor)
    except ValueError as error:
        raise BadCursorError("This page link is damaged. Start again from the first page.") from error
    if at.tzinfo is None or not -(2**63) <= number < 2**63:
        raise BadCursorError("This page link is damaged. Start again from the first page.")
    return at, site_id, number, identity
