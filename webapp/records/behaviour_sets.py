"""Who did something on the websites, asked once and remembered. Nothing here commits.

A set is made by one transaction, and holds the records' ids as they were known then; it is never changed. Lists are
answered from one that is some minutes old, the pages after the first from one that is up to an hour old, so that they
ask nothing again. What a bulk action is about is frozen with its moment, which is part of the set's fingerprint.

Whoever uses a set holds its row until their transaction ends, so that no one forgets it meanwhile: a set that is
gone would be nobody, and "those who did not" everybody. Two who ask the same at once wait for each other's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, or_, select, text

from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.records.entities import Entity
from webapp.records.filters import RecordFilter
from webapp.records.former import owner_of_key
from webapp.records.known_sets import KnownSet
from webapp.records.models import BehaviourSet
from webapp.visits.behaviour.conditions import Behaviour
from webapp.visits.behaviour.doers import stage_doers
from webapp.visits.behaviour.spans import Deed, deed_of

FRESH_FOR = timedelta(minutes=5)
"""So old may a set be that answers a list's first page."""
PAGED_FOR = timedelta(hours=1)
"""And so old the one that answers those after it."""
KEPT_FOR = timedelta(hours=2)
MOST_SETS, MOST_MEMBERS = 200, 5_000_000
"""More of an organisation's are not kept: the oldest go first."""
IDS_PER_ROW = 100
FEW_DOERS = 200_000
"""So many records are looked up one by one; beyond, reading the whole index is sooner."""
TRIES = 3
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 3))")


class SetsGoneError(RuntimeError):
    """Sets were forgotten as often as they were made."""


@dataclass(frozen=True)
class Moment:
    """When something is asked, and how old the answer may be. Of a frozen moment any is right."""

    at: datetime
    zone: ZoneInfo
    is_frozen: bool = False
    max_age: timedelta = FRESH_FOR

    @property
    def oldest(self) -> datetime:
        return self.at if self.is_frozen else utc_now() - self.max_age


def moment_of_list(zone: ZoneInfo, *, has_cursor: bool = False, is_refreshed: bool = False) -> Moment:
    """Now, for a page of a list, or for counting it."""
    max_age = timedelta() if is_refreshed else PAGED_FOR if has_cursor else FRESH_FOR
    return Moment(utc_now(), zone, max_age=max_age)


def settle(
    entity: Entity,
    organisation_id: UUID,
    wanted: RecordFilter,
    moment: Moment,
    commit: Callable[[], None] | None = None,
) -> RecordFilter:
    """The filter with a set for each of its behaviours, found or made, and held until the transaction ends.

    `commit` commits, so that others may use what was made; the caller is an entry point. Without it whoever asks
    the same waits for this transaction's end.
    """
    for _ in range(TRIES):
        sets = _find_or_make_all(entity, organisation_id, wanted.did, moment)
        if commit is None or not any(known.is_new for known in sets):
            return replace(wanted, sets=sets)
        commit()
        moment = replace(moment, max_age=max(moment.max_age, FRESH_FOR))
    raise SetsGoneError("Sets were forgotten as often as they were made.")


def _find_or_make_all(
    entity: Entity, organisation_id: UUID, behaviours: Sequence[Behaviour], moment: Moment
) -> tuple[KnownSet, ...]:
    """A set for each. They are locked in one order, so that two who ask the same never wait for each other."""
    deeds = [deed_of(behaviour, moment.zone, moment.at, is_frozen=moment.is_frozen) for behaviour in behaviours]
    by_fingerprint = {deed.fingerprint: deed for deed in deeds}
    found = {
        fingerprint: _find_or_make(entity, organisation_id, by_fingerprint[fingerprint], moment.oldest)
        for fingerprint in sorted(by_fingerprint)
    }
    return tuple(
        replace(found[deed.fingerprint], is_done=behaviour.is_done)
        for behaviour, deed in zip(behaviours, deeds, strict=True)
    )


def _find_or_make(entity: Entity, organisation_id: UUID, deed: Deed, oldest: datetime) -> KnownSet:
    """Whoever asks the same at once waits here until the other's answer is committed, and takes it."""
    if found := _find(organisation_id, deed, oldest):
        return found
    db.session.execute(LOCK, {"name": f"behaviour {organisation_id} {deed.fingerprint}"})
    return _find(organisation_id, deed, oldest) or _make(entity, organisation_id, deed)


def _find(organisation_id: UUID, deed: Deed, oldest: datetime) -> KnownSet | None:
    """The newest, held."""
    query = (
        select(BehaviourSet.id, BehaviourSet.member_count, BehaviourSet.made_at)
        .where(
            BehaviourSet.organisation_id == organisation_id,
            BehaviourSet.fingerprint == deed.fingerprint,
            BehaviourSet.made_at >= oldest,
        )
        .order_by(BehaviourSet.made_at.desc())
        .limit(1)
        .with_for_update(key_share=True, read=True)
    )
    row = db.session.execute(query).one_or_none()
    return KnownSet(row.id, row.member_count, row.made_at) if row else None


def _make(entity: Entity, organisation_id: UUID, deed: Deed) -> KnownSet:
    made_at = utc_now()
    doer_count = stage_doers(organisation_id, deed, owner_of_key(entity))
    made = BehaviourSet(
        organisation_id=organisation_id, id=uuid7(), fingerprint=deed.fingerprint, made_at=made_at, member_count=0
    )
    db.session.add(made)
    db.session.flush()
    if doer_count:
        made.member_count = _add_members(entity, organisation_id, made.id, deed.behaviour.least, doer_count)
        db.session.flush()
    _forget_beyond_limits(organisation_id)
    return KnownSet(made.id, made.member_count, made_at, is_new=True)


def _add_members(entity: Entity, organisation_id: UUID, set_id: UUID, least: int, doer_count: int) -> int:
    """Put the records of all staged doers who did it often enough into the set; how many."""
    found = ONE_BY_ONE if doer_count <= FEW_DOERS else ALL_AT_ONCE
    if entity.former is not None:
        found = f"{found} UNION ALL {FORMERLY.replace('{former}', entity.former.name)}"
    records = found.format(table=entity.name, key=entity.key_column)
    given = {"organisation_id": organisation_id, "set_id": set_id, "ids_per_row": IDS_PER_ROW, "least": least}
    return int(db.session.execute(text(ADD_MEMBERS.format(records=records)), given).scalar_one())


def _forget_beyond_limits(organisation_id: UUID) -> None:
    """Forget the oldest sets of an organisation that has too many, but those in use."""
    newest_first = BehaviourSet.made_at.desc()
    ranked = (
        select(
            BehaviourSet.id,
            func.row_number().over(order_by=newest_first).label("place"),
            func.sum(BehaviourSet.member_count).over(order_by=newest_first).label("so_far"),
        )
        .where(BehaviourSet.organisation_id == organisation_id)
        .subquery()
    )
    beyond = select(ranked.c.id).where(
        ranked.c.place > 1, or_(ranked.c.place > MOST_SETS, ranked.c.so_far > MOST_MEMBERS)
    )
    own = (BehaviourSet.organisation_id == organisation_id,)
    free = select(BehaviourSet.id).where(*own, BehaviourSet.id.in_(beyond)).with_for_update(skip_locked=True)
    if ids := db.session.scalars(free).all():
        db.session.execute(delete(BehaviourSet).where(*own, BehaviourSet.id.in_(ids)), execution_options=UNSYNCED)


UNSYNCED = {"synchronize_session": False}
ONE_BY_ONE = """
    SELECT r.id FROM staged_doers d CROSS JOIN LATERAL (
        SELECT id FROM {table} WHERE organisation_id = :organisation_id AND {key} = d.identity OFFSET 0
    ) AS r WHERE d.done_count >= :least
"""
ALL_AT_ONCE = """
    SELECT r.id FROM staged_doers d JOIN {table} r ON r.organisation_id = :organisation_id AND r.{key} = d.identity
    WHERE d.done_count >= :least
"""
# Who did it often enough only together with what they did under addresses that they had before.
FORMERLY = """
    SELECT r.id FROM (
        SELECT f.record_id, sum(d.done_count) AS done_count FROM staged_doers d
        JOIN {former} f ON f.organisation_id = :organisation_id AND f.key = d.identity
        WHERE NOT EXISTS (
            SELECT FROM {table} c WHERE c.organisation_id = :organisation_id AND c.{key} = f.key OFFSET 0
        )
        GROUP BY f.record_id
    ) AS before
    JOIN {table} r ON r.organisation_id = :organisation_id AND r.id = before.record_id
    LEFT JOIN staged_doers d ON d.identity = r.{key}
    WHERE coalesce(d.done_count, 0) < :least AND coalesce(d.done_count, 0) + before.done_count >= :least
"""
ADD_MEMBERS = """
    WITH added AS (
        INSERT INTO behaviour_members (organisation_id, set_id, first_id, ids)
        SELECT :organisation_id, :set_id, block.ids[1], block.ids FROM (
            SELECT array_agg(id ORDER BY id) AS ids FROM (
                SELECT id, (row_number() OVER (ORDER BY id) - 1) / :ids_per_row AS place FROM ({records}) AS found
            ) AS numbered GROUP BY place
        ) AS block
        RETURNING cardinality(ids) AS id_count
    )
    SELECT coalesce(sum(id_count), 0) FROM added
"""
