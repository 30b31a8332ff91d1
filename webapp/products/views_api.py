"""`/api/v1/products/<id>/views` and `/api/v1/products/unknown-skus`: views of products, and of what is none."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import Schema
from apiflask.fields import Boolean, Date, Float, Integer, List, Nested, String
from apiflask.validators import OneOf, Range
from marshmallow import RAISE

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.lib.clock import utc_now
from webapp.lib.pagination import BadCursorError
from webapp.problems import Problem
from webapp.products.api import bp
from webapp.products.models import PRODUCTS
from webapp.products.product_views import RANGES, USUAL_RANGE
from webapp.products.unknown_skus import PAGE_SIZE, UnknownSku, list_deleted_products, list_unknown_skus
from webapp.records.queries import get_record
from webapp.records.refusals import refused
from webapp.records.shared_api import not_found
from webapp.schemas import Text
from webapp.visits.product_views.queries import get_product_views
from webapp.visits.queries import list_sites
from webapp.visits.raw.product_pages import ViewedPage, count_product_visitors, list_viewed_pages

PAGES_LIMIT = 10
MAX_LIMIT = 100
THIRTY = "In the last 30 days, those of each site's own time zone."


class ViewsQuery(Schema):
    """Which days, and of which site."""

    days = Integer(load_default=USUAL_RANGE, validate=OneOf(RANGES))
    site_id = String(
        load_default=None, metadata={"format": "uuid", "description": "Days of one site; without: of all."}
    )


class SiteViewsOut(Schema):
    """Views on one site."""

    site_id = String(metadata={"format": "uuid"})
    name = String()
    view_count = Integer(metadata={"description": THIRTY})
    previous_view_count = Integer(metadata={"description": "In the 30 days before."})


class DayViews(Schema):
    """Views of one day; days of several sites are added up by their dates."""

    day = Date()
    view_count = Integer()


class ViewedPageOut(Schema):
    """A page on which it was viewed."""

    page = String()
    view_count = Integer()
    visitor_count = Integer()


class ProductViewsOut(Schema):
    """How often a product was viewed."""

    view_count = Integer(metadata={"description": THIRTY})
    previous_view_count = Integer(metadata={"description": "In the 30 days before."})
    change = Float(allow_none=True, metadata={"description": "0.12 for 12 % more; null when there were none before."})
    visitor_count = Integer(metadata={"description": f"Different visitors. {THIRTY} Somebody on two sites is two."})
    sites = List(Nested(SiteViewsOut))
    days = List(Nested(DayViews))
    pages = List(Nested(ViewedPageOut), metadata={"description": f"Those of most views. {THIRTY}"})


class UnknownQuery(Schema):
    """Which page of the list."""

    limit = Integer(load_default=PAGE_SIZE, validate=Range(1, MAX_LIMIT))
    cursor = Text(load_default=None, metadata={"description": "`next_cursor` of the page before."})


class UnknownSite(Schema):
    """A site on which a SKU was viewed."""

    site_id = String(metadata={"format": "uuid"})
    name = String()
    view_count = Integer()


class UnknownSkuOut(Schema):
    """A SKU that was viewed and that no product has."""

    sku = String(metadata={"description": "As a website writes it."})
    view_count = Integer(metadata={"description": THIRTY})
    last_viewed_on = Date(allow_none=True)
    sites = List(Nested(UnknownSite))
    pages = List(Nested(ViewedPageOut))
    deleted_product_id = String(
        allow_none=True, metadata={"format": "uuid", "description": "The product in the trash that has this SKU."}
    )


class UnknownSkuList(Schema):
    """Some of them, the most viewed first."""

    data = List(Nested(UnknownSkuOut))
    next_cursor = String(allow_none=True, metadata={"description": "Ask with it for what follows."})
    is_partial = Boolean(metadata={"description": "True when the search is not over: `next_cursor` goes on with it."})


@bp.get("/<uuid:product_id>/views")
@bp.auth_required(api_auth)
@bp.input(ViewsQuery, location="query", unknown=RAISE)
@bp.output(ProductViewsOut)
@bp.doc(responses={404: "No such product", 422: "What is allowed instead"})
def show_views(product_id: UUID, query_data: dict[str, Any]) -> dict[str, Any]:
    """Read a product's views

    What websites report by `footfall.product(sku)`, whether the SKU is written large or small.
    """
    organisation_id, now = current_organisation().id, utc_now()
    product = get_record(PRODUCTS, organisation_id, product_id)
    if product is None:
        raise not_found(PRODUCTS)
    site_id = _site_id(organisation_id, query_data["site_id"])
    views = get_product_views(organisation_id, product.sku_key, query_data["days"], now, site_id)
    pages = list_viewed_pages(organisation_id, [product.sku_key], now, PAGES_LIMIT)
    return {
        "view_count": views.view_count,
        "previous_view_count": views.before_count,
        "change": views.change,
        "visitor_count": count_product_visitors(organisation_id, product.sku_key, now),
        "sites": [
            {
                "site_id": site.site_id,
                "name": site.name,
                "view_count": site.view_count,
                "previous_view_count": site.before_count,
            }
            for site in views.sites
        ],
        "days": [{"day": day, "view_count": count} for day, count in views.days],
        "pages": _pages(pages.get(product.sku_key, [])),
    }


@bp.get("/unknown-skus")
@bp.auth_required(api_auth)
@bp.input(UnknownQuery, location="query", unknown=RAISE)
@bp.output(UnknownSkuList)
@bp.doc(responses={422: "What is allowed instead"})
def index_of_unknown_skus(query_data: dict[str, Any]) -> dict[str, Any]:
    """List viewed SKUs without a product

    Of the last 30 days, the most viewed first. One leaves the list as soon as there is a product with its SKU, to which
    its views count from then on, the earlier ones too.
    """
    organisation_id, now = current_organisation().id, utc_now()
    try:
        page = list_unknown_skus(organisation_id, query_data["cursor"], query_data["limit"])
    except BadCursorError as error:
        raise refused({"cursor": str(error)}, place="query") from error
    keys = [one.sku_key for one in page.skus]
    pages = list_viewed_pages(organisation_id, keys, now, PAGES_LIMIT)
    deleted = {key: product.id for key, product in list_deleted_products(organisation_id, keys).items()}
    return {
        "data": [_unknown(one, pages.get(one.sku_key, []), deleted.get(one.sku_key)) for one in page.skus],
        "next_cursor": page.next_cursor,
        "is_partial": page.is_partial,
    }


def _unknown(one: UnknownSku, pages: list[ViewedPage], deleted_id: UUID | None) -> dict[str, Any]:
    sites = [{"site_id": site_id, "name": name, "view_count": count} for site_id, name, count in one.sites]
    return {
        "sku": one.sku,
        "view_count": one.view_count,
        "last_viewed_on": one.last_day,
        "sites": sites,
        "pages": _pages(pages),
        "deleted_product_id": deleted_id,
    }


def _pages(pages: list[ViewedPage]) -> list[dict[str, Any]]:
    return [{"page": page.url, "view_count": page.view_count, "visitor_count": page.visitor_count} for page in pages]


def _site_id(organisation_id: UUID, text: str | None) -> UUID | None:
    """The id of one of the organisation's sites; raises a problem when it is none."""
    if text is None:
        return None
    found = next((site.id for site in list_sites(organisation_id) if str(site.id) == text.lower()), None)
    if found is None:
        raise Problem(404, "Site not found", "This organisation has no site with that id.")
    return found
