"""The page of refused merges: all of the organisation's, or those of one site."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from flask import Response, abort, request, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.current import current_organisation
from webapp.lib.pagination import BadCursorError
from webapp.pages import render_page
from webapp.visits.models import Site
from webapp.visits.people.refused import list_refused
from webapp.visits.periods import utc_iso
from webapp.visits.queries import list_sites
from webapp.visits.table_files import ENDINGS, WRITERS, table_file
from webapp.visits.views import visits

FILE_LINES = 10_000


@visits.get("/refused-merges")
def list_refused_merges() -> ResponseReturnValue:
    """Who was named on whose browser, the latest first."""
    organisation_id, cursor = current_organisation().id, request.args.get("cursor")
    sites = list_sites(organisation_id)
    site = _chosen(sites, request.args.get("site", ""))
    try:
        page = list_refused(organisation_id, site.id if site else None, cursor=cursor)
    except BadCursorError as error:
        abort(400, str(error))
    here = partial(url_for, "visits.list_refused_merges", site=site.id if site else None)
    return render_page(
        "visits/refused_merges.html",
        page=page,
        sites=sites,
        site=site,
        names={one.id: one.name for one in sites},
        first_url=here() if cursor else None,
        next_url=here(cursor=page.next_cursor) if page.next_cursor else None,
    )


@visits.get(f"/refused-merges/{ENDINGS}")
def refused_merges_file(kind: str) -> Response:
    """The latest of them as a file."""
    organisation_id = current_organisation().id
    sites = list_sites(organisation_id)
    site, names = _chosen(sites, request.args.get("site", "")), {one.id: one.name for one in sites}
    page = list_refused(organisation_id, site.id if site else None, limit=FILE_LINES)
    rows = [[one.identity, one.owner, names.get(one.site_id, ""), utc_iso(one.at)] for one in page.merges]
    return table_file(WRITERS[kind], "refused-links", ["named", "on_a_browser_of", "website", "at"], rows)


def _chosen(sites: list[Site], site_id: str) -> Site | None:
    if not site_id:
        return None
    try:
        wanted = UUID(site_id)
    except ValueError:
        abort(404)
    return next((site for site in sites if site.id == wanted), None) or abort(404)
