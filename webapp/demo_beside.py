"""What people keep beside the demo website's visits, made by the services that they use, and the import of a file."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from uuid import UUID

from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.importing import start_import
from webapp.config import Settings
from webapp.lib.storage import storage_at
from webapp.visits.models import Site
from webapp.visits.questions import PAGE
from webapp.visits.site_page import service

NEWCOMERS = {
    "alice.penrose@quayside.example": ("Alice", "Penrose", "Quayside Books"),
    "bob.tregenza@quayside.example": ("Bob", "Tregenza", "Quayside Books"),
    "charlie.nance@lantern.example": ("Charlie", "Nance", "The Lantern"),
}
"""They were on the website before a file brings them as contacts."""
STRANGER = "harbour.master@port.example"
"""Signs in at the shop, and is nobody's contact."""
FILE_NAME = "new-customers.csv"
GOALS = (
    ("Something in the basket", "event", "add to basket"),
    ("Saw the prices", PAGE, "/pricing"),
    ("Asked for letters", "event", "newsletter"),
)
LETTER = "utm_campaign:is:autumn-roast"
SEGMENT = ("Came by the autumn letter", [LETTER])
FUNNEL = ("From the door to the basket", ["page:is:/", "page:is:/breakwater", "event:is:add to basket"])
NOTES = ((20, "The autumn letter went out"), (6, "One browser for all at the till"))


def keep_beside(site: Site, today: date) -> None:
    """Goals, a segment, a funnel, notes, and a link that shows no more than the segment."""
    for name, kind, value in GOALS:
        service.create_goal(site, name, kind, value)
    service.save_segment(site, *SEGMENT)
    service.save_funnel(site, *FUNNEL)
    for days_ago, text in NOTES:
        service.add_note(site, (today - timedelta(days=days_ago)).isoformat(), text)
    service.share(site, "The agency that writes our letters", [LETTER], shows_goals=True)


def import_newcomers(organisation_id: UUID, settings: Settings) -> None:
    """Drop a small file of contacts, for the caller to commit and send."""
    storage = storage_at(settings.uploads_url)
    draft = start_upload(
        organisation_id, None, FILE_NAME, [_file()], storage=storage, limit_bytes=settings.upload_limit_bytes
    )
    start_import(draft)


def _file() -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["Email", "First name", "Last name", "Company"])
    writer.writerows([email, *names] for email, names in NEWCOMERS.items())
    return file.getvalue().encode()
