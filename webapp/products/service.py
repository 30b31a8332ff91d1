"""What can be done with products' pictures. Nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_, select, update

from webapp.extensions import db
from webapp.jobs.models import Job
from webapp.jobs.service import create_job
from webapp.lib.clock import utc_now
from webapp.pictures.kinds import QUERY_LIMIT
from webapp.products.kinds import FIND_PRODUCT_PICTURE
from webapp.products.models import Product


def give_picture(organisation_id: UUID, product_id: UUID, picture_id: UUID, replaced_id: UUID | None = None) -> bool:
    """Give a product this picture in place of that one, or of none; whether the product has it now."""
    statement = (
        update(Product)
        .where(
            Product.organisation_id == organisation_id,
            Product.id == product_id,
            or_(Product.image_id.is_not_distinct_from(replaced_id), Product.image_id == picture_id),
        )
        .values(image_id=picture_id, updated_at=utc_now())
        .returning(Product.id)
    )
    return db.session.scalar(statement) is not None


def look_for_picture(product: Product, query: str, user_id: UUID | None) -> Job:
    """A job that looks for a picture, to come in place of the one that the product has now, if it has one.

    Raises ParametersError. Commit, then `announce`.
    """
    given = {"query": query or default_query(product), "product_id": str(product.id)}
    if product.image_id:
        given["replaced_id"] = str(product.image_id)
    return create_job(product.organisation_id, FIND_PRODUCT_PICTURE, given, created_by=user_id)


def default_query(product: Product) -> str:
    """What is looked for unless somebody says otherwise."""
    return product.label[:QUERY_LIMIT].strip()


def look_for_pictures(organisation_id: UUID, ids: Sequence[UUID], user_id: UUID | None) -> tuple[set[UUID], set[UUID]]:
    """Jobs for those of these products that have no picture: (those that got one, all that there are)."""
    query = select(Product).where(Product.organisation_id == organisation_id, Product.id.in_(ids))
    products = db.session.scalars(query.order_by(Product.id)).all()
    without = [product for product in products if product.image_id is None]
    for product in without:
        look_for_picture(product, "", user_id)
    return {product.id for product in without}, {product.id for product in products}


def show_picture(product: Product, picture_id: UUID | None) -> None:
    """Show this picture from now on, or none. The one before is kept, so that this can be undone."""
    if product.image_id != picture_id:
        product.image_id, product.updated_at = picture_id, utc_now()
    db.session.flush()
