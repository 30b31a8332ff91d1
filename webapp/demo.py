"""The demo organisation: a coffee roaster with contacts, products and nine weeks of visits to its website."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select

from webapp.accounts.models import Organisation, Role
from webapp.accounts.service import create_organisation, invite
from webapp.config import Settings
from webapp.contacts.models import CONTACTS, Contact
from webapp.demo_catalogue import CATALOGUE, CURRENCY
from webapp.demo_issuer import DEMO_PEOPLE
from webapp.demo_site import SECRET_FILE, SITE_KEY_FILE
from webapp.extensions import db, driver_connection, tenant
from webapp.generate import contacts as generated_contacts
from webapp.generate.visits import visit_of
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.products.models import PRODUCTS, Product
from webapp.records.service import create_record
from webapp.visits.backlog import Kind, Row
from webapp.visits.counting.roll_up import count_rows
from webapp.visits.counting.statements import wait_for_lock
from webapp.visits.models import Site
from webapp.visits.queries import find_site_by_name, has_pageviews
from webapp.visits.service import create_site

SLUG, NAME, ZONE = "demo", "Harbour Coffee", "Europe/London"
SITE_NAME = "Harbour Coffee"
CONTACT_COUNT = 400
DAYS = 63
VISITORS_A_DAY = 150
SIGNED_IN_COUNT = 60
"""So many contacts have an account at the shop; these come most often."""
SIGN_IN_SHARE = 0.3
DAY_WEIGHTS = (1.0, 1.05, 1.02, 0.98, 1.1, 0.8, 0.7)  # Monday to Sunday
Say = Callable[[str], None]
Told = tuple[datetime, dict[str, Any]]


def seed(say: Say) -> None:
    """Make whatever of the demo is not there yet; calling it again changes nothing."""
    settings: Settings = current_app.extensions["settings"]
    organisation = get_organisation()
    with tenant(organisation.id):
        _seed_contacts(organisation.id, say)
        _seed_products(organisation.id)
        site = _get_site(organisation.id, settings)
        if not has_pageviews(organisation.id, [site.id]):
            say(f"Making {DAYS} days of visits to the demo website …")
            _seed_visits(organisation.id, site, settings.demo_url)
            db.session.commit()
        _write(settings, SITE_KEY_FILE, site.site_key)
        _write(settings, SECRET_FILE, site.identify_secret)


def get_organisation() -> Organisation:
    """The demo's organisation; who signs in as its owner joins at once, or is asked if they are known already."""
    organisation = db.session.scalar(select(Organisation).where(Organisation.slug == SLUG))
    if organisation is None:
        organisation = create_organisation(NAME, slug=SLUG, time_zone=ZONE)
        invite(organisation.id, DEMO_PEOPLE[0].email, Role.OWNER)
        db.session.commit()
    return organisation


def _seed_contacts(organisation_id: UUID, say: Say) -> None:
    if db.session.scalar(select(func.count()).select_from(Contact)):
        return
    say(f"Making {CONTACT_COUNT} contacts …")
    text = io.StringIO()
    generated_contacts.write(text, CONTACT_COUNT, seed=7)
    text.seek(0)
    for row in csv.DictReader(text):
        create_record(
            CONTACTS, organisation_id, {name.lower().replace("-", "").replace(" ", "_"): row[name] for name in row}
        )
    db.session.commit()


def _seed_products(organisation_id: UUID) -> None:
    if db.session.scalar(select(func.count()).select_from(Product)):
        return
    for article in CATALOGUE:
        values = {**article._asdict(), "tags": list(article.tags), "currency": CURRENCY, "is_active": True}
        create_record(PRODUCTS, organisation_id, values)
    db.session.commit()


def _get_site(organisation_id: UUID, settings: Settings) -> Site:
    """The demo website's site; it moves along when the website is served on another port."""
    site = find_site_by_name(organisation_id, SITE_NAME)
    if site is None:
        site = create_site(organisation_id, SITE_NAME, settings.demo_url, ZONE)
    if settings.demo_url not in site.origins:
        site.origins = [settings.demo_url]
    db.session.commit()
    return site


def _seed_visits(organisation_id: UUID, site: Site, website: str) -> None:
    """Straight into the roll-up: the stream would take them for beacons that come too late."""
    connection = driver_connection()
    wait_for_lock(connection)
    query = select(Contact.email).where(Contact.organisation_id == organisation_id).order_by(Contact.email_key)
    emails = list(db.session.scalars(query.limit(SIGNED_IN_COUNT)))
    people = {f"demo-{number:05d}": email for number, email in enumerate(emails)}
    count_rows(connection, _rows(organisation_id.bytes, site.id.bytes, website, people))


def _rows(organisation_id: bytes, site_id: bytes, website: str, people: Mapping[str, str]) -> Iterator[Row]:
    """Rows of the stream; `people` are the identities of visitors who have an account."""
    choices = random.Random(42)  # noqa: S311  (demo data)
    now = utc_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for days_ago in range(DAYS, -1, -1):
        day = midnight - timedelta(days=days_ago)
        growth = 0.7 + 0.5 * (DAYS - days_ago) / DAYS
        for _ in range(round(VISITORS_A_DAY * growth * DAY_WEIGHTS[day.weekday()] * choices.uniform(0.85, 1.15))):
            for visited_at, told in _signing_in(visit_of(choices, day, website), choices, people):
                if visited_at < now:
                    at = int(visited_at.timestamp() * 1000)
                    yield Row(organisation_id, site_id, uuid7(visited_at).bytes, at, at, **told)


def _signing_in(visit: Iterable[Told], choices: random.Random, people: Mapping[str, str]) -> Iterator[Told]:
    """The same visit, at whose first page some of those who have an account sign in."""
    for index, (visited_at, told) in enumerate(visit):
        yield visited_at, told
        email = people.get(told["visitor"])
        if not index and email and choices.random() < SIGN_IN_SHARE:
            yield visited_at, {**told, "kind": Kind.IDENTIFY, "name": email}


def _write(settings: Settings, name: str, value: str) -> None:
    """Where the demo website finds the key that it embeds, and the secret with which it signs."""
    path = settings.data_dir / name
    if not path.exists() or path.read_text().strip() != value:
        path.touch(mode=0o600)
        path.write_text(f"{value}\n")
