"""The first page: numbers at a glance, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the page."""
    from webapp.overview.views import blueprint

    app.register_blueprint(blueprint)
