"""What people did most of late: values to choose from where a behaviour is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from webapp.extensions import db
from webapp.visits.behaviour.conditions import SEPARATOR, What
from webapp.visits.models import Dimension
from webapp.visits.queries import list_sites

RECENT = timedelta(days=62)
"""Two months at least, since months are read whole."""
OFFERED = 100
OTHER = "(other)"


def list_suggestions(organisation_id: UUID, what: What, now: datetime) -> list[str]:
    """Pages by their paths, events, or SKUs; of a property its events."""
    sites = list_sites(organisation_id)
    given: dict[str, Any] = {
        "organisation_id": organisation_id,
        "site_ids": [site.id for site in sites],
        "since": now - RECENT,
        "most": OFFERED,
    }
    if what is What.ANYTHING:
        return []
    if what is What.PAGE:
        origins = {origin for site in sites for origin in site.origins}
        return list(dict.fromkeys(_path(url, origins) for url in db.session.scalars(text(TOP_PAGES), given)))
    dimension = Dimension.EVENT if what is What.PROPERTY else Dimension(what.value)
    found = db.session.scalars(text(TOP_VALUES), {**given, "dimension": dimension.value})
    return [value for value in found if value != OTHER and SEPARATOR not in value]


def _path(url: str, origins: set[str]) -> str:
    origin = next((origin for origin in origins if url.startswith(f"{origin}/")), "")
    return url.removeprefix(origin)


RECENT_ROWS = """
    r.organisation_id = :organisation_id AND r.site_id = ANY(CAST(:site_ids AS uuid[])) AND r.grain = 'month'
    AND r.bucket_at >= :since
"""
TOP_PAGES = f"""
    SELECT p.url FROM (
        SELECT r.page_id, sum(r.pageview_count) AS pageview_count FROM page_roll_ups r WHERE {RECENT_ROWS}
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most
    ) AS top JOIN pages p ON p.organisation_id = :organisation_id AND p.id = top.page_id
    ORDER BY top.pageview_count DESC, p.url
"""  # noqa: S608  (put together from the names above)
TOP_VALUES = f"""
    SELECT r.value FROM dimension_roll_ups r WHERE {RECENT_ROWS} AND r.dimension = :dimension
    GROUP BY 1 ORDER BY sum(r.event_count) DESC, 1 LIMIT :most
"""  # noqa: S608  (put together from the names above)
