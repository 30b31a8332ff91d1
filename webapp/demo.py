"""The demo organisation: a coffee roaster with contacts, products and fourteen months of visits to its website."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select

from webapp.accounts.models import Organisation, Role
from webapp.accounts.service import create_organisation, invite
from webapp.bulk_actions.tasks import send_work
from webapp.config import Settings
from webapp.contacts.models import CONTACTS, Contact
from webapp.demo_beside import NEWCOMERS, STRANGER, import_newcomers, keep_beside
from webapp.demo_catalogue import CATALOGUE, CURRENCY
from webapp.demo_issuer import DEMO_PEOPLE
from webapp.demo_site import SECRET_FILE, SITE_KEY_FILE
from webapp.demo_visits import make_people, second_rows, shop_rows
from webapp.extensions import db, driver_connection, tenant
from webapp.generate import contacts as generated_contacts
from webapp.lib.clock import utc_now
from webapp.products.models import PRODUCTS, Product
from webapp.records.service import create_record
from webapp.visits.counting.roll_up import count_rows
from webapp.visits.counting.statements import wait_for_lock
from webapp.visits.models import Site
from webapp.visits.queries import find_site_by_name, has_pageviews
from webapp.visits.service import create_site

SLUG, NAME, ZONE = "demo", "Harbour Coffee", "Europe/London"
SITE_NAME = "Harbour Coffee"
SECOND_NAME, SECOND_URL = "Roastery tours", "https://tours.harbour-coffee.example"
CONTACT_COUNT = 400
SIGNED_IN_COUNT = 60
"""So many contacts have an account at the shop; these come most often."""
Say = Callable[[str], None]


def seed(say: Say) -> None:
    """Make whatever of the demo is not there yet; calling it again changes nothing."""
    settings: Settings = current_app.extensions["settings"]
    organisation = get_organisation()
    with tenant(organisation.id):
        _seed_contacts(organisation.id, say)
        _seed_products(organisation.id)
        site = _get_site(organisation.id, settings)
        if not has_pageviews(organisation.id, [site.id]):
            say("Making 14 months of visits to the demo website …")
            _seed_visits(site, settings.demo_url)
            db.session.commit()
            import_newcomers(organisation.id, settings)
            db.session.commit()
            send_work()
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


def _seed_visits(site: Site, website: str) -> None:
    """Straight into the roll-up: the stream would take them for beacons that come too late."""
    connection, now = driver_connection(), utc_now()
    wait_for_lock(connection)
    query = select(Contact.email).where(Contact.organisation_id == site.organisation_id).order_by(Contact.email_key)
    people = make_people(db.session.scalars(query.limit(SIGNED_IN_COUNT)), [*NEWCOMERS, STRANGER])
    count_rows(connection, shop_rows(site, website, people, now))
    keep_beside(site, now.date())
    second = create_site(site.organisation_id, SECOND_NAME, SECOND_URL, ZONE)
    count_rows(connection, second_rows(second, SECOND_URL, now))


def _write(settings: Settings, name: str, value: str) -> None:
    """Where the demo website finds the key that it embeds, and the secret with which it signs."""
    path = settings.data_dir / name
    if not path.exists() or path.read_text().strip() != value:
        path.touch(mode=0o600)
        path.write_text(f"{value}\n")
