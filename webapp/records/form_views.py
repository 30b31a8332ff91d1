"""The forms of a kind of record, new and known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flask import Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.accounts.queries import list_members
from webapp.extensions import db
from webapp.pages import render_page
from webapp.records import forms, service
from webapp.records.context import context_of
from webapp.records.entities import Entity
from webapp.records.forms import Difference, Row
from webapp.records.queries import get_record, get_record_for_update, list_attribute_names, list_tags
from webapp.records.service import InvalidRecordError

if TYPE_CHECKING:
    from webapp.records.views import Pages

TAGS_OFFERED = 8


def new(pages: Pages) -> Response:
    """A form with what the address gives of its fields."""
    given = {name: text for name, text in request.args.items() if name in pages.entity.fields_by_name}
    return _new_form(pages.entity, forms.new_texts(pages.entity) | given, [forms.NO_ROW])


def create(pages: Pages) -> BaseResponse:
    """Keep a new record, or show the form with what is wrong."""
    entity, form = pages.entity, request.form
    texts, rows = forms.posted_texts(entity, form), forms.rearranged(form)
    if rows is not None:
        return _new_form(entity, texts, rows)
    try:
        record = service.create_record(entity, current_organisation().id, texts, forms.posted_attributes(form))
        db.session.commit()
    except InvalidRecordError as error:
        db.session.rollback()
        return _new_form(entity, texts, forms.posted_rows(form), error.errors, status=422)
    return _saved(entity, record)


def edit(pages: Pages, record_id: UUID) -> Response:
    """The form with what is known."""
    entity = pages.entity
    record = get_record(entity, current_organisation().id, record_id) or abort(404)
    texts = forms.texts_of(entity, record, context_of(record.organisation_id))
    return _edit_form(entity, record, texts, forms.rows_of(record.attributes))


def update(pages: Pages, record_id: UUID) -> BaseResponse:
    """Keep what was changed, or show the form with what is wrong, or with what somebody else saved meanwhile."""
    entity, form = pages.entity, request.form
    texts, rows = forms.posted_texts(entity, form), forms.rearranged(form)
    record = get_record_for_update(entity, current_organisation().id, record_id) or abort(404)
    if rows is not None:
        return _edit_form(entity, record, texts, rows)
    try:
        if others := _update(entity, record, texts):
            return _edit_form(entity, record, texts, forms.posted_rows(form), others=others, status=409)
        db.session.commit()
    except InvalidRecordError as error:
        db.session.rollback()
        record = get_record(entity, current_organisation().id, record_id) or abort(404)
        return _edit_form(entity, record, texts, forms.posted_rows(form), error.errors, status=422)
    return _saved(entity, record)


def tags(pages: Pages) -> str:
    """Tags to choose from: those before the last comma, and one that begins with what stands after it."""
    before, comma, beginning = request.args.get("tags", "").rpartition(",")
    found = list_tags(pages.entity, current_organisation().id, beginning.strip(), TAGS_OFFERED)
    start = f"{before}{comma} " if comma else ""
    return render_template("records/_tags.html", start=start, tags=found)


def _update(entity: Entity, record: Any, texts: Mapping[str, str]) -> Sequence[Difference]:
    """Change what was entered anew, or say where another has been quicker. Raises InvalidRecordError."""
    shown = forms.texts_of(entity, record, context_of(record.organisation_id))
    attributes = forms.posted_attributes(request.form)
    if forms.was_changed_since(entity, record, request.form):
        entered = record.attributes if attributes is None else attributes
        if others := forms.differences(entity, shown, texts, record.attributes, entered):
            return others
    own = forms.replacing(attributes, record.attributes)
    service.update_record(entity, record, forms.changed(entity, texts, shown), own)
    return []


def _saved(entity: Entity, record: Any) -> BaseResponse:
    flash(f"{entity.label_of(record)} is saved.", "success")
    return redirect(url_for(f"{entity.name}.show", record_id=record.id), 303)


def _new_form(
    entity: Entity, texts: Mapping[str, str], rows: Sequence[Row], errors: Mapping[str, str] | None = None, **more: Any
) -> Response:
    urls = {"action_url": url_for(f"{entity.name}.create"), "back_url": url_for(f"{entity.name}.index")}
    return _form("records/new.html", entity, texts, rows, errors, **urls, **more)


def _edit_form(
    entity: Entity,
    record: Any,
    texts: Mapping[str, str],
    rows: Sequence[Row],
    errors: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """A form that comes back stays one of the version that was opened, until its differences were shown."""
    is_answer = request.method == "POST" and not more.get("others")
    version = request.form.get(forms.VERSION, "") if is_answer else forms.version_of(entity, record)
    urls = {
        "action_url": url_for(f"{entity.name}.update", record_id=record.id),
        "back_url": url_for(f"{entity.name}.show", record_id=record.id),
    }
    return _form("records/edit.html", entity, texts, rows, errors, record=record, version=version, **urls, **more)


def _form(
    template: str,
    entity: Entity,
    texts: Mapping[str, str],
    rows: Sequence[Row],
    errors: Mapping[str, str] | None,
    **more: Any,
) -> Response:
    organisation_id = current_organisation().id
    return render_page(
        template,
        block="form",
        entity=entity,
        groups=[(name, list(fields)) for name, fields in groupby(entity.fields, key=lambda field: field.group)],
        texts=texts,
        rows=rows,
        has_new_row="add_row" in request.form,
        errors=errors or {},
        owners=_owners(organisation_id, texts.get("owner_id", "")),
        known_names=list_attribute_names(organisation_id, entity),
        **more,
    )


def _owners(organisation_id: UUID, chosen: str) -> list[tuple[str, str]]:
    """Who may be chosen: the members, and whoever it is now."""
    members = [(member.email, f"{member.name} ({member.email})") for member in list_members(organisation_id)]
    is_known = not chosen or chosen in {email for email, _ in members}
    return [("", "Nobody"), *members, *([] if is_known else [(chosen, "Somebody who left")])]
