"""Deleting a site, and bringing it back.

A deleted site keeps its rows: what was counted of it stays right, its single visits go on being sealed and taken away
after their time, and bringing it back is one change. It is in no list, and the edge takes nothing for it any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from webapp.extensions import db
from webapp.visits.models import Site

KEPT_FOR = timedelta(days=30)


class OtherNameError(ValueError):
    """Another site was meant than the one that would be deleted."""


def delete_site(site: Site, typed_name: str, now: datetime, by: UUID | None = None) -> None:
    """Let a site vanish; raises OtherNameError unless it is called so."""
    if typed_name.strip() != site.name:
        raise OtherNameError(f"Type the site's name, {site.name}, to delete it.")
    site.deleted_at, site.deleted_by = now, by
    db.session.flush()


def restore_site(site: Site) -> None:
    """Let a deleted site be there again as it was; `find_deleted_site` gives those that can."""
    site.deleted_at = site.deleted_by = None
    db.session.flush()


def gone_at(site: Site) -> datetime | None:
    """From when on a deleted site does not come back."""
    return site.deleted_at + KEPT_FOR if site.deleted_at else None
