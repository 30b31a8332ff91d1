"""The page of a site's visits, all sites at a glance, and the way between them."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import abort, current_app, redirect, request
from flask.typing import ResponseReturnValue

from webapp.accounts.current import current_organisation
from webapp.config import Settings
from webapp.lib.clock import utc_now
from webapp.live.channels import stream_url, visits_channel
from webapp.pages import render_page
from webapp.visits import answers, queries
from webapp.visits.counting.checks import find_failed_check
from webapp.visits.counting.rebuilds import find_unfinished_rebuild
from webapp.visits.counting.sketches import ERROR_PERCENT, EXACT_LIMIT
from webapp.visits.models import Site
from webapp.visits.periods import DEFAULT_PRESET, PRESETS, BadPeriodError, make_period
from webapp.visits.site_page.annotations import list_annotations, marks_of
from webapp.visits.site_page.cards import list_site_cards
from webapp.visits.site_page.chart import bucket_label, make_figure
from webapp.visits.site_page.choice import Choice, Comparison, read_choice
from webapp.visits.site_page.fields import LABELS
from webapp.visits.site_page.figures import get_compared, list_buckets, list_numbers, with_told_events
from webapp.visits.site_page.filters import WORDS, BadFilterError, chips_of, read_filters, write_filters, written_value
from webapp.visits.site_page.goals import can_convert, list_goal_lines
from webapp.visits.site_page.lists import TOP_COUNT, fields_of, list_cards, list_values
from webapp.visits.site_page.models import Segment
from webapp.visits.site_page.people_links import people_url
from webapp.visits.site_page.queries import list_goals, list_segments
from webapp.visits.site_queries import list_deleted_sites
from webapp.visits.views import snippet_of, visits

TEMPLATE = "visits/index.html"
HOME = "visits.index"


@visits.get("")
def index() -> ResponseReturnValue:
    """A site's page; all sites where there are several and none is named; without any, the form that makes one."""
    organisation = current_organisation()
    sites = queries.list_sites(organisation.id)
    if not sites:
        has_deleted = bool(list_deleted_sites(organisation.id))
        return render_page("visits/new.html", values={}, errors={}, is_first=True, has_deleted=has_deleted)
    wanted = request.args.get("site")
    if wanted is None and len(sites) > 1:
        return _all_sites(sites, ZoneInfo(organisation.time_zone))
    site = next((site for site in sites if str(site.id) == wanted), None)
    if site is None and wanted is not None:
        abort(404)
    choice = read_choice(site or sites[0], request.args, utc_now())
    if request.args.get("value"):
        return redirect(with_comparison(choice).url(), code=303)
    status = 422 if choice.error else 200
    return render_page(TEMPLATE, block="figures", status=status, **_context(choice, sites))


def find_site(site_id: str | UUID) -> Site:
    """The organisation's site of this id, or no such page."""
    site = next((site for site in queries.list_sites(current_organisation().id) if str(site.id) == str(site_id)), None)
    if site is None:
        abort(404)
    return site


def live_url() -> str:
    """The stream that says when something was counted."""
    settings: Settings = current_app.extensions["settings"]
    return stream_url(settings, visits_channel(current_organisation().id))


def with_comparison(choice: Choice) -> Choice:
    """With the filter that the form names; one that cannot be is left out, since only a forged form holds it."""
    field, operator = request.args.get("field", ""), request.args.get("operator", "")
    text = f"{field}:{operator}:{written_value(field, request.args['value'], operator)}"
    try:
        return choice.with_filters(read_filters([*write_filters(choice.filters), text]))
    except BadFilterError:
        return choice


def _context(choice: Choice, sites: list[Site]) -> dict[str, Any]:
    """Everything that the page shows, asked and worked out."""
    return {
        **page_context(choice),
        "sites": sites,
        "stream_url": live_url(),
        "snippet": snippet_of(choice.site),
        "people_url": people_url(choice),
        "failed_check": find_failed_check(choice.organisation_id, choice.site.id),
        "rebuild": find_unfinished_rebuild(choice.organisation_id, choice.site.id),
    }


def list_segment_links(choice: Choice, endpoint: str = HOME, **more: Any) -> list[tuple[Segment, str]]:
    """The site's segments, each with the address that shows it."""
    return [
        (segment, choice.with_filters(read_filters(segment.filters)).url(endpoint, **more))
        for segment in list_segments(choice.organisation_id, choice.site.id)
    ]


def list_chips(choice: Choice, endpoint: str = HOME, **more: Any) -> list[tuple[str, str]]:
    """The choice's filters in words, each with the address without it."""
    return [
        (chip.text, choice.with_filters(read_filters(_without(choice, chip.texts))).url(endpoint, **more))
        for chip in chips_of(choice.filters)
    ]


def _list_field_labels(choice: Choice) -> dict[str, str]:
    """What may be compared in the form that adds a filter."""
    return {field: label for field, label in LABELS.items() if choice.may_filter(field)}


def toolbar_context(choice: Choice, endpoint: str = HOME, **more: Any) -> dict[str, Any]:
    """What the toolbar and the chips of a page at `endpoint` need, with `more` in its address."""
    return {
        "choice": choice,
        "endpoint": endpoint,
        "more": more,
        "presets": PRESETS,
        "field_labels": _list_field_labels(choice),
        "operator_words": {operator.value: words for operator, words in WORDS.items()},
        "chips": list_chips(choice, endpoint, **more),
        "segments": [] if choice.secret else list_segment_links(choice, endpoint, **more),
    }


def page_context(choice: Choice) -> dict[str, Any]:
    """What the page shows to members and to strangers with a link."""
    frame = {
        **toolbar_context(choice),
        "failed_check": None,
        "comparisons": list(Comparison),
        "is_heard": queries.has_pageviews(choice.organisation_id, [choice.site.id]),
    }
    return {**frame, **_shown(choice)} if frame["is_heard"] else frame


def _shown(choice: Choice) -> dict[str, Any]:
    now, zone = utc_now(), choice.period.zone
    edges = choice.period.edges(choice.aggregation)
    question, fields = choice.question(), fields_of(choice)
    alike = [field for field in fields if choice.list_question(field) == question]
    found = answers.overview(question, edges, alike, TOP_COUNT + 1)
    others = {field: list_values(choice, field, TOP_COUNT + 1) for field in fields if field not in alike}
    summary = with_told_events(choice, found.summary, question, edges, question.end)
    total, compared = summary.total, get_compared(choice, now)
    buckets, annotations = list_buckets(choice, summary.points, compared), list_annotations(choice)
    goals = list_goals(choice.organisation_id, choice.site.id) if choice.shows_goals else []
    return {
        "numbers": list_numbers(choice, total, compared),
        "total": total,
        "buckets": [(bucket_label(bucket.starts_at, choice.aggregation, zone), bucket) for bucket in buckets],
        "figure": make_figure(buckets, choice.metric, choice.aggregation, zone, now, marks_of(annotations, buckets)),
        "annotations": annotations,
        "goals": goals,
        "goal_lines": list_goal_lines(choice, goals, total) if can_convert(choice) else None,
        "cards": list_cards(choice, total, {**found.lists, **others}),
        "exact_limit": EXACT_LIMIT,
        "error_percent": ERROR_PERCENT,
    }


def _without(choice: Choice, texts: tuple[str, ...]) -> list[str]:
    return [text for text in write_filters(choice.filters) if text not in texts]


def _all_sites(sites: list[Site], zone: ZoneInfo) -> ResponseReturnValue:
    """Each site's numbers and a small line."""
    preset = request.args.get("range", DEFAULT_PRESET)
    try:
        period = make_period(preset, zone, utc_now(), request.args.get("from", ""), request.args.get("to", ""))
        error = ""
    except BadPeriodError as problem:
        period, error = make_period(DEFAULT_PRESET, zone, utc_now()), str(problem)
    context = {"period": period, "presets": PRESETS, "error": error, "stream_url": live_url()}
    context["has_deleted"] = bool(list_deleted_sites(current_organisation().id))
    cards = list_site_cards(sites, period, utc_now())
    status = 422 if error else 200
    return render_page("visits/sites.html", block="sites", status=status, cards=cards, **context)
