"""The organisation's people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the contacts' pages and API."""
    from webapp.contacts import (  # noqa: F401  (they add pages and calls to the contacts')
        api,
        person_api,
        person_views,
        timeline_views,
        views,
    )
    from webapp.contacts.visits_api import api_visitors

    app.register_blueprint(views.blueprint)
    app.register_blueprint(api.bp)
    app.register_blueprint(api_visitors)
