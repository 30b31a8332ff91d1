"""What can be done with products' pictures. Nothing here commits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update

from webapp.extensions import db
from webapp.jobs.models import Job
from webapp.jobs.service import create_job
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.storage import Storage
from webapp.pictures.files import picture_key, thumbnail_key
from webapp.pictures.images import ReadImage
from webapp.pictures.kinds import QUERY_LIMIT
from webapp.pictures.models import Picture
from webapp.products.kinds import FIND_PRODUCT_PICTURE
from webapp.products.models import Product

UPLOADED = "upload"


def give_picture(organisation_id: UUID, product_id: UUID, picture_id: UUID) -> bool:
    """Give a product that has no picture this one; whether that was so."""
    statement = (
        update(Product)
        .where(Product.organisation_id == organisation_id, Product.id == product_id, Product.image_id.is_(None))
        .values(image_id=picture_id, updated_at=utc_now())
        .returning(Product.id)
    )
    return db.session.scalar(statement) is not None


def look_for_picture(product: Product, query: str, user_id: UUID | None) -> Job:
    """A job that looks for a picture; raises ParametersError. Commit, then `announce`."""
    given = {"query": query or product.label[:QUERY_LIMIT], "product_id": str(product.id)}
    return create_job(product.organisation_id, FIND_PRODUCT_PICTURE, given, created_by=user_id)


def look_for_pictures(organisation_id: UUID, ids: Sequence[UUID], user_id: UUID | None) -> tuple[set[UUID], set[UUID]]:
    """Jobs for those of these products that have no picture: (those that got one, all that there are)."""
    query = select(Product).where(Product.organisation_id == organisation_id, Product.id.in_(ids))
    products = db.session.scalars(query.order_by(Product.id)).all()
    without = [product for product in products if product.image_id is None]
    for product in without:
        look_for_picture(product, "", user_id)
    return {product.id for product in without}, {product.id for product in products}


def keep_upload(product: Product, content: bytes, image: ReadImage, user_id: UUID, storage: Storage) -> None:
    """Store somebody's own picture, and show it from now on. Its files come first: the store may be slow."""
    picture_id = uuid7()
    organisation_id, thumbnail = product.organisation_id, image.thumbnail
    keys = (
        picture_key(organisation_id, picture_id, 1, image.content_type),
        thumbnail_key(organisation_id, picture_id, 1, thumbnail.content_type),
    )
    storage.write(keys[0], [content])
    storage.write(keys[1], [thumbnail.content])
    db.session.add(
        Picture(
            organisation_id=organisation_id,
            id=picture_id,
            source=UPLOADED,
            source_id="",
            source_url="",
            search_word=product.label,
            author_name="",
            author_url="",
            file_key=keys[0],
            content_type=image.content_type,
            byte_count=len(content),
            width=image.width,
            height=image.height,
            sha256=hashlib.sha256(content).hexdigest(),
            thumbnail_key=keys[1],
            thumbnail_content_type=thumbnail.content_type,
            thumbnail_width=thumbnail.width,
            thumbnail_height=thumbnail.height,
            created_by=user_id,
        )
    )
    product.image_id, product.updated_at = picture_id, utc_now()
    db.session.flush()


def remove_picture(product: Product) -> None:
    """Show none any more; the picture itself is kept."""
    product.image_id, product.updated_at = None, utc_now()
    db.session.flush()
