"""The list of a kind of record: filtered, sorted, paged; all of that stands in the address."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import abort, current_app, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.pagination import BadCursorError
from webapp.pages import render_page
from webapp.records import list_settings
from webapp.records.behaviour_views import FORM, as_of, form_context, names_of_sites, settled, text_of_form
from webapp.records.beside import numbers_of
from webapp.records.chips import chips_of, without
from webapp.records.context import context_of
from webapp.records.entities import ATTRIBUTE_PREFIX, Entity
from webapp.records.filters import OPERATOR_LABELS, FilterError, RecordFilter, operators_of, read_filter, write_filter
from webapp.records.going_on import ARGUMENTS, read_so_far
from webapp.records.imports import find_import, list_offered_imports
from webapp.records.orders import order_of
from webapp.records.queries import (
    count_beside,
    count_records,
    list_attribute_names,
    list_records,
    list_saved_filters,
    list_tags,
)
from webapp.records.search import COUNT_WALK_ROWS, RecordCount, RecordPage
from webapp.visits.behaviour.conditions import BadBehaviourError

if TYPE_CHECKING:
    from webapp.records.views import Pages

DEFAULT_SORT = "created"
WORDS = {"asc": "ascending", "desc": "descending"}
TAGS_OFFERED = 100
NO_STEP = dict.fromkeys(ARGUMENTS)


def index(pages: Pages) -> BaseResponse:
    """Search, filter, sort and page."""
    entity, organisation = pages.entity, current_organisation()
    if request.args.get("field"):
        return redirect(_with_condition(entity), 303)
    if request.args.get("did_what"):
        return redirect(_with_behaviour(entity), 303)
    if request.args.get("refresh"):
        return redirect(_refreshed(entity), 303)
    zone, cursor = ZoneInfo(organisation.time_zone), request.args.get("cursor")
    sort, direction = _sorting(entity)
    wanted, page, problem = RecordFilter(), RecordPage([], None), None
    try:
        wanted = settled(entity, _read_filter(entity), has_cursor=bool(cursor))
        page = list_records(entity, organisation.id, wanted, sort=sort, direction=direction, cursor=cursor)
    except FilterError as error:  # shows nothing: everybody in its place would look like what was asked for
        problem = str(error)
    except BadCursorError as error:
        abort(400, str(error))
    earlier = read_so_far(request.args)
    so_far = earlier.and_then(page)
    context = context_of(organisation.id)
    attributes = list_attribute_names(organisation.id, entity)
    chosen_import = find_import(organisation.id, wanted.import_id)
    chips = chips_of(wanted, entity, zone, context, chosen_import, names_of_sites(organisation.id, wanted))
    return render_page(
        "records/index.html",
        block="rows" if earlier.is_under_way else "records",
        status=422 if problem else 200,
        problem=problem,
        entity=entity,
        page=page,
        context=context,
        wanted=wanted,
        arguments=_arguments(),
        filter_query=_query_of(wanted, zone),
        chips=[(chip.text, _to(without(_arguments(), chip))) for chip in chips],
        as_of=as_of(wanted, zone, _url(cursor=None, refresh="1")),
        **form_context(entity),
        offered_imports=list_offered_imports(organisation.id, entity, chosen_import),
        is_empty=not page.records and wanted.is_empty and not cursor and not problem,
        count_text=_first_count(entity, organisation.id, wanted, page, cursor) if not problem else "",
        sort=request.args.get("sort", ""),
        direction=request.args.get("direction", ""),
        sorts=_sorts(entity, sort, direction),
        columns=_columns(entity, organisation.id, sort),
        numbers=numbers_of(entity, organisation.id, page.records),
        all_columns=list_settings.possible_columns(entity, attributes),
        comparable=_comparable(entity, attributes),
        operator_labels=[(operator.value, label) for operator, label in OPERATOR_LABELS.items()],
        tags=list_tags(entity, organisation.id, limit=TAGS_OFFERED),
        saved_filters=[(saved, _to(dict(saved.arguments))) for saved in list_saved_filters(organisation.id, entity)],
        first_url=_url(cursor=None) if cursor else None,
        next_url=_url(cursor=page.next_cursor, **NO_STEP) if page.next_cursor else None,
        so_far=so_far,
        is_step=earlier.is_under_way,
        step_url=_url(cursor=page.next_cursor, **so_far.as_arguments()) if so_far.goes_on_after(page) else None,
        upload_limit_bytes=current_app.extensions["settings"].upload_limit_bytes,
    )


def count(pages: Pages) -> str:
    """How many match, counted for longer than a page would wait."""
    entity, organisation = pages.entity, current_organisation()
    try:
        wanted = settled(entity, _read_filter(entity), has_cursor=True)
    except FilterError as error:
        abort(400, str(error))
    counted = count_records(entity, organisation.id, wanted, walk_rows=COUNT_WALK_ROWS)
    if not counted.number and not counted.is_exact:
        return f"None found among the newest {COUNT_WALK_ROWS:,} {entity.name}"
    return count_text(entity, counted, wanted)


def save_columns(pages: Pages) -> BaseResponse:
    """Keep which columns this person wants to see, in which order."""
    names = [name for name in request.form.getlist("columns") if name]
    list_settings.keep_columns(current_organisation().id, current_user.id, pages.entity, names)
    db.session.commit()
    return redirect(_back(pages.entity), 303)


def save_filter(pages: Pages) -> BaseResponse:
    """Keep the list's filter and order under a name."""
    organisation_id = current_organisation().id
    try:
        query, name = request.form.get("query", ""), request.form.get("name", "")
        saved = list_settings.save_filter(organisation_id, current_user.id, pages.entity, name, parse_qs(query))
        db.session.commit()
        flash(f"The filter “{saved.name}” is saved.", "success")
    except list_settings.BadNameError as error:
        flash(str(error), "error")
    return redirect(_back(pages.entity), 303)


def delete_filter(pages: Pages, filter_id: UUID) -> BaseResponse:
    """Forget a saved filter."""
    name = list_settings.delete_filter(current_organisation().id, pages.entity, filter_id) or abort(404)
    db.session.commit()
    flash(f"The filter “{name}” is deleted.", "success")
    return redirect(url_for(f"{pages.entity.name}.index"), 303)


def _first_count(
    entity: Entity, organisation_id: UUID, wanted: RecordFilter, page: RecordPage, cursor: str | None
) -> str | None:
    """What a short look beside the page tells; None when it found nothing so far."""
    counted = count_beside(entity, organisation_id, wanted, page, cursor)
    return count_text(entity, counted, wanted) if counted.is_exact or counted.number else None


def count_text(entity: Entity, counted: RecordCount, wanted: RecordFilter) -> str:
    """How many there are, in words: "1 contact", "1,234 contacts found", "Over 100,000 contacts"."""
    over = "" if counted.is_exact else "Over "
    return f"{over}{counted.number:,} {entity.noun(counted.number)}{'' if wanted.is_empty else ' found'}"


def _columns(entity: Entity, organisation_id: UUID, sort: str) -> list[str]:
    """Those that the person chose, and a number that the list is sorted by."""
    chosen = list_settings.columns_of(organisation_id, current_user.id, entity)
    return chosen if sort not in entity.beside or sort in chosen else [*chosen, sort]


def _comparable(entity: Entity, attributes: list[str]) -> list[tuple[str, str, str]]:
    """(name, label, its operators' names) of everything that a comparison may be about."""
    names = [*entity.field_names, *entity.attached, *entity.beside, *(ATTRIBUTE_PREFIX + name for name in attributes)]
    return [
        (name, entity.label_of_column(name), " ".join(operator.value for operator in operators_of(entity, name)))
        for name in names
    ]


def _with_condition(entity: Entity) -> str:
    """The address with the comparison that the form's three boxes say; as it was, when they say none."""
    arguments = _arguments() | {"cursor": []}
    field, operator, value = (next(iter(arguments.pop(name, [])), "") for name in ("field", "operator", "value"))
    condition = f"{field}:{operator}:{value}"
    try:
        read_filter({"where": [condition]}, entity, UTC)
    except FilterError as error:
        flash(str(error), "error")
        return _to(arguments)
    return _to({**arguments, "where": [*arguments.get("where", []), condition]})


def _with_behaviour(entity: Entity) -> str:
    """The address with what the form's boxes say that people did; as it was, when they say nothing."""
    arguments = {name: values for name, values in _arguments().items() if name not in {"cursor", *FORM}}
    try:
        text = text_of_form(request.args)
        read_filter({"did": [text]}, entity, UTC)
    except (BadBehaviourError, FilterError) as error:
        flash(str(error), "error")
        return _to(arguments)
    return _to({**arguments, "did": [*arguments.get("did", []), text]})


def _refreshed(entity: Entity) -> str:
    """The address of the list's beginning, once it is known anew who did what."""
    with suppress(FilterError):  # which the list itself explains
        settled(entity, _read_filter(entity), is_refreshed=True)
    return _url(cursor=None, refresh=None)


def _read_filter(entity: Entity) -> RecordFilter:
    return read_filter(request.args.to_dict(flat=False), entity, ZoneInfo(current_organisation().time_zone))


def _arguments() -> dict[str, list[str]]:
    return {name: [value for value in values if value] for name, values in request.args.to_dict(flat=False).items()}


def _query_of(wanted: RecordFilter, zone: ZoneInfo) -> str:
    """The filter alone, as a query string: what a bulk action over all that match needs."""
    return urlencode(write_filter(wanted, zone), doseq=True)


def _to(arguments: dict[str, list[str]]) -> str:
    filled: dict[str, Any] = {name: values for name, values in arguments.items() if values}
    return url_for(str(request.endpoint), **filled)


def _back(entity: Entity) -> str:
    """The list as it was, which the form names by its query alone."""
    query = request.form.get("query", "")
    return url_for(f"{entity.name}.index") + (f"?{query}" if query else "")


def _sorting(entity: Entity) -> tuple[str, str]:
    """(sort, direction) of the address; what is unknown there counts as not given."""
    sort = request.args.get("sort", DEFAULT_SORT)
    sort = sort if sort in entity.sorts else DEFAULT_SORT
    direction = request.args.get("direction", "")
    return sort, direction if direction in WORDS else _natural(entity, sort)


def _natural(entity: Entity, sort: str) -> str:
    return "desc" if order_of(entity, sort).descends else "asc"


def _sorts(entity: Entity, sort: str, direction: str) -> dict[str, dict[str, Any]]:
    """For every order: where its heading's link leads, and how the list is sorted by it now."""
    opposite = "asc" if direction == "desc" else "desc"
    return {
        name: {
            "url": _url(sort=name, direction=opposite if name == sort else _natural(entity, name), cursor=None),
            "direction": WORDS[direction] if name == sort else None,
        }
        for name in entity.sorts
    }


def _url(**changes: str | None) -> str:
    """The list's address with some arguments changed."""
    arguments: dict[str, Any] = {**_arguments(), **changes}
    return url_for(str(request.endpoint), **{name: value for name, value in arguments.items() if value})
