"""Visits: beacons from websites, rolled up, asked and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the visits pages and their API."""
    from webapp.jobs.kinds import register_kind
    from webapp.visits.api import api_visits
    from webapp.visits.collecting.api import api_beacons
    from webapp.visits.counting.rebuild_tasks import CHECK, REBUILD
    from webapp.visits.views import visits

    register_kind(REBUILD)
    register_kind(CHECK)
    app.register_blueprint(visits)
    app.register_blueprint(api_visits)
    app.register_blueprint(api_beacons)
