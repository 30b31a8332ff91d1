"""SKUs that websites say were viewed, and of which there is no product: never, not yet, or no more.

The totals of the last thirty days are walked, the most viewed first, so many steps at a time. A SKU leaves the list by
itself as soon as there is a product with its key, whoever made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import Select, func, literal, select, tuple_
from sqlalchemy.types import BigInteger

from webapp.extensions import db
from webapp.products.models import PRODUCTS, Product
from webapp.records.beside import Place, read_place
from webapp.records.queries import list_deleted_by_keys
from webapp.records.search import along_indexes
from webapp.visits.product_views.models import ProductViewTotal
from webapp.visits.product_views.queries import list_sku_views

Columns = TypeVarTuple("Columns")
PAGE_SIZE = 50
STEPS = 6_000
"""So many totals are looked at for a page."""


@dataclass(frozen=True)
class UnknownSku:
    """A SKU that no product has, with what was viewed of it in the last thirty days."""

    sku_key: str
    sku: str
    view_count: int
    last_day: date | None
    sites: Sequence[tuple[UUID, str, int]]


@dataclass(frozen=True)
class UnknownPage:
    """Some of them, the cursor of those that follow, and whether that one goes on with a search that is not over."""

    skus: list[UnknownSku]
    next_cursor: str | None
    is_partial: bool = False


@dataclass(frozen=True)
class UnknownCount:
    """How many there are; when it is not exact, so many were found among the most viewed."""

    number: int
    is_exact: bool


def list_unknown_skus(organisation_id: UUID, cursor: str | None = None, limit: int = PAGE_SIZE) -> UnknownPage:
    """A page of them, the most viewed first. Raises BadCursorError."""
    place = read_place(cursor) if cursor else None
    with along_indexes():
        found = db.session.execute(_unknown(organisation_id, place).limit(limit + 1)).all()
        last = None if len(found) > limit else db.session.execute(_step(organisation_id, place)).one_or_none()
    skus = _described(organisation_id, found[:limit])
    if len(found) > limit:
        return UnknownPage(skus, Place(found[limit - 1].view_count, found[limit - 1].sku_key).as_cursor())
    if last:
        return UnknownPage(skus, Place(last.view_count, last.sku_key).as_cursor(), is_partial=True)
    return UnknownPage(skus, None)


def count_unknown_skus(organisation_id: UUID) -> UnknownCount:
    """How many there are among the most viewed, which is a short look."""
    with along_indexes():
        query = _unknown(organisation_id, None).subquery()
        number = db.session.scalar(select(func.count()).select_from(query)) or 0
        is_exact = db.session.execute(_step(organisation_id, None)).one_or_none() is None
    return UnknownCount(number, is_exact)


def find_unknown_sku(organisation_id: UUID, sku_key: str) -> UnknownSku | None:
    """One of them; None when there is such a product, or nobody viewed it lately."""
    total = db.session.get(ProductViewTotal, (organisation_id, sku_key))
    product = select(Product.id).where(Product.organisation_id == organisation_id, Product.sku_key == sku_key)
    if total is None or db.session.scalar(product) is not None:
        return None
    return _described(organisation_id, [total])[0]


def list_deleted_products(organisation_id: UUID, sku_keys: Sequence[str]) -> Mapping[str, Product]:
    """Products in the trash that have one of these SKUs. It may read the whole trash."""
    found: dict[str, Product] = list_deleted_by_keys(PRODUCTS, organisation_id, sku_keys)
    return found


def _described(organisation_id: UUID, totals: Sequence[Any]) -> list[UnknownSku]:
    views = list_sku_views(organisation_id, [total.sku_key for total in totals]) if totals else {}
    described = []
    for total in totals:
        where = views.get(total.sku_key)
        last_day, sites = (where.last_day, where.sites) if where else (None, [])
        described.append(UnknownSku(total.sku_key, total.sku, total.view_count, last_day, sites))
    return described


def _unknown(organisation_id: UUID, place: Place | None) -> Select[str, str, int]:
    walked = _walked(organisation_id, place).limit(STEPS).subquery().c
    product = select(Product.id).where(Product.organisation_id == organisation_id, Product.sku_key == walked.sku_key)
    unknown = select(walked.sku_key, walked.sku, walked.view_count).where(product.scalar_subquery().is_(None))
    return unknown.order_by(walked.view_count.desc(), walked.sku_key.desc())


def _step(organisation_id: UUID, place: Place | None) -> Select[int, str]:
    """The last of so many steps, by the index alone; nothing when the totals end before."""
    total = ProductViewTotal
    places = select(total.view_count, total.sku_key)
    return _along(places, organisation_id, place).offset(STEPS - 1).limit(1)


def _walked(organisation_id: UUID, place: Place | None) -> Select[str, str, int]:
    total = ProductViewTotal
    return _along(select(total.sku_key, total.sku, total.view_count), organisation_id, place)


def _along(query: Select[*Columns], organisation_id: UUID, place: Place | None) -> Select[*Columns]:
    """From the most viewed down, behind a place."""
    total = ProductViewTotal
    query = query.where(total.organisation_id == organisation_id)
    if place:
        there = tuple_(literal(place.number, BigInteger()), literal(place.key, total.sku_key.type))
        query = query.where(tuple_(total.view_count, total.sku_key) < there)
    return query.order_by(total.view_count.desc(), total.sku_key.desc())
