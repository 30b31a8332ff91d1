"""The pages about views: a product's, and those of SKUs that are no product."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from flask import Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.lib.clock import utc_now
from webapp.lib.keys import fold_key
from webapp.lib.pagination import BadCursorError
from webapp.pages import render_page, wants_part
from webapp.products.models import PRODUCTS, Product
from webapp.products.product_views import RANGES, shown_views
from webapp.products.unknown_skus import (
    count_unknown_skus,
    find_unknown_sku,
    list_deleted_products,
    list_unknown_skus,
)
from webapp.products.views import blueprint, views_beside
from webapp.records.queries import find_by_key, get_record
from webapp.visits.counting.product_views import SKU_LIMIT_A_DAY
from webapp.visits.product_views.queries import count_other_views, has_product_views
from webapp.visits.raw.product_pages import count_product_visitors, list_viewed_pages

PAGES_SHOWN = 10
PAGES_OF_EACH = 2


@blueprint.get("/<uuid:product_id>/views")
def show_views(product_id: UUID) -> BaseResponse:
    """The part of a product's page about its views; the page itself for whoever asks for more."""
    product: Product = get_record(PRODUCTS, current_organisation().id, product_id) or abort(404)
    if not wants_part():
        days, site = request.args.get("days"), request.args.get("site")
        return redirect(url_for("products.show", record_id=product_id, days=days, site=site), 303)
    return render_page("products/show.html", block="views", **views_beside(product))


@blueprint.get("/viewed-pages")
def viewed_pages() -> str:
    """On which pages a SKU was viewed, and by how many visitors: it reads raw rows, so it comes after the page."""
    organisation_id, sku_key, now = current_organisation().id, fold_key(request.args.get("sku", "")), utc_now()
    pages = list_viewed_pages(organisation_id, [sku_key], now, PAGES_SHOWN).get(sku_key, [])
    visitor_count = count_product_visitors(organisation_id, sku_key, now)
    return render_template("products/_viewed_pages.html", pages=pages, visitor_count=visitor_count)


@blueprint.get("/unknown")
def unknown() -> Response:
    """SKUs that were viewed and are no product; with `details` also what takes longer to find, for the rows."""
    organisation_id, cursor = current_organisation().id, request.args.get("cursor")
    try:
        page = list_unknown_skus(organisation_id, cursor)
    except BadCursorError as error:
        abort(400, str(error))
    keys, has_details = [one.sku_key for one in page.skus], "details" in request.args
    return render_page(
        "products/unknown.html",
        block="rows",
        page=page,
        has_details=has_details,
        pages=list_viewed_pages(organisation_id, keys, utc_now(), PAGES_OF_EACH) if has_details else {},
        deleted=list_deleted_products(organisation_id, keys) if has_details else {},
        is_counted=has_product_views(organisation_id),
        other_count=count_other_views(organisation_id),
        limit=SKU_LIMIT_A_DAY,
        first_url=url_for("products.unknown") if cursor else None,
        next_url=url_for("products.unknown", cursor=page.next_cursor) if page.next_cursor else None,
        details_url=url_for("products.unknown", cursor=cursor, details="1"),
    )


@blueprint.get("/unknown/count")
def count_unknown() -> str:
    """How many they are, in words, for the link that leads there."""
    counted = count_unknown_skus(current_organisation().id)
    return f"({'' if counted.is_exact else 'over '}{counted.number:,})" if counted.number else ""


@blueprint.get("/unknown/sku")
def unknown_sku() -> BaseResponse:
    """One SKU that is no product; the product, when there is one meanwhile."""
    organisation_id, sku_key = current_organisation().id, fold_key(request.args.get("sku", "").strip())
    found = find_unknown_sku(organisation_id, sku_key)
    if found is None:
        product = find_by_key(PRODUCTS, organisation_id, sku_key) or abort(404)
        return redirect(url_for("products.show", record_id=product.id), 303)
    return render_page(
        "products/unknown_sku.html",
        block="views",
        found=found,
        shown_views=shown_views(organisation_id, sku_key, request.args.to_dict(), utc_now()),
        ranges=RANGES,
        sku_key=sku_key,
        views_url=partial(url_for, "products.unknown_sku", sku=sku_key),
        part_url=partial(url_for, "products.unknown_sku", sku=sku_key),
        file_url=partial(url_for, "products.unknown_sku_file", sku=sku_key),
        deleted=list_deleted_products(organisation_id, [sku_key]).get(sku_key),
    )
