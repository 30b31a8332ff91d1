"""A site's visits for whoever has a link: to look at, with nothing to change, and to make and take back such links."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from flask import Blueprint, abort, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from webapp.accounts.current import enter_organisation
from webapp.accounts.models import Organisation
from webapp.config import Settings
from webapp.extensions import db, enter_tenant
from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits.models import Site
from webapp.visits.site_page import service
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.file_views import goals_file_of
from webapp.visits.site_page.filters import read_filters, words_of
from webapp.visits.site_page.flow_views import journeys_file, journeys_page
from webapp.visits.site_page.flows import can_follow
from webapp.visits.site_page.limits import is_narrow
from webapp.visits.site_page.list_views import list_file, list_page, numbers_file
from webapp.visits.site_page.models import SharedLink
from webapp.visits.site_page.numbers import VISITORS
from webapp.visits.site_page.queries import find_shared_link, list_segments, list_shared_links
from webapp.visits.site_page.secrets import organisation_in
from webapp.visits.site_page.service import BadEntryError
from webapp.visits.site_page.tables import as_csv, as_json
from webapp.visits.site_page.value_views import values_of
from webapp.visits.site_page.views import TEMPLATE, find_site, page_context, with_comparison
from webapp.visits.table_files import ENDINGS, WRITERS
from webapp.visits.views import visits

NOT_ASKED = (
    "This link shows some pages, events or products alone. It can't be filtered by what else its visits saw or did."
)
NO_LINK = "This link was taken back, or part of its address is missing. Ask whoever gave it to you for another."
shared_visits = Blueprint("shared_visits", __name__, url_prefix="/shared")


@shared_visits.get("/<secret>")
def index(secret: str) -> ResponseReturnValue:
    """The site's page as the link limits it."""
    choice = _read_shared(secret)
    if request.args.get("value"):
        return redirect(with_comparison(choice).url(), code=303)
    context = {"sites": [], "can_follow": can_follow(choice), **page_context(choice)}
    return render_page(TEMPLATE, block="figures", status=422 if choice.error else 200, **context)


@shared_visits.get("/<secret>/lists/<field>")
def show_list(secret: str, field: str) -> ResponseReturnValue:
    return list_page(_read_shared(secret), field)


@shared_visits.get("/<secret>/lists/<field>/csv")
def list_csv(secret: str, field: str) -> ResponseReturnValue:
    return list_file(_read_for_file(secret), field, as_csv)


@shared_visits.get("/<secret>/lists/<field>/json")
def list_json(secret: str, field: str) -> ResponseReturnValue:
    return list_file(_read_for_file(secret), field, as_json)


@shared_visits.get("/<secret>/filter-values")
def suggest_values(secret: str) -> ResponseReturnValue:
    return values_of(_read_shared(secret))


@shared_visits.get("/<secret>/numbers/csv")
def numbers_csv(secret: str) -> ResponseReturnValue:
    return numbers_file(_read_for_file(secret), as_csv)


@shared_visits.get("/<secret>/numbers/json")
def numbers_json(secret: str) -> ResponseReturnValue:
    return numbers_file(_read_for_file(secret), as_json)


@shared_visits.get("/<secret>/journeys")
def show_journeys(secret: str) -> ResponseReturnValue:
    return journeys_page(_read_shared(secret))


@shared_visits.get("/<secret>/journeys/csv")
def journeys_csv(secret: str) -> ResponseReturnValue:
    return journeys_file(_read_for_file(secret), as_csv)


@shared_visits.get("/<secret>/journeys/json")
def journeys_json(secret: str) -> ResponseReturnValue:
    return journeys_file(_read_for_file(secret), as_json)


@shared_visits.get(f"/<secret>/goals/{ENDINGS}")
def goals_file(secret: str, kind: str) -> ResponseReturnValue:
    return goals_file_of(_read_shared(secret), WRITERS[kind])


@shared_visits.after_request
def keep_from_search_engines(response: Response) -> Response:
    """A link that somebody published by mistake must not be found by everybody else."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


@visits.get("/sites/<uuid:site_id>/links")
def show_links(site_id: UUID) -> ResponseReturnValue:
    """The site's links, and the form that makes one."""
    return _links_page(find_site(site_id), {}, {}, 200)


@visits.post("/sites/<uuid:site_id>/links")
def add_link(site_id: UUID) -> ResponseReturnValue:
    site = find_site(site_id)
    try:
        service.share(
            site, request.form.get("name", ""), _read_limit(site), shows_goals=request.form.get("goals") == "yes"
        )
    except BadEntryError as error:
        return _links_page(site, dict(request.form), {error.field: str(error)}, 422)
    db.session.commit()
    return redirect(url_for("visits.show_links", site_id=site.id), code=303)


def _read_shared(secret: str) -> Choice:
    """What is asked of the link's site; no such page where there is no such link."""
    link = _find_link(secret)
    organisation = db.session.get(Organisation, link.organisation_id)
    site = db.session.get(Site, (link.organisation_id, link.site_id))
    if organisation is None or site is None or site.deleted_at is not None:
        abort(404, NO_LINK)
    enter_organisation(organisation)
    choice = read_choice(site, request.args, utc_now())
    locked = read_filters(link.filters)
    shows_goals = link.shows_goals and not is_narrow(locked)
    return _as_limited(replace(choice, secret=secret, locked=locked, shows_goals=shows_goals))


def _as_limited(choice: Choice) -> Choice:
    """Without a number or filters that would tell what the link is not about."""
    choice = choice if choice.metric in choice.metrics else replace(choice, metric=VISITORS)
    asked = [one for one in choice.filters if choice.may_filter(one.field)]
    if len(asked) == len(choice.filters):
        return choice
    return replace(choice.with_filters(asked), error=NOT_ASKED)


def _read_for_file(secret: str) -> Choice:
    """The same for a file, which has no room to say what was left out."""
    choice = _read_shared(secret)
    if choice.error == NOT_ASKED:
        abort(422, NOT_ASKED)
    return choice


def _find_link(secret: str) -> SharedLink:
    organisation_id = organisation_in(secret)
    if organisation_id is None:
        abort(404, NO_LINK)
    enter_tenant(organisation_id)
    link = find_shared_link(organisation_id, secret)
    if link is None:
        enter_tenant(None)
        abort(404, NO_LINK)
    return link


def _read_limit(site: Site) -> list[str]:
    """The filters of the chosen segment; nothing but the choice of everything is unlimited."""
    limits: dict[str, list[str]] = {"": []}
    limits.update({str(one.id): one.filters for one in list_segments(site.organisation_id, site.id)})
    chosen = request.form.get("segment")
    if chosen not in limits:
        raise BadEntryError("segment", "This segment is gone. Choose what the link shows.")
    return limits[chosen]


def _links_page(site: Site, values: dict[str, str], errors: dict[str, str], status: int) -> ResponseReturnValue:
    settings: Settings = current_app.extensions["settings"]
    links = [
        (link, f"{settings.public_url}{url_for('shared_visits.index', secret=link.secret)}", _limit_of(link))
        for link in list_shared_links(site.organisation_id, site.id)
    ]
    segments = [("", "everything"), *((str(one.id), one.name) for one in list_segments(site.organisation_id, site.id))]
    return render_page(
        "visits/links.html", status=status, site=site, links=links, segments=segments, values=values, errors=errors
    )


def _limit_of(link: SharedLink) -> str:
    return "; ".join(words_of(one) for one in read_filters(link.filters)) or "everything"
