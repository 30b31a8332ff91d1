"""Visits: beacons from websites, rolled up, asked and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the visits pages and their API."""
    from webapp.visits import installation_views  # noqa: F401 (its routes join those of the visits page)
    from webapp.visits.api import api_visits
    from webapp.visits.views import visits

    app.register_blueprint(visits)
    app.register_blueprint(api_visits)
