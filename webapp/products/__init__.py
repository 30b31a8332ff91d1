"""The organisation's goods."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the products' pages and API."""
    from webapp.products import api, views

    app.register_blueprint(views.blueprint)
    app.register_blueprint(api.bp)
