"""Every piece of background work a person can see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the jobs pages and the API, and the broker's client for whoever publishes."""
    from webapp.jobs import change_api, detail_views, new_views, recurring_views  # noqa: F401  (add to blueprints)
    from webapp.jobs.api import bp as api
    from webapp.jobs.change_tasks import register_change_kinds
    from webapp.jobs.note_tasks import keep_logs_of_jobs
    from webapp.jobs.own_kinds import register_own_kinds
    from webapp.jobs.recurring_api import bp as recurring_api
    from webapp.jobs.views import blueprint
    from webapp.lib.redis import broker_client

    app.extensions["broker"] = broker_client(app.extensions["settings"])
    keep_logs_of_jobs()
    register_own_kinds()
    register_change_kinds()
    app.register_blueprint(blueprint)
    app.register_blueprint(api)
    app.register_blueprint(recurring_api)
