"""The organisation's goods."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the products' kind of job, pages and API."""
    from webapp.jobs.kinds import register_kind
    from webapp.products import (  # noqa: F401  (they add to the blueprints)
        api,
        picture_api,
        picture_views,
        view_files,
        view_views,
        views,
        views_api,
    )
    from webapp.products.kinds import FIND_PRODUCT_PICTURE

    register_kind(FIND_PRODUCT_PICTURE)
    app.register_blueprint(views.blueprint)
    app.register_blueprint(api.bp)
