"""Erasing what visits know of people: asked for in one transaction with their deletion, done by a job.

1. Whoever deletes a person notes them in `erasures`.
2. The job waits once for whoever counts: from then on no beacon of before links anybody with them (`erased_before`).
3. Raw rows and recent visits of all their visitors go, site by site, many people at once.
4. Links, refused merges, and what is known by their key go in one transaction, and the erasure is marked as done.

What dies in between begins again at 2. Links go last, since they say whose the visitors are. A done erasure is
forgotten when no beacon of before can come any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert

from webapp.extensions import db, driver_connection
from webapp.visits.counting.laid_aside import remove_of_people
from webapp.visits.counting.statements import wait_for_lock
from webapp.visits.models import Site
from webapp.visits.people.identities import identities_of, is_among, own_visitors, unproven_visitors
from webapp.visits.people.models import Erasure, Identity, RefusedMerge

REMEMBERED_FOR = timedelta(days=32)
"""Longer than a beacon of before may still come and wait to be counted. A server that is trusted may tell of years
ago: that is told anew."""
BATCH = 500
PAUSE = timedelta(minutes=1)
Visitors = Mapping[UUID, Sequence[int]]


def request_erasure(organisation_id: UUID, identities: Iterable[str], now: datetime) -> None:
    """Note people whose visits are to be erased, by their folded keys."""
    rows = [
        {"organisation_id": organisation_id, "identity": identity, "requested_at": now}
        for identity in sorted(set(identities))
    ]
    if not rows:
        return
    asked = insert(Erasure).values(rows)
    again = {"requested_at": asked.excluded.requested_at, "erased_at": None}
    db.session.execute(asked.on_conflict_do_update(index_elements=["organisation_id", "identity"], set_=again))


def list_waiting(organisation_id: UUID, limit: int = BATCH) -> dict[str, datetime]:
    """People to be erased, and since when."""
    waiting = (
        select(Erasure.identity, Erasure.requested_at)
        .where(Erasure.organisation_id == organisation_id, Erasure.erased_at.is_(None))
        .order_by(Erasure.identity)
        .limit(limit)
    )
    return {row.identity: row.requested_at for row in db.session.execute(waiting)}


def count_waiting(organisation_id: UUID) -> int:
    """How many people are to be erased."""
    waiting = select(func.count()).select_from(Erasure)
    waiting = waiting.where(Erasure.organisation_id == organisation_id, Erasure.erased_at.is_(None))
    return int(db.session.scalar(waiting) or 0)


def wait_for_counting() -> None:
    """Until what is counted now is committed; whatever is counted later knows what was committed before."""
    wait_for_lock(driver_connection())


def find_visitors(organisation_id: UUID, identities: Collection[str]) -> Visitors:
    """All visitors of these people by site: linked ones, and those whom a site calls by their key, proven or not.

    Unproven ones may be somebody else's invention. But the number is made of the key, so it tells of the person.
    """
    linked = select(Identity.site_id, Identity.visitor).where(
        Identity.organisation_id == organisation_id, Identity.identity.in_(identities)
    )
    found = {(row.site_id, row.visitor) for row in db.session.execute(linked)}
    site_ids = db.session.scalars(select(Site.id).where(Site.organisation_id == organisation_id)).all()
    called = {own for identity in identities for own in own_visitors(identity, site_ids)}
    called |= {own for identity in identities for own in unproven_visitors(identity, site_ids)}
    others = {(link.site_id, link.visitor) for link in identities_of(organisation_id, called)}
    by_site: dict[UUID, list[int]] = defaultdict(list)
    for site_id, visitor in sorted(found | (called - others)):
        by_site[site_id].append(visitor)
    return by_site


def forget_people(organisation_id: UUID, asked: Mapping[str, datetime], visitors: Visitors, now: datetime) -> None:
    """Remove links, refused merges, known visitors and what was laid aside of them, and mark the erasures as done,
    unless asked for once more."""
    wait_for_counting()
    own = [(site_id, visitor) for site_id, numbers in visitors.items() for visitor in numbers]
    remove_of_people(driver_connection(), organisation_id, list(asked), own)
    db.session.execute(
        delete(Identity).where(
            Identity.organisation_id == organisation_id,
            Identity.identity.in_(asked),
            is_among(Identity, own),
        )
    )
    concerned = or_(RefusedMerge.identity.in_(asked), is_among(RefusedMerge, own))
    db.session.execute(delete(RefusedMerge).where(RefusedMerge.organisation_id == organisation_id, concerned))
    db.session.execute(text(FORGET_KNOWN), {"organisation_id": organisation_id, "keys": list(asked)})
    db.session.execute(
        text(MARK_DONE),
        {
            "organisation_id": organisation_id,
            "identities": list(asked),
            "requested": list(asked.values()),
            "now": now,
        },
    )


def forget_erasures(organisation_id: UUID, now: datetime) -> None:
    """Forget whom was erased a while ago: nothing that knows them can come any more."""
    done = Erasure.erased_at < now - REMEMBERED_FOR
    db.session.execute(delete(Erasure).where(Erasure.organisation_id == organisation_id, done))


FORGET_KNOWN = """
    WITH gone AS (
        DELETE FROM known_visitors WHERE organisation_id = :organisation_id AND visitor_key = ANY (:keys)
        RETURNING visitor_key
    ), counted AS (
        SELECT CASE WHEN strpos(visitor_key, '@') > 0 THEN 'email' ELSE 'other' END AS kind, count(*) AS number
        FROM gone GROUP BY 1
    )
    UPDATE known_visitor_counts k SET visitor_count = k.visitor_count - c.number
    FROM counted c WHERE k.organisation_id = :organisation_id AND k.kind = c.kind
"""
MARK_DONE = """
    UPDATE erasures e SET erased_at = :now
    FROM unnest(CAST(:identities AS text[]), CAST(:requested AS timestamptz[])) AS w (identity, requested_at)
    WHERE e.organisation_id = :organisation_id AND e.identity = w.identity AND e.requested_at = w.requested_at
"""
