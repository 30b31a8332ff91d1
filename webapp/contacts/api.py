"""`/api/v1/contacts`: list, read, create, change and delete contacts with an API key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast
from uuid import UUID

from apiflask import APIBlueprint, Schema
from apiflask.fields import Boolean, Integer, List, Nested, String
from apiflask.validators import OneOf, Range
from flask import url_for
from flask.typing import ResponseReturnValue
from marshmallow import RAISE

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.contacts import queries, service
from webapp.contacts.fields import FIELD_NAMES, FIELDS, Field
from webapp.contacts.models import Contact
from webapp.extensions import db
from webapp.lib.pagination import BadCursorError
from webapp.problems import Problem
from webapp.schemas import Text, UtcTime

MAX_LIMIT = 500
SORTS = tuple(sign + name for name in queries.SORTS for sign in ("", "-"))

EXAMPLE = {"email": "bob@example.com", "first_name": "Bob", "last_name": "Baker", "company": "Baker & Sons"}

bp = APIBlueprint("api_contacts", __name__, url_prefix="/api/v1/contacts", tag="Contacts")


def _text(field: Field, *, is_required: bool) -> Text:
    metadata = {"title": field.label, "maxLength": field.max_length, "format": field.type}
    return Text(required=is_required, allow_none=not field.is_required, metadata=metadata)


def _texts(*, is_required: bool) -> dict[str, Text]:
    return {field.name: _text(field, is_required=is_required and field.is_required) for field in FIELDS}


def _schema(name: str, fields: Mapping[str, Any]) -> type[Schema]:
    """A schema as `Schema.from_dict` makes it; what comes out is APIFlask's, whatever its annotation says."""
    return cast("type[Schema]", Schema.from_dict(dict(fields), name=name))


ContactValues = _schema("ContactValues", _texts(is_required=True))
ContactChanges = _schema("ContactChanges", _texts(is_required=False))
ContactShown = _schema(
    "Contact",
    {
        "id": String(metadata={"format": "uuid"}),
        **_texts(is_required=False),
        "created_at": UtcTime(),
        "updated_at": UtcTime(),
    },
)


class ContactListQuery(Schema):
    """Which contacts, and in what order."""

    q = Text(load_default="", metadata={"description": "Beginning of the e-mail address, a name or the company."})
    sort = Text(
        load_default="-created",
        validate=OneOf(SORTS),
        metadata={"description": "What to sort by; a hyphen before it turns the order round."},
    )
    limit = Integer(load_default=queries.PAGE_SIZE, validate=Range(1, MAX_LIMIT))
    cursor = Text(load_default=None, metadata={"description": "`next_cursor` of the page before."})


class ContactList(Schema):
    """A page of contacts."""

    data = List(Nested(ContactShown))
    next_cursor = Text(allow_none=True, metadata={"description": "Ask with it for what follows; null at the end."})
    total = Integer(metadata={"description": f"How many match; counted up to {queries.COUNT_LIMIT:,}."})
    total_is_exact = Boolean(metadata={"description": "False when there are more than `total` says."})


@bp.get("")
@bp.auth_required(api_auth)
@bp.input(ContactListQuery, location="query", unknown=RAISE)
@bp.output(ContactList)
def index(query_data: dict[str, Any]) -> ResponseReturnValue:
    """List contacts

    The newest first, unless `sort` says otherwise. Pages follow each other by `next_cursor`.
    """
    organisation_id = current_organisation().id
    sort = query_data["sort"]
    try:
        page = queries.list_contacts(
            organisation_id,
            q=query_data["q"],
            sort=sort.removeprefix("-"),
            direction="desc" if sort.startswith("-") else "asc",
            cursor=query_data["cursor"],
            limit=query_data["limit"],
        )
    except BadCursorError as error:
        raise _refused({"cursor": str(error)}, place="query") from error
    total = queries.count_contacts(organisation_id, q=query_data["q"])
    return {
        "data": [_shown(contact) for contact in page.contacts],
        "next_cursor": page.next_cursor,
        "total": total.number,
        "total_is_exact": total.is_exact,
    }


@bp.post("")
@bp.auth_required(api_auth)
@bp.input(ContactValues, example=EXAMPLE)
@bp.output(ContactShown, status_code=201)
@bp.doc(responses={409: "Another contact has this e-mail address"})
def create(json_data: dict[str, str | None]) -> ResponseReturnValue:
    """Create a contact

    E-mail addresses are compared without case, and no two contacts share one.
    """
    contact = _saved(lambda: service.create_contact(current_organisation().id, json_data))
    return _shown(contact), 201, {"Location": _url(contact)}


@bp.get("/<uuid:contact_id>")
@bp.auth_required(api_auth)
@bp.output(ContactShown)
def show(contact_id: UUID) -> ResponseReturnValue:
    """Read a contact"""
    contact = queries.get_contact(current_organisation().id, contact_id)
    if contact is None:
        raise _not_found()
    return _shown(contact)


@bp.patch("/<uuid:contact_id>")
@bp.auth_required(api_auth)
@bp.input(ContactChanges, example={"job_title": "Head baker", "phone": None})
@bp.output(ContactShown)
@bp.doc(responses={409: "Another contact has this e-mail address"})
def update(contact_id: UUID, json_data: dict[str, str | None]) -> ResponseReturnValue:
    """Change a contact

    Fields that are not named stay as they are; null empties a field.
    """
    contact = _locked(contact_id)
    return _shown(_saved(lambda: service.update_contact(contact, json_data)))


@bp.delete("/<uuid:contact_id>")
@bp.auth_required(api_auth)
@bp.output({}, status_code=204)
def destroy(contact_id: UUID) -> ResponseReturnValue:
    """Delete a contact"""
    service.delete_contact(_locked(contact_id))
    db.session.commit()
    return ""


def _shown(contact: Contact) -> dict[str, object]:
    return {name: getattr(contact, name) for name in ("id", *FIELD_NAMES, "created_at", "updated_at")}


def _saved(write: Callable[[], Contact]) -> Contact:
    """The written and committed contact; what cannot be kept ends as a problem."""
    try:
        contact = write()
    except service.EmailTakenError as error:
        raise _exists(error.contact) from error
    except service.InvalidContactError as error:
        raise _refused(error.errors) from error
    db.session.commit()
    return contact


def _locked(contact_id: UUID) -> Contact:
    contact = queries.get_contact_for_update(current_organisation().id, contact_id)
    if contact is None:
        raise _not_found()
    return contact


def _url(contact: Contact) -> str:
    return url_for("api_contacts.show", contact_id=contact.id)


def _not_found() -> Problem:
    return Problem(404, "Contact not found", "This organisation has no contact with that id.")


def _exists(other: Contact) -> Problem:
    detail = f"Another contact already has the address {other.email}. Change that one, or use another address."
    return Problem(409, "Contact exists", detail, contact_id=other.id, contact_url=_url(other))


def _refused(errors: Mapping[str, str], place: str = "body") -> Problem:
    listed = [{"in": place, "field": field, "message": message} for field, message in errors.items()]
    return Problem(422, "Unprocessable Entity", "Some values cannot be used; `errors` says which.", errors=listed)
