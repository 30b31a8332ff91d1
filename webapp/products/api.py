"""`/api/v1/products`: list, read, create, change and delete products with an API key."""

from __future__ import annotations

from typing import Any

from apiflask.fields import String
from flask import url_for

from webapp.products.models import PRODUCTS, Product
from webapp.records.api import make_api
from webapp.records.shared_api import Calls

ADDRESS = {"format": "uri-reference"}
PICTURE_FIELDS = {
    "image_id": String(
        allow_none=True, metadata={"description": "The id of its picture, whose credit is to be shown."}
    ),
    "image_url": String(allow_none=True, metadata=ADDRESS),
    "thumbnail_url": String(allow_none=True, metadata=ADDRESS),
}


def _picture_of(product: Product) -> dict[str, Any]:
    image_id = product.image_id
    if image_id is None:
        return dict.fromkeys(PICTURE_FIELDS)
    return {
        "image_id": image_id,
        "image_url": url_for("api_pictures.image", picture_id=image_id),
        "thumbnail_url": url_for("api_pictures.thumbnail", picture_id=image_id),
    }


CALLS = Calls(
    PRODUCTS,
    example={"sku": "CUP-0001", "name": "Espresso cup", "price": "12.50", "currency": "EUR", "tags": ["kitchen"]},
    example_change={"price": 11.9, "is_active": False},
    more_fields=PICTURE_FIELDS,
    more_of=_picture_of,
)
bp = make_api(CALLS)
