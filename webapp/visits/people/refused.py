"""Refused merges: somebody else was named on a visitor that is linked already, by site or by person.

Those of people who are hidden are not told, on either side.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, and_, not_, or_, select, tuple_

from webapp.extensions import db
from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor
from webapp.visits.people.hiding import is_hidden
from webapp.visits.people.models import Identity, RefusedMerge

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
    query = _told(organisation_id)
    if site_id is not None:
        query = query.where(RefusedMerge.site_id == site_id)
    return _page(query, cursor, limit)


def list_refused_of(
    organisation_id: UUID,
    identities: Collection[str],
    *,
    tells_own: bool = False,
    cursor: str | None = None,
    limit: int = PAGE_SIZE,
) -> RefusedPage:
    """Those that concern who has these keys: named on somebody else's visitor, or somebody else on theirs.

    `tells_own` is for what is held about a person, who may be hidden.
    """
    own = select(Identity.site_id, Identity.visitor).where(
        Identity.organisation_id == organisation_id, Identity.identity.in_(identities)
    )
    is_theirs = tuple_(RefusedMerge.site_id, RefusedMerge.visitor).in_(own)
    is_named = RefusedMerge.identity.in_(identities)
    concerned = and_(or_(is_theirs, is_named), not_(and_(is_theirs, is_named)))
    return _page(_told(organisation_id, identities if tells_own else ()).where(concerned), cursor, limit)


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


def _told(organisation_id: UUID, own: Collection[str] = ()) -> Select[RefusedMerge, str]:
    """Without those of hidden people; own keys are not."""
    sides = (RefusedMerge.identity, Identity.identity)
    return _merges(organisation_id).where(*(or_(side.in_(own), ~is_hidden(organisation_id, side)) for side in sides))


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
