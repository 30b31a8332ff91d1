"""The job that counts again what was laid aside, looking after it, and finding where there is any."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text

from webapp.extensions import db, driver_connection, tenant
from webapp.jobs.kinds import Kind, Result, Run, get_kind
from webapp.jobs.models import UNFINISHED_STATES, Job
from webapp.jobs.service import create_job
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.visits.counting.laid_aside import expire
from webapp.visits.counting.recounting import FIRST_ID, Recounted, count_some_again, forget_counted

RECOUNT_NAME = "count_laid_aside"
KEPT_FOR = timedelta(days=30)
SHOWN_LIMIT = 500
EVERY = 2**31 - 1
LIST = text("SELECT * FROM footfall_laid_aside(:most)")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LaidAside:
    """Beacons of one site that could not be stored for one kind of error; of no site where that is not known."""

    organisation_id: UUID
    organisation_name: str
    site_id: UUID | None
    site_name: str | None
    error: str
    reason: str
    number: int
    first_at: datetime
    last_at: datetime


def list_laid_aside(most: int = SHOWN_LIMIT) -> list[LaidAside]:
    """What lies aside in all organisations, the most first."""
    return [LaidAside(**row._mapping) for row in db.session.execute(LIST, {"most": most})]


def start_recount(organisation_id: UUID, created_by: UUID | None = None) -> Job:
    """The job that counts them; one that waits or runs will do. Commit, then announce it."""
    own = select(Job).where(Job.organisation_id == organisation_id, Job.kind == RECOUNT_NAME)
    found = db.session.scalars(own.where(Job.state.in_(UNFINISHED_STATES)).limit(1)).first()
    return found or create_job(organisation_id, get_kind(RECOUNT_NAME), {}, created_by=created_by)


def recount(run: Run) -> Result:
    """Count what lay aside when the job began."""
    counted_count = kept_count = 0
    for recounted in count_again(run.organisation_id):
        counted_count += recounted.counted_count
        kept_count += recounted.kept_count
        run.report(counted_count + kept_count)
    return {"counted_count": counted_count, "kept_count": kept_count}


def count_again(organisation_id: UUID) -> Iterator[Recounted]:
    """Count what lies aside, some thousands a transaction, each committed here: the caller is an entry point."""
    until, after = uuid7(), FIRST_ID
    while (recounted := count_some_again(driver_connection(), organisation_id, after, until)) is not None:
        db.session.commit()
        after = recounted.last_id
        yield recounted
    db.session.rollback()


def look_after_laid_aside(organisation_ids: Sequence[UUID], now: datetime) -> None:
    """Forget what was counted all the same, since it was sent twice, and what is kept long enough."""
    for organisation_id in organisation_ids:
        with tenant(organisation_id):
            after: UUID | None = FIRST_ID
            while after is not None:
                after = forget_counted(driver_connection(), organisation_id, after)
                db.session.commit()
            if expired := expire(driver_connection(), organisation_id, now - KEPT_FOR):
                logger.warning("%s beacons of organisation %s were never counted.", expired, organisation_id)
            db.session.commit()


def list_organisations() -> list[UUID]:
    """Those of which something lies aside."""
    found = list(dict.fromkeys(one.organisation_id for one in list_laid_aside(EVERY)))
    db.session.rollback()
    return found


def tidy() -> None:
    """As `look_after_laid_aside`, in every organisation."""
    look_after_laid_aside(list_organisations(), utc_now())


RECOUNT = Kind(
    name=RECOUNT_NAME,
    label="Count of beacons that were laid aside",
    run=recount,
    description="Counts what was accepted and could not be stored; each beacon once, whatever happens.",
    concurrency_limit=1,
)
