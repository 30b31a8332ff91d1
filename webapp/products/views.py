"""The products pages."""

from __future__ import annotations

from webapp.products.models import PRODUCTS
from webapp.records.views import Pages, make_blueprint

blueprint = make_blueprint(Pages(PRODUCTS))
