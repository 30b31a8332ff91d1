"""The overview."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from flask import Blueprint, Response, current_app

from webapp.accounts.current import current_organisation
from webapp.bulk_actions.queries import list_bulk_actions
from webapp.contacts.queries import count_contacts
from webapp.jobs.queries import count_unfinished_jobs
from webapp.lib.clock import utc_now
from webapp.live.channels import jobs_channel, stream_url, visits_channel
from webapp.overview.glance import (
    count_running_imports,
    first_steps,
    get_visits_today,
    list_troubled_jobs,
    short_count,
)
from webapp.pages import render_page
from webapp.visits.queries import has_pageviews, list_sites

IMPORTS_SHOWN = 5

blueprint = Blueprint("overview", __name__)


@blueprint.get("/")
def index() -> Response:
    """Everything at a glance, kept up to date by what jobs and visits say."""
    organisation = current_organisation()
    now, zone = utc_now(), ZoneInfo(organisation.time_zone)
    site_ids = [site.id for site in list_sites(organisation.id)]
    contact_count = count_contacts(organisation.id)
    is_heard = bool(site_ids) and has_pageviews(organisation.id, site_ids)
    steps = first_steps(has_contacts=contact_count.number > 0, has_site=bool(site_ids), has_pageviews=is_heard)
    settings = current_app.extensions["settings"]
    return render_page(
        "overview/index.html",
        block="overview",
        today=f"{now.astimezone(zone):%A} {now.astimezone(zone).day} {now.astimezone(zone):%B %Y}",
        steps=steps,
        next_step=next((step for step in steps if not step.is_done), None),
        contact_count=short_count(contact_count),
        visits=get_visits_today(organisation.id, site_ids, zone, now),
        running_import_count=count_running_imports(organisation.id),
        unfinished_job_count=count_unfinished_jobs(organisation.id),
        troubled_jobs=list_troubled_jobs(organisation.id, now),
        imports=list_bulk_actions(organisation.id, limit=IMPORTS_SHOWN, with_drafts=True),
        streams={
            "jobs": stream_url(settings, jobs_channel(organisation.id)),
            "visits": stream_url(settings, visits_channel(organisation.id)),
        },
    )
