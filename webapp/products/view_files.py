"""Views of products, and SKUs that are none, as files."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flask import Response, abort, request

from webapp.accounts.current import current_organisation
from webapp.lib.clock import utc_now
from webapp.lib.keys import fold_key
from webapp.products.models import PRODUCTS, Product
from webapp.products.product_views import shown_views
from webapp.products.unknown_skus import UnknownSku, find_unknown_sku, list_unknown_skus
from webapp.products.views import blueprint
from webapp.records.queries import get_record
from webapp.visits.raw.product_pages import list_viewed_pages
from webapp.visits.site_page.tables import Cell
from webapp.visits.table_files import ENDINGS, WRITERS, table_file

FILE_LINES = 10_000
PAGES = 1_000


@blueprint.get(f"/<uuid:product_id>/views/{ENDINGS}")
def views_file(product_id: UUID, kind: str) -> Response:
    """The days, sites and pages of a product's views."""
    product: Product = get_record(PRODUCTS, current_organisation().id, product_id) or abort(404)
    return _views_file(product.organisation_id, product.sku_key, kind)


@blueprint.get(f"/unknown/sku/{ENDINGS}")
def unknown_sku_file(kind: str) -> Response:
    """The same of a SKU that is no product."""
    organisation_id, sku_key = current_organisation().id, fold_key(request.args.get("sku", "").strip())
    if find_unknown_sku(organisation_id, sku_key) is None:
        abort(404)
    return _views_file(organisation_id, sku_key, kind)


@blueprint.get(f"/unknown/{ENDINGS}")
def unknown_file(kind: str) -> Response:
    """SKUs that were viewed and are no product, the most viewed first."""
    rows: list[list[Cell]] = [
        [one.sku, one.view_count, str(one.last_day or ""), ", ".join(name for _, name, _ in one.sites)]
        for one in _list_unknown(current_organisation().id)
    ]
    return table_file(WRITERS[kind], "unknown-skus", ["sku", "views", "last_viewed", "sites"], rows)


def _list_unknown(organisation_id: UUID) -> list[UnknownSku]:
    page = list_unknown_skus(organisation_id, limit=FILE_LINES)
    found = list(page.skus)
    while page.next_cursor and len(found) < FILE_LINES:
        page = list_unknown_skus(organisation_id, page.next_cursor, FILE_LINES - len(found))
        found += page.skus
    return found


def _views_file(organisation_id: UUID, sku_key: str, kind: str) -> Response:
    now = utc_now()
    views = shown_views(organisation_id, sku_key, request.args.to_dict(), now).views
    rows: list[list[Cell]] = [["day", day.isoformat(), count, None, None] for day, count in views.days]
    rows += [["site, 30 days", site.name, site.view_count, site.before_count, None] for site in views.sites]
    rows += _pages(organisation_id, sku_key, now)
    return table_file(WRITERS[kind], "product-views", ["list", "value", "views", "views_before", "visitors"], rows)


def _pages(organisation_id: UUID, sku_key: str, now: datetime) -> list[list[Cell]]:
    found = list_viewed_pages(organisation_id, [sku_key], now, PAGES).get(sku_key, [])
    return [["page, 30 days", page.url, page.view_count, None, page.visitor_count] for page in found]
