"""Visits: beacons from websites, rolled up, asked and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the visits pages and their API."""
    from webapp.jobs.kinds import register_kind
    from webapp.jobs.notices import register_notice
    from webapp.visits import (  # noqa: F401  (they add pages and answers to the blueprints below)
        analytics_api,
        behaviour_api,
        behaviour_views,
        installation_views,
        journeys_api,
        now_api,
        settings_views,
    )
    from webapp.visits.api import api_visits
    from webapp.visits.backlog_notice import backlog_notice
    from webapp.visits.collecting import api  # noqa: F401  (so is what takes beacons)
    from webapp.visits.counting.check_tasks import CHECK
    from webapp.visits.counting.rebuild_tasks import REBUILD
    from webapp.visits.counting.recount_tasks import RECOUNT
    from webapp.visits.deletion import api as deletion_api  # noqa: F401  (so do these)
    from webapp.visits.deletion import views as deletion_views  # noqa: F401
    from webapp.visits.deletion.tasks import ERASE as ERASE_SITES
    from webapp.visits.people import api as people_api  # noqa: F401
    from webapp.visits.people import refused_views  # noqa: F401
    from webapp.visits.people.erasing_tasks import ERASE as ERASE_PEOPLE
    from webapp.visits.site_page import (  # noqa: F401  (they add pages to `visits`)
        file_views,
        flow_views,
        funnel_views,
        funnels_api,
        goals_api,
        journey_views,
        kept_api,
        kept_views,
        list_views,
        now_views,
        undo_views,
        value_views,
    )
    from webapp.visits.site_page.shared_views import shared_visits
    from webapp.visits.sites_api import api_sites
    from webapp.visits.views import visits
    from webapp.visits.weekly import weekly_api  # noqa: F401
    from webapp.visits.weekly.weekly_views import unsubscribe

    register_notice(backlog_notice)
    register_kind(REBUILD)
    register_kind(CHECK)
    register_kind(RECOUNT)
    register_kind(ERASE_PEOPLE)
    register_kind(ERASE_SITES)
    app.register_blueprint(visits)
    app.register_blueprint(shared_visits)
    app.register_blueprint(unsubscribe)
    app.register_blueprint(api_visits)
    app.register_blueprint(api_sites)
