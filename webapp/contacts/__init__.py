"""The organisation's people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the contacts' pages and API."""
    from webapp.contacts import api, timeline_views, views  # noqa: F401  (they add pages to the contacts')
    from webapp.contacts.visits_api import api_visitors

    app.register_blueprint(views.blueprint)
    app.register_blueprint(api.bp)
    app.register_blueprint(api_visitors)
