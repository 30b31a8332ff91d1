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
from webapp.accounts.queries import list_members
from webapp.extensions import db
from webapp.pages import flash_with_undo, render_page
from webapp.records import form_views, list_views, service, trash_views
from webapp.records.context import context_of
from webapp.records.entities import Entity
from webapp.records.imports import find_import
from webapp.records.queries import get_record, get_record_for_update
from webapp.records.service import InvalidRecordError


@dataclass(frozen=True)
class Pages:
    """What the pages of an entity add to those that all have: `show` gives more for one record's page, whose `block`
    is what changes while somebody looks at it."""

    entity: Entity
    show: Callable[[Any], dict[str, Any]] = lambda record: {}
    block: str = "record"


def make_blueprint(pages: Pages) -> Blueprint:
    """The pages under the entity's name: `contacts.index`, `contacts.show` and so on."""
    blueprint = Blueprint(pages.entity.name, f"{__name__}.{pages.entity.name}", url_prefix=f"/{pages.entity.name}")
    routes: tuple[tuple[str, str, Callable[..., Any], str], ...] = (
        ("", "index", list_views.index, "GET"),
        ("/count", "count", list_views.count, "GET"),
        ("/columns", "save_columns", list_views.save_columns, "POST"),
        ("/filters", "save_filter", list_views.save_filter, "POST"),
        ("/filters/<uuid:filter_id>/delete", "delete_filter", list_views.delete_filter, "POST"),
        ("/new", "new", form_views.new, "GET"),
        ("/new", "create", form_views.create, "POST"),
        ("/tags", "tags", form_views.tags, "GET"),
        ("/<uuid:record_id>", "show", show, "GET"),
        ("/<uuid:record_id>/edit", "edit", form_views.edit, "GET"),
        ("/<uuid:record_id>/edit", "update", form_views.update, "POST"),
        ("/<uuid:record_id>/delete", "destroy", destroy, "POST"),
        ("/restore", "restore", restore, "POST"),
        ("/deleted", "trash", trash_views.trash, "GET"),
    )
    for rule, endpoint, view, method in routes:
        named = update_wrapper(partial(view, pages), view)  # the check of forms asks for a view's name
        blueprint.add_url_rule(rule, endpoint, named, methods=[method])
    return blueprint


def show(pages: Pages, record_id: UUID) -> Response:
    """One record with all its fields."""
    entity, record = pages.entity, _record_or_404(pages.entity, record_id)
    context = context_of(record.organisation_id)
    return render_page(
        f"{entity.name}/show.html",
        block=pages.block,
        entity=entity,
        record=record,
        shown={field.name: field.shown(getattr(record, field.name), context) for field in entity.fields},
        people={member.user_id: member.name for member in list_members(record.organisation_id)},
        came_with=find_import(record.organisation_id, record.bulk_action_id),
        **pages.show(record),
    )


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


def _to_record(entity: Entity, record_id: UUID) -> BaseResponse:
    return redirect(url_for(f"{entity.name}.show", record_id=record_id), 303)
