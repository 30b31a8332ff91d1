"""On which pages SKUs were viewed, and by how many visitors, from the raw rows of the last thirty days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from webapp.visits.backlog import Kind
from webapp.visits.counting.product_views import WINDOW_DAYS
from webapp.visits.queries import list_sites
from webapp.visits.questions import Question
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.selection import Parameters

SKU_KEY = "lower(nfc_normalize(trim(name)))"
"""A SKU as it is folded, for all but a few letters of which two programs think differently."""


@dataclass(frozen=True)
class ViewedPage:
    """A page on which a SKU was viewed."""

    url: str
    view_count: int
    visitor_count: int


def list_viewed_pages(
    organisation_id: UUID, sku_keys: Collection[str], now: datetime, limit: int
) -> dict[str, list[ViewedPage]]:
    """The pages of each SKU that were viewed most, with visitors, who are told apart on each site."""
    site_ids = tuple(site.id for site in list_sites(organisation_id))
    if not site_ids or not sku_keys:
        return {}
    question = Question(organisation_id, site_ids, now - timedelta(days=WINDOW_DAYS), now + timedelta(days=1))
    found: dict[str, list[ViewedPage]] = defaultdict(list)
    for sku_key, url, view_count, visitor_count in read(question, lambda reading: _rows(reading, sku_keys, limit)):
        found[sku_key].append(ViewedPage(url, view_count, visitor_count))
    return found


def count_product_visitors(organisation_id: UUID, sku_key: str, now: datetime) -> int:
    """How many visitors viewed a SKU in the last thirty days; somebody on two sites is two."""
    site_ids = tuple(site.id for site in list_sites(organisation_id))
    if not site_ids:
        return 0
    question = Question(organisation_id, site_ids, now - timedelta(days=WINDOW_DAYS), now + timedelta(days=1))
    return read(question, lambda reading: _count_visitors(reading, sku_key))


def _rows(reading: Reading, sku_keys: Collection[str], limit: int) -> list[tuple[str, str, int, int]]:
    parameters = Parameters()
    views = _views(reading, sku_keys, parameters)
    statement = f"""
        SELECT {SKU_KEY} AS sku_key, page, count(*) AS view_count, count(DISTINCT visitor) FROM {views}
        GROUP BY 1, 2
        QUALIFY row_number() OVER (PARTITION BY sku_key ORDER BY view_count DESC, page) <= {parameters.add(limit)}
        ORDER BY 1, 3 DESC, 2
    """
    return [
        (str(sku), str(page), int(views), int(people))
        for sku, page, views, people in reading.rows(statement, parameters)
    ]


def _count_visitors(reading: Reading, sku_key: str) -> int:
    parameters = Parameters()
    statement = f"SELECT count(DISTINCT visitor) FROM {_views(reading, [sku_key], parameters)}"
    return int(reading.rows(statement, parameters)[0][0])


def _views(reading: Reading, sku_keys: Collection[str], parameters: Parameters) -> str:
    keys = ", ".join(parameters.add(key) for key in sku_keys)
    return reading.selection.activity(parameters, f"kind = {Kind.PRODUCT.value} AND {SKU_KEY} IN ({keys})")
