"""Visits: beacons from websites, rolled up, asked and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the visits pages and their API."""
    from webapp.visits import settings_views  # noqa: F401  (its pages are the blueprint's, too)
    from webapp.visits.api import api_visits
    from webapp.visits.collecting import api  # noqa: F401  (so is what takes beacons)
    from webapp.visits.sites_api import api_sites
    from webapp.visits.views import visits

    app.register_blueprint(visits)
    app.register_blueprint(api_visits)
    app.register_blueprint(api_sites)
