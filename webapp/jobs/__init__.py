"""Every piece of background work a person can see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the jobs pages, and the broker's client for whoever publishes."""
    from webapp.jobs.views import blueprint
    from webapp.lib.redis import broker_client

    app.extensions["broker"] = broker_client(app.extensions["settings"])
    app.register_blueprint(blueprint)
