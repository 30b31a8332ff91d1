"""The pages of a kind of record: its list, one record, and the forms. Each entity has a blueprint of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.pages import flash_with_undo, render_page
from webapp.records import list_views, service, trash_views
from webapp.records.context import context_of
from webapp.records.entities import Entity
from webapp.records.queries import get_record, get_record_for_update, list_attribute_names
from webapp.records.service import InvalidRecordError


@dataclass(frozen=True)
class Pages:
    """What the pages of an entity add to those that all have: `show` gives more for one record's page."""

    entity: Entity
    show: Callable[[Any], dict[str, Any]] = lambda record: {}


def make_blueprint(pages: Pages) -> Blueprint:
    """The pages under the entity's name: `contacts.index`, `contacts.show` and so on."""
    blueprint = Blueprint(pages.entity.name, f"{__name__}.{pages.entity.name}", url_prefix=f"/{pages.entity.name}")
    routes: tuple[tuple[str, str, Callable[..., Any], str], ...] = (
        ("", "index", list_views.index, "GET"),
        ("/count", "count", list_views.count, "GET"),
        ("/columns", "save_columns", list_views.save_columns, "POST"),
        ("/filters", "save_filter", list_views.save_filter, "POST"),
        ("/filters/<uuid:filter_id>/delete", "delete_filter", list_views.delete_filter, "POST"),
        ("/new", "new", new, "GET"),
        ("/new", "create", create, "POST"),
        ("/<uuid:record_id>", "show", show, "GET"),
        ("/<uuid:record_id>/edit", "edit", edit, "GET"),
        ("/<uuid:record_id>/edit", "update", update, "POST"),
        ("/<uuid:record_id>/delete", "destroy", destroy, "POST"),
        ("/restore", "restore", restore, "POST"),
        ("/deleted", "trash", trash_views.trash, "GET"),
    )
    for rule, endpoint, view, method in routes:
        named = update_wrapper(partial(view, pages), view)  # the check of forms asks for a view's name
        blueprint.add_url_rule(rule, endpoint, named, methods=[method])
    return blueprint


def new(pages: Pages) -> Response:
    """An empty form."""
    return _new_form(pages, dict.fromkeys(pages.entity.field_names, ""), {})


def create(pages: Pages) -> BaseResponse:
    """Keep a new record, or show the form with what is wrong."""
    entity, values = pages.entity, _posted_values(pages.entity)
    try:
        record = service.create_record(entity, current_organisation().id, values, _posted_attributes())
        db.session.commit()
    except InvalidRecordError as error:
        db.session.rollback()
        return _new_form(pages, values, error.errors, 422)
    flash(f"{entity.label_of(record)} is saved.", "success")
    return _to_record(entity, record.id)


def show(pages: Pages, record_id: UUID) -> Response:
    """One record with all its fields."""
    record = _record_or_404(pages.entity, record_id)
    context = context_of(record.organisation_id)
    shown = [(field, field.shown(getattr(record, field.name), context)) for field in pages.entity.fields]
    more = pages.show(record)
    return render_page(
        f"{pages.entity.name}/show.html", block="record", entity=pages.entity, record=record, shown=shown, **more
    )


def edit(pages: Pages, record_id: UUID) -> Response:
    """The form with what is known."""
    record = _record_or_404(pages.entity, record_id)
    context = context_of(record.organisation_id)
    values = {field.name: field.shown(getattr(record, field.name), context) for field in pages.entity.fields}
    return _edit_form(pages, record, values, {})


def update(pages: Pages, record_id: UUID) -> BaseResponse:
    """Keep the changes, or show the form with what is wrong."""
    entity, values = pages.entity, _posted_values(pages.entity)
    record = get_record_for_update(entity, current_organisation().id, record_id) or abort(404)
    try:
        service.update_record(entity, record, values, _posted_attributes())
        db.session.commit()
    except InvalidRecordError as error:
        db.session.rollback()
        return _edit_form(pages, _record_or_404(entity, record_id), values, error.errors, 422)
    flash(f"{entity.label_of(record)} is saved.", "success")
    return _to_record(entity, record_id)


def destroy(pages: Pages, record_id: UUID) -> BaseResponse:
    """Move a record into the trash, and let the person undo it."""
    entity = pages.entity
    record = get_record_for_update(entity, current_organisation().id, record_id) or abort(404)
    label = entity.label_of(record)
    service.delete_record(entity, record, current_user.id)
    db.session.commit()
    flash_with_undo(f"{label} is deleted.", url_for(f"{entity.name}.restore"), str(record_id))
    return redirect(url_for(f"{entity.name}.index"), 303)


def restore(pages: Pages) -> BaseResponse:
    """Take a deletion back."""
    entity = pages.entity
    try:
        record = service.restore_record(entity, current_organisation().id, _posted_id())
        db.session.commit()
    except LookupError:
        flash(f"It is too late to undo this: the {entity.singular} is gone for good.", "warning")
        return redirect(url_for(f"{entity.name}.index"), 303)
    except InvalidRecordError as error:
        db.session.rollback()
        flash(f"The {entity.singular} is not restored. {error}", "warning")
        return redirect(url_for(f"{entity.name}.index"), 303)
    flash(f"{entity.label_of(record)} is restored.", "success")
    return _to_record(entity, record.id)


def _posted_id() -> UUID:
    try:
        return UUID(request.form.get("undo", ""))
    except ValueError:
        abort(400, "This button is damaged. Load the page again.")


def _record_or_404(entity: Entity, record_id: UUID) -> Any:
    return get_record(entity, current_organisation().id, record_id) or abort(404)


def _posted_values(entity: Entity) -> dict[str, str]:
    return {name: request.form.get(name, "") for name in entity.field_names}


def _posted_attributes() -> dict[str, str]:
    """Own attributes come as pairs of `attribute-name` and `attribute-value`; one without a name is not there."""
    names, values = request.form.getlist("attribute-name"), request.form.getlist("attribute-value")
    pairs = zip(names, values, strict=False)
    return {" ".join(name.split()): value for name, value in pairs if name.strip()}


def _to_record(entity: Entity, record_id: UUID) -> BaseResponse:
    return redirect(url_for(f"{entity.name}.show", record_id=record_id), 303)


def _new_form(pages: Pages, values: dict[str, str], errors: dict[str, str], status: int = 200) -> Response:
    name = pages.entity.name
    urls = {"action_url": url_for(f"{name}.create"), "back_url": url_for(f"{name}.index")}
    return _form(pages, "new", values, errors, status, **urls)


def _edit_form(
    pages: Pages, record: Any, values: dict[str, str], errors: dict[str, str], status: int = 200
) -> Response:
    name = pages.entity.name
    action_url = url_for(f"{name}.update", record_id=record.id)
    back_url = url_for(f"{name}.show", record_id=record.id)
    return _form(pages, "edit", values, errors, status, record=record, action_url=action_url, back_url=back_url)


def _form(
    pages: Pages, page: str, values: dict[str, str], errors: dict[str, str], status: int, **context: Any
) -> Response:
    context |= {"entity": pages.entity, "values": values, "errors": errors}
    organisation_id, record = current_organisation().id, context.get("record")
    emails = context_of(organisation_id).member_emails.values()
    context["members"] = [("", "nobody"), *((email, email) for email in emails)]
    context["own_names"] = list_attribute_names(organisation_id, pages.entity)
    context["own"] = {**(record.attributes if record else {}), **_posted_attributes()}
    return render_page(f"records/{page}.html", block="form", status=status, **context)
