"""The visits page, its live part, and new sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.current import current_organisation
from webapp.accounts.models import Organisation
from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.live.channels import stream_url, visits_channel
from webapp.pages import render_page
from webapp.visits import queries
from webapp.visits.buckets import Aggregation
from webapp.visits.charts import bucket_label, make_figure
from webapp.visits.counting.capping import PAGE_LIMIT_A_DAY
from webapp.visits.counting.sketches import ERROR_PERCENT, EXACT_LIMIT
from webapp.visits.models import Site
from webapp.visits.periods import CUSTOM, DEFAULT_PRESET, PRESETS, BadPeriodError, Period, make_period
from webapp.visits.service import BadSiteError, create_site

TOP_COUNT = 10
TEMPLATE = "visits/index.html"
OTHER_HINT = f"A site counts up to {PAGE_LIMIT_A_DAY:,} pages a day one by one; the rest is added up here."

visits = Blueprint("visits", __name__, url_prefix="/visits")


@dataclass(frozen=True)
class Line:
    """One line of a top list, as it is shown."""

    label: str
    note: str
    title: str
    pageview_count: int
    fraction: float


@dataclass(frozen=True)
class Choice:
    """What of the visits is shown: sites, period, and the width of the buckets."""

    sites: list[Site]
    site: Site | None
    period: Period
    aggregation: Aggregation
    error: str

    @property
    def site_ids(self) -> list[UUID]:
        return [self.site.id] if self.site else [site.id for site in self.sites]

    def url_for(self, endpoint: str, **changes: str | None) -> str:
        """The address of this choice with some of it changed."""
        arguments = {
            "site": str(self.site.id) if self.site else None,
            "range": self.period.preset,
            "by": self.aggregation.value,
            **self._dates(),
            **changes,
        }
        given: dict[str, Any] = {name: value for name, value in arguments.items() if value}
        return url_for(endpoint, **given)

    def _dates(self) -> dict[str, str | None]:
        if self.period.preset != CUSTOM:
            return {}
        return {"from": self.period.first.isoformat(), "to": self.period.last.isoformat()}


@visits.get("")
def index() -> ResponseReturnValue:
    """The page; without a site, the form that makes the first one."""
    organisation = current_organisation()
    sites = queries.list_sites(organisation.id)
    if not sites:
        return render_page("visits/new.html", values={}, errors={}, is_first=True)
    choice = _read_choice(organisation, sites)
    status = 422 if choice.error else 200
    return render_page(TEMPLATE, status=status, **_context(organisation, choice))


@visits.get("/figures")
def figures() -> ResponseReturnValue:
    """Numbers, chart and lists alone: what the page fetches again when something was counted."""
    organisation = current_organisation()
    choice = _read_choice(organisation, queries.list_sites(organisation.id))
    return render_page(TEMPLATE, block="figures", **_context(organisation, choice))


@visits.get("/sites/new")
def new_site() -> ResponseReturnValue:
    return render_page("visits/new.html", values={}, errors={}, is_first=False)


@visits.post("/sites")
def add_site() -> ResponseReturnValue:
    """Make a site, then show its snippet."""
    organisation = current_organisation()
    try:
        name, origin = request.form.get("name", ""), request.form.get("origin", "")
        site = create_site(organisation.id, name, origin, organisation.time_zone)
    except BadSiteError as error:
        errors = {error.field: str(error)}
        return render_page("visits/new.html", status=422, values=request.form, errors=errors, is_first=False)
    db.session.commit()
    return redirect(url_for("visits.show_site", site_id=site.id), code=303)


@visits.get("/sites/<uuid:site_id>")
def show_site(site_id: UUID) -> ResponseReturnValue:
    """How to embed the tracker in this site."""
    organisation = current_organisation()
    site = next((site for site in queries.list_sites(organisation.id) if site.id == site_id), None)
    if site is None:
        abort(404)
    is_heard = queries.has_pageviews(organisation.id, [site.id])
    return render_page("visits/site.html", site=site, snippet=snippet_of(site), is_heard=is_heard)


def snippet_of(site: Site) -> str:
    """What a website embeds."""
    edge_url = _settings().edge_url
    return f'<script defer src="{edge_url}/tracker.js" data-site-key="{site.site_key}"></script>'


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _read_choice(organisation: Organisation, sites: list[Site]) -> Choice:
    """What the address asks for; what it asks wrongly is replaced by the usual and explained."""
    site = next((site for site in sites if str(site.id) == request.args.get("site")), None)
    zone, error = ZoneInfo(organisation.time_zone), ""
    preset = request.args.get("range", DEFAULT_PRESET)
    try:
        period = make_period(preset, zone, utc_now(), request.args.get("from", ""), request.args.get("to", ""))
    except BadPeriodError as problem:
        error = str(problem)
        period = make_period(DEFAULT_PRESET, zone, utc_now())
    choices = period.aggregations()
    wanted = next((one for one in choices if one.value == request.args.get("by")), choices[0])
    return Choice(sites, site, period, wanted, error)


def _context(organisation: Organisation, choice: Choice) -> dict[str, Any]:
    """Everything that the page shows, asked and worked out."""
    period, zone, now = choice.period, choice.period.zone, utc_now()
    asked = organisation.id, choice.site_ids
    edges = period.edges(choice.aggregation)
    points = queries.list_points(*asked, choice.aggregation, edges, zone)
    totals = queries.get_totals(*asked, period.start, period.end, zone)
    before = queries.get_totals(*asked, *period.before(now), zone)
    return {
        "choice": choice,
        "presets": PRESETS,
        "points": [(bucket_label(point, choice.aggregation, zone), point) for point in points],
        "figure": make_figure(points, choice.aggregation, zone, now),
        "totals": totals,
        "changes": _changes(totals, before),
        "pages_per_visitor": totals.pageview_count / totals.visitor_count if totals.visitor_count else None,
        "top_pages": _page_lines(
            queries.list_top_pages(*asked, period.start, period.end, zone, TOP_COUNT), totals, len(choice.site_ids) > 1
        ),
        "top_referrers": _referrer_lines(queries.list_top_referrers(*asked, period.start, period.end, zone, TOP_COUNT)),
        "exact_limit": EXACT_LIMIT,
        "error_percent": ERROR_PERCENT,
        "is_heard": queries.has_pageviews(*asked),
        "snippets": [(site, snippet_of(site)) for site in choice.sites if site is choice.site or not choice.site],
        "stream_url": stream_url(_settings(), visits_channel(organisation.id)),
    }


def _page_lines(shares: list[queries.Share], totals: queries.Totals, with_host: bool) -> list[Line]:
    """Pages by their path, with their host where there are several."""
    lines = []
    for share in shares:
        fraction = share.pageview_count / max(1, totals.pageview_count)
        host, _, path = share.label.partition("://")[2].partition("/")
        if share.label == queries.OTHER_LABEL:
            lines.append(Line("Other pages", "added up", OTHER_HINT, share.pageview_count, fraction))
        else:
            lines.append(Line(f"/{path}", host if with_host else "", share.label, share.pageview_count, fraction))
    return lines


def _referrer_lines(shares: list[queries.Share]) -> list[Line]:
    """Websites by their share of the pageviews that did not come from the site itself."""
    total = max(1, sum(share.pageview_count for share in shares))
    return [
        Line(
            share.label or "Direct",
            "" if share.label else "no referrer",
            share.label,
            share.pageview_count,
            share.pageview_count / total,
        )
        for share in shares
    ]


def _changes(totals: queries.Totals, before: queries.Totals) -> dict[str, float | None]:
    """How pageviews and visitors changed, as fractions; None where there was nothing before."""
    return {
        "pageviews": _change(totals.pageview_count, before.pageview_count),
        "visitors": _change(totals.visitor_count, before.visitor_count),
    }


def _change(now: int, before: int) -> float | None:
    return (now - before) / before if before else None
