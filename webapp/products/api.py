"""`/api/v1/products`: list, read, create, change and delete products with an API key."""

from __future__ import annotations

from webapp.products.models import PRODUCTS
from webapp.records.api import Examples, make_api

EXAMPLES = Examples(
    create={"sku": "CUP-0001", "name": "Espresso cup", "price": "12.50", "currency": "EUR"},
    update={"price": "11.90", "is_active": "no"},
)

bp = make_api(PRODUCTS, EXAMPLES)
