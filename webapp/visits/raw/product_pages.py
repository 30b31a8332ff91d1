"""On which pages SKUs were viewed, and by how many visitors, from the raw rows of the last thirty days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from webapp.visits.backlog import Kind
from webapp.visits.buckets import local_midnight
from webapp.visits.product_views.queries import list_windows
from webapp.visits.questions import Question
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.row_conditions import Parameters

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
    found: dict[str, list[ViewedPage]] = defaultdict(list)
    if sku_keys:
        for question in _questions(organisation_id, now):
            for sku_key, page in read(question, lambda reading: _list_pages(reading, sku_keys, limit)):
                found[sku_key].append(page)
    return {sku_key: _most_viewed(pages, limit) for sku_key, pages in found.items()}


def count_product_visitors(organisation_id: UUID, sku_key: str, now: datetime) -> int:
    """How many visitors viewed a SKU in the last thirty days; somebody on two sites is two."""
    questions = _questions(organisation_id, now)
    return sum(read(question, lambda reading: _count_visitors(reading, sku_key)) for question in questions)


def _questions(organisation_id: UUID, now: datetime) -> list[Question]:
    """The last thirty days, one question for all sites of which they begin in the same moment."""
    begins: dict[datetime, list[UUID]] = defaultdict(list)
    for site_id, first, zone in list_windows(organisation_id):
        begins[local_midnight(first, ZoneInfo(zone))].append(site_id)
    end = now + timedelta(days=1)
    return [Question(organisation_id, tuple(site_ids), begin, end) for begin, site_ids in begins.items()]


def _most_viewed(pages: list[ViewedPage], limit: int) -> list[ViewedPage]:
    """A page that several questions found is one."""
    sums: dict[str, ViewedPage] = {}
    for page in pages:
        before = sums.get(page.url, ViewedPage(page.url, 0, 0))
        people = before.visitor_count + page.visitor_count
        sums[page.url] = ViewedPage(page.url, before.view_count + page.view_count, people)
    return sorted(sums.values(), key=lambda page: (-page.view_count, page.url))[:limit]


def _list_pages(reading: Reading, sku_keys: Collection[str], limit: int) -> list[tuple[str, ViewedPage]]:
    parameters = Parameters()
    views = _views(reading, sku_keys, parameters)
    statement = f"""
        SELECT {SKU_KEY} AS sku_key, page, count(*) AS view_count, count(DISTINCT visitor) FROM {views}
        GROUP BY 1, 2
        QUALIFY row_number() OVER (PARTITION BY sku_key ORDER BY view_count DESC, page) <= {parameters.add(limit)}
        ORDER BY 1, 3 DESC, 2
    """
    return [(sku_key, ViewedPage(*page)) for sku_key, *page in reading.rows(statement, parameters)]


def _count_visitors(reading: Reading, sku_key: str) -> int:
    parameters = Parameters()
    statement = f"SELECT count(DISTINCT visitor) FROM {_views(reading, [sku_key], parameters)}"
    return int(reading.rows(statement, parameters)[0][0])


def _views(reading: Reading, sku_keys: Collection[str], parameters: Parameters) -> str:
    keys = ", ".join(parameters.add(key) for key in sku_keys)
    return reading.selection.activity(parameters, f"kind = {Kind.PRODUCT.value} AND {SKU_KEY} IN ({keys})")
