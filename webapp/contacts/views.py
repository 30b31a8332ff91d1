"""The contacts pages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, flash, redirect, request, url_for
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.contacts import service, undo
from webapp.contacts.fields import FIELD_NAMES, FIELDS, KEY_FIELD
from webapp.contacts.models import Contact
from webapp.contacts.queries import (
    SORTS,
    ContactCount,
    count_contacts,
    get_contact,
    get_contact_for_update,
    list_contacts,
)
from webapp.contacts.service import InvalidContactError
from webapp.extensions import db
from webapp.lib.pagination import BadCursorError
from webapp.pages import flash_with_undo, render_page

blueprint = Blueprint("contacts", __name__, url_prefix="/contacts")

DEFAULT_SORT = "created"
WORDS = {"asc": "ascending", "desc": "descending"}
Values = dict[str, str]


@blueprint.get("")
def index() -> Response:
    """Search, sort and page; all three stand in the address."""
    organisation_id = current_organisation().id
    q, sort, direction = _search()
    cursor = request.args.get("cursor")
    try:
        page = list_contacts(organisation_id, q=q, sort=sort, direction=direction, cursor=cursor)
    except BadCursorError as error:
        abort(400, str(error))
    return render_page(
        "contacts/index.html",
        block="contacts",
        contacts=page.contacts,
        is_empty=not (page.contacts or q or cursor),
        count_text=count_text(count_contacts(organisation_id, q=q), q),
        q=q,
        sort=request.args.get("sort", ""),
        direction=request.args.get("direction", ""),
        sorts=_sorts(q, sort, direction),
        first_url=_list_url(q, sort, direction) if cursor else None,
        next_url=_list_url(q, sort, direction, page.next_cursor) if page.next_cursor else None,
        upload_limit_bytes=current_app.extensions["settings"].upload_limit_bytes,
    )


@blueprint.get("/new")
def new() -> Response:
    """An empty form."""
    return _new_form(dict.fromkeys(FIELD_NAMES, ""), {})


@blueprint.post("/new")
def create() -> BaseResponse:
    """Keep a new contact, or show the form with what is wrong."""
    values = _posted_values()
    try:
        contact = service.create_contact(current_organisation().id, values)
        db.session.commit()
    except (InvalidContactError, IntegrityError) as error:
        db.session.rollback()
        return _new_form(values, _errors(error), 422)
    flash(f"{contact.full_name} is saved.", "success")
    return redirect(url_for(".show", contact_id=contact.id), 303)


@blueprint.get("/<uuid:contact_id>")
def show(contact_id: UUID) -> Response:
    """One contact with all its fields."""
    contact = _contact_or_404(contact_id)
    return render_page("contacts/show.html", block="contact", contact=contact, fields=FIELDS)


@blueprint.get("/<uuid:contact_id>/edit")
def edit(contact_id: UUID) -> Response:
    """The form with what is known."""
    contact = _contact_or_404(contact_id)
    return _edit_form(contact, {name: getattr(contact, name) or "" for name in FIELD_NAMES}, {})


@blueprint.post("/<uuid:contact_id>/edit")
def update(contact_id: UUID) -> BaseResponse:
    """Keep the changes, or show the form with what is wrong."""
    values = _posted_values()
    contact = get_contact_for_update(current_organisation().id, contact_id) or abort(404)
    try:
        service.update_contact(contact, values)
        db.session.commit()
    except (InvalidContactError, IntegrityError) as error:
        db.session.rollback()
        return _edit_form(_contact_or_404(contact_id), values, _errors(error), 422)
    flash(f"{contact.full_name} is saved.", "success")
    return redirect(url_for(".show", contact_id=contact_id), 303)


@blueprint.post("/<uuid:contact_id>/delete")
def destroy(contact_id: UUID) -> BaseResponse:
    """Remove a contact, and let the person undo it for some minutes."""
    contact = get_contact_for_update(current_organisation().id, contact_id) or abort(404)
    name, wrapped = contact.full_name, undo.wrap(_secret(), contact)
    service.delete_contact(contact)
    db.session.commit()
    flash_with_undo(f"{name} is deleted.", url_for(".restore"), wrapped)
    return redirect(url_for(".index"), 303)


@blueprint.post("/restore")
def restore() -> BaseResponse:
    """Take a deletion back."""
    try:
        deleted = undo.unwrap(_secret(), current_organisation().id, request.form.get("undo", ""))
        contact = service.restore_contact(deleted)
        db.session.commit()
    except undo.TooLateError:
        flash("It is too late to undo this. Enter the contact again, or import it.", "warning")
        return redirect(url_for(".index"), 303)
    except (InvalidContactError, IntegrityError) as error:
        db.session.rollback()
        flash(f"The contact is not restored. {' '.join(_errors(error).values())}", "warning")
        return redirect(url_for(".index"), 303)
    flash(f"{contact.full_name} is restored.", "success")
    return redirect(url_for(".show", contact_id=contact.id), 303)


def count_text(count: ContactCount, q: str) -> str:
    """How many there are, in words: "1 contact", "1,234 contacts found", "Over 100,000 contacts"."""
    noun = "contact" if count.number == 1 else "contacts"
    return f"{'' if count.is_exact else 'Over '}{count.number:,} {noun}{' found' if q else ''}"


def _search() -> tuple[str, str, str]:
    """(text, sort, direction) of the address; what is unknown there counts as not given."""
    sort = request.args.get("sort", DEFAULT_SORT)
    direction = request.args.get("direction", "")
    return (
        request.args.get("q", "").strip()[:200],
        sort if sort in SORTS else DEFAULT_SORT,
        direction if direction in WORDS else _natural(sort),
    )


def _natural(sort: str) -> str:
    """Texts begin at A; times begin with the newest."""
    return "asc" if sort in SORTS and sort != DEFAULT_SORT else "desc"


def _sorts(q: str, sort: str, direction: str) -> dict[str, dict[str, str | None]]:
    """For every heading: where its link leads, and how the list is sorted by it now."""
    opposite = "asc" if direction == "desc" else "desc"
    return {
        name: {
            "url": _list_url(q, name, opposite if name == sort else _natural(name)),
            "direction": WORDS[direction] if name == sort else None,
        }
        for name in SORTS
    }


def _list_url(q: str, sort: str, direction: str, cursor: str | None = None) -> str:
    """The list's address, without what goes without saying."""
    return url_for(
        ".index",
        q=q or None,
        sort=None if sort == DEFAULT_SORT else sort,
        direction=None if direction == _natural(sort) else direction,
        cursor=cursor,
    )


def _secret() -> str:
    return str(current_app.extensions["settings"].secret_key)


def _contact_or_404(contact_id: UUID) -> Contact:
    return get_contact(current_organisation().id, contact_id) or abort(404)


def _posted_values() -> Values:
    return {name: request.form.get(name, "") for name in FIELD_NAMES}


def _errors(error: Exception) -> dict[str, str]:
    """By field. The database refuses an address that somebody else took in this very moment."""
    if isinstance(error, InvalidContactError):
        return error.errors
    return {KEY_FIELD.name: "Another contact was just given this address. Search for it and change that one."}


def _new_form(values: Values, errors: dict[str, str], status: int = 200) -> Response:
    return _form("new", values, errors, status, action_url=url_for(".create"), back_url=url_for(".index"))


def _edit_form(contact: Contact, values: Values, errors: dict[str, str], status: int = 200) -> Response:
    action_url = url_for(".update", contact_id=contact.id)
    back_url = url_for(".show", contact_id=contact.id)
    return _form("edit", values, errors, status, contact=contact, action_url=action_url, back_url=back_url)


def _form(page: str, values: Values, errors: dict[str, str], status: int, **context: Any) -> Response:
    context |= {"fields": FIELDS, "values": values, "errors": errors}
    return render_page(f"contacts/{page}.html", block="form", status=status, **context)
