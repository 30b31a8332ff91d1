"""How the last check of each site ended."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from webapp.extensions import db
from webapp.visits.counting.models import SiteCheck

KEPT_SENTENCES = 5


def note_check(
    organisation_id: UUID, site_id: UUID, now: datetime, difference_count: int, differences: list[str]
) -> None:
    """Keep how a check that came to its end ended."""
    told = {"checked_at": now, "difference_count": difference_count, "differences": differences}
    noted = insert(SiteCheck).values(organisation_id=organisation_id, site_id=site_id, **told)
    db.session.execute(noted.on_conflict_do_update(index_elements=["organisation_id", "site_id"], set_=told))


def find_failed_check(organisation_id: UUID, site_id: UUID) -> SiteCheck | None:
    """The last check of a site, when it found differences that nobody mended since."""
    own = select(SiteCheck).where(SiteCheck.organisation_id == organisation_id, SiteCheck.site_id == site_id)
    return db.session.scalars(own.where(SiteCheck.difference_count > 0)).one_or_none()


def forget_differences(organisation_id: UUID, site_id: UUID) -> None:
    """What was found is counted again; the next night says whether that was all."""
    own = update(SiteCheck).where(SiteCheck.organisation_id == organisation_id, SiteCheck.site_id == site_id)
    db.session.execute(own.values(difference_count=0, differences=[]))
