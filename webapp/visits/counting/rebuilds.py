"""Having sites rebuilt, by jobs: no site has two at a time, and what ended badly is not begun again at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, and_, or_, select

from webapp.extensions import db
from webapp.jobs.kinds import get_kind
from webapp.jobs.models import UNFINISHED_STATES, WITHOUT_SUCCESS, Job
from webapp.jobs.service import create_job
from webapp.lib.zones import usable_zone
from webapp.visits.models import Site

REBUILD_NAME = "rebuild_roll_ups"
PAUSE = timedelta(hours=1)
"""What could not be rebuilt can hardly be a moment later, while batches come every second."""


def start_rebuild(organisation_id: UUID, site_id: UUID, created_by: UUID | None = None) -> Job:
    """The job that counts a site's roll-ups again; one that waits or runs will do. Commit, then announce it."""
    waiting = find_unfinished_rebuild(organisation_id, site_id)
    return waiting or _create(organisation_id, site_id, created_by)


def find_unfinished_rebuild(organisation_id: UUID, site_id: UUID) -> Job | None:
    """The job that will count, or just counts, a site's roll-ups again."""
    found = db.session.scalars(_rebuilds(organisation_id).where(Job.state.in_(UNFINISHED_STATES)))
    return next((job for job in found if job.parameters.get("site_id") == str(site_id)), None)


def start_rebuild_if_stale(site: Site, created_by: UUID | None = None) -> Job | None:
    """As `start_rebuild`, when the site's days and months are cut in another zone than its own."""
    if not _is_cut_otherwise(site):
        return None
    return start_rebuild(site.organisation_id, site.id, created_by)


def start_stale_rebuilds(organisation_id: UUID, now: datetime) -> list[Job]:
    """New jobs for the stale sites that have none, and whose last did not end badly just now. Commit, then dispatch."""
    stale = list_stale_sites(organisation_id)
    if not stale:
        return []
    ended_badly = and_(Job.state.in_(WITHOUT_SUCCESS), Job.ended_at > now - PAUSE)
    held = _rebuilds(organisation_id).where(or_(Job.state.in_(UNFINISHED_STATES), ended_badly))
    held_ids = {job.parameters.get("site_id") for job in db.session.scalars(held)}
    return [_create(organisation_id, site_id) for site_id in stale if str(site_id) not in held_ids]


def list_stale_sites(organisation_id: UUID) -> list[UUID]:
    """Sites whose days and months are cut in another zone than theirs, or of which a sketch could not be read."""
    wanted = select(Site).where(Site.organisation_id == organisation_id, Site.deleted_at.is_(None)).order_by(Site.id)
    return [site.id for site in db.session.scalars(wanted) if site.broken_at is not None or _is_cut_otherwise(site)]


def _is_cut_otherwise(site: Site) -> bool:
    """Of a time zone that this machine lacks, UTC takes the place."""
    return site.cut_zone is not None and site.cut_zone != usable_zone(site.time_zone)


def _rebuilds(organisation_id: UUID) -> Select[Job]:
    return select(Job).where(Job.organisation_id == organisation_id, Job.kind == REBUILD_NAME)


def _create(organisation_id: UUID, site_id: UUID, created_by: UUID | None = None) -> Job:
    return create_job(organisation_id, get_kind(REBUILD_NAME), {"site_id": str(site_id)}, created_by=created_by)
