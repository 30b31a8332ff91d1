"""What a contact did on the websites, as their page shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select

from webapp.contacts.former import keys_of
from webapp.contacts.models import Contact
from webapp.extensions import db
from webapp.lib.keys import fold_key
from webapp.records.entities import find_entity
from webapp.visits.backlog import Kind
from webapp.visits.people.identities import visitors_of
from webapp.visits.people.reading import Person
from webapp.visits.people.timeline import PersonVisit
from webapp.visits.queries import list_sites
from webapp.visits.site_page.fields import shown_value

KINDS = {Kind.PAGEVIEW: "page", Kind.EVENT: "event", Kind.PRODUCT: "product"}
WEBSITE = re.compile(r"^[^:/?#]*://[^/?#]*")
SHOWN_AT_ONCE = 6
"""Lines of a visit; the others unfold."""


def person_of(contact: Contact) -> Person:
    """The contact with all of their visitors."""
    return Person(contact.organisation_id, tuple(visitors_of(contact.organisation_id, keys_of(contact))))


def site_names(organisation_id: UUID) -> dict[UUID, str]:
    """What the organisation's sites are called."""
    return {site.id: site.name for site in list_sites(organisation_id)}


def products_of(organisation_id: UUID, visits: Iterable[PersonVisit]) -> dict[str, Any]:
    """The products that were looked at, as far as the organisation has them, by their SKU as it was told."""
    entity = find_entity("products")
    skus = {doing.name for visit in visits for doing in visit.doings if doing.kind is Kind.PRODUCT}
    if entity is None or not skus:
        return {}
    model = entity.model
    keys = {sku: fold_key(sku.strip()) for sku in skus}
    wanted = select(model).where(model.organisation_id == organisation_id, model.sku_key.in_(set(keys.values())))
    known = {product.sku_key: product for product in db.session.scalars(wanted)}
    return {sku: known[key] for sku, key in keys.items() if key in known}


def source_of(visit: PersonVisit) -> str:
    """Where a visit came from, in a few words."""
    told: Mapping[str, str] = visit.attributes
    campaign = told["utm_campaign"] or told["utm_source"]
    if campaign:
        return f"campaign {campaign}"
    if told["referrer"]:
        return told["referrer"]
    channel = told["channel"]
    return "" if channel.lower() in {"", "direct"} else shown_value("channel", channel)


def technology_of(visit: PersonVisit) -> str:
    """The browser and the system, as far as they are known."""
    return " on ".join(part for part in (visit.attributes["browser"], visit.attributes["system"]) if part)


def path_of(page: str) -> str:
    """A page's address without its website, of which strangers may have written anything."""
    path = WEBSITE.sub("", page)
    return path if path.startswith("/") else f"/{path}"
