"""Which visitors are whose: the join between people's keys (a contact's `email_key`) and the numbers in raw rows.

A visitor belongs to the person who was named first on it. From the moment at which somebody else was named on the same
one, nobody can say any more whose activity it is, so it is neither's from then on (`until`). The tracker gives a second
person a visitor of their own; this is for servers that send two people under one identifier.

A site may also call its visitors by their addresses, without ever identifying anybody: then the number is that of the
address itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, Uuid, func, literal, select, tuple_

from webapp.extensions import db
from webapp.visits.collecting.visitors import pseudonym
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.models import Site
from webapp.visits.people.models import Identity, KnownVisitor, RefusedMerge

Named = Select[UUID, int, str, datetime, datetime]


@dataclass(frozen=True)
class Linked:
    """A visitor of one site and whose it is: all of its activity before `until`, or all when that is None.

    `first_at` is when the person was named; None for a visitor whom the site calls by the person's own key.
    """

    site_id: UUID
    visitor: int
    identity: str
    first_at: datetime | None
    until: datetime | None


def visitors_of(organisation_id: UUID, identities: Collection[str]) -> list[Linked]:
    """The visitors of one person, by all of their folded keys, oldest link first."""
    if not identities:
        return []
    found = _linked(_named(organisation_id, identities).where(Identity.identity.in_(identities)))
    return sorted(found, key=_by_age) + _called_by_their_keys(organisation_id, identities, found)


def identities_of(organisation_id: UUID, visitors: Iterable[tuple[UUID, int]]) -> list[Linked]:
    """Whose these visitors (site, number) are; those of nobody are left out."""
    wanted = list(visitors)
    if not wanted:
        return []
    return _linked(_named(organisation_id).where(is_among(Identity, wanted)))


def is_among(table: type[Identity | RefusedMerge], visitors: Iterable[tuple[UUID, int]]) -> ColumnElement[bool]:
    """Whether a row is about one of the visitors: two parameters, of which a statement may have some ten thousands."""
    pairs = list(visitors)
    site_ids = literal([site_id for site_id, _ in pairs], ARRAY(Uuid()))
    numbers = literal([number for _, number in pairs], ARRAY(BigInteger()))
    wanted = func.unnest(site_ids, numbers).table_valued("site_id", "visitor").render_derived()
    return tuple_(table.site_id, table.visitor).in_(select(wanted.c.site_id, wanted.c.visitor))


def own_visitors(identity: str, site_ids: Iterable[UUID]) -> list[tuple[UUID, int]]:
    """The numbers that this person has on the sites which call visitors by their keys."""
    return [(site_id, visitor_number(site_id.bytes, identity)) for site_id in site_ids]


def unproven_visitors(identity: str, site_ids: Iterable[UUID]) -> list[tuple[UUID, int]]:
    """The numbers of whoever called themselves by this person's key without proof: nobody's timeline tells of them."""
    return [(site_id, visitor_number(site_id.bytes, pseudonym(site_id.bytes, identity))) for site_id in site_ids]


def _linked(query: Named) -> list[Linked]:
    return [Linked(*row) for row in db.session.execute(query)]


def _named(organisation_id: UUID, own: Collection[str] = ()) -> Named:
    """Links, and when somebody else was named first: none of a person's own keys is somebody else."""
    refused = (
        select(func.min(RefusedMerge.at))
        .where(
            RefusedMerge.organisation_id == Identity.organisation_id,
            RefusedMerge.site_id == Identity.site_id,
            RefusedMerge.visitor == Identity.visitor,
            RefusedMerge.identity.not_in(own),
        )
        .correlate(Identity)
        .scalar_subquery()
    )
    return select(Identity.site_id, Identity.visitor, Identity.identity, Identity.first_at, refused).where(
        Identity.organisation_id == organisation_id
    )


def _called_by_their_keys(
    organisation_id: UUID, identities: Collection[str], found: Collection[Linked]
) -> list[Linked]:
    """Visitors whom a site calls by a person's key, unless somebody else was named on them."""
    keys = db.session.scalars(
        select(KnownVisitor.visitor_key).where(
            KnownVisitor.organisation_id == organisation_id, KnownVisitor.visitor_key.in_(identities)
        )
    ).all()
    if not keys:
        return []
    site_ids = db.session.scalars(
        select(Site.id).where(Site.organisation_id == organisation_id).order_by(Site.id)
    ).all()
    owners = {(site_id, visitor): key for key in keys for site_id, visitor in own_visitors(key, site_ids)}
    taken = {(link.site_id, link.visitor) for link in (*found, *identities_of(organisation_id, owners))}
    return [Linked(*visitor, key, None, None) for visitor, key in owners.items() if visitor not in taken]


def _by_age(link: Linked) -> tuple[datetime, UUID, int]:
    if link.first_at is None:
        raise ValueError("A link that was named has a time.")
    return link.first_at, link.site_id, link.visitor
