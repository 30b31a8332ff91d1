"""The actor that sends weekly reports. It may die between any two lines, and run twice at the same time.

A mail is claimed by a row that is committed before it is given to the server, so nobody gets one twice. Whoever dies
in between leaves the claim: that mail may have gone out or not, and is not sent again; the person finds the report,
and a word about it, in the app. What the server certainly did not take is given back, and tried again.
"""

from __future__ import annotations

import logging
import time
from datetime import date
from email.message import EmailMessage
from uuid import UUID

from flask import current_app

from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now
from webapp.lib.mail import MailServer, MailServerError, RefusedError, UnknownEndError, give, mail_server
from webapp.visits.site_queries import find_site
from webapp.visits.weekly import service
from webapp.visits.weekly.mails import make_mail
from webapp.visits.weekly.models import MailState
from webapp.visits.weekly.queries import (
    Recipient,
    SubscribedSite,
    first_counted_at,
    list_recipients,
    list_subscribed_sites,
)
from webapp.visits.weekly.report import Report, make_report
from webapp.visits.weekly.weeks import due_at, due_monday

SECONDS = 60.0
"""How long one message may keep its worker; the scheduler sends the next while mails are due."""

logger = logging.getLogger(__name__)


@actor("default")
def send_weekly_reports() -> None:
    """Send what is due, of every organisation."""
    settings: Settings = current_app.extensions["settings"]
    if not settings.smtp_url:
        return
    until = time.monotonic() + SECONDS
    for site, monday in _list_due():
        if time.monotonic() > until:
            return
        with tenant(site.organisation_id), current_app.test_request_context(base_url=settings.public_url):
            _send_all(settings, site, monday)


def _list_due() -> list[tuple[SubscribedSite, date]]:
    now, sites = utc_now(), list_subscribed_sites()
    db.session.rollback()
    return [(site, monday) for site in sites if (monday := due_monday(site.zone, now)) is not None]


def _send_all(settings: Settings, due: SubscribedSite, monday: date) -> None:
    """The report of one site to all who wait for it, over one connection."""
    recipients = list_recipients(due.organisation_id, due.site_id, monday, due_at(monday, due.zone))
    report = _make(due, monday) if recipients else None
    if report is None:
        return
    mails = [(recipient, make_mail(settings, report, recipient)) for recipient in recipients]
    db.session.rollback()
    try:
        with mail_server(settings.smtp_url) as server:
            for recipient, mail in mails:
                _send(server, due, monday, recipient, mail)
    except MailServerError as error:
        logger.warning("The mail server cannot be used, trying again: %s", error)


def _make(due: SubscribedSite, monday: date) -> Report | None:
    """The report, but of a site that is gone or from which nothing was ever heard."""
    site = find_site(due.organisation_id, due.site_id)
    if site is None or first_counted_at(due.organisation_id, due.site_id) is None:
        return None
    return make_report(site, monday, utc_now())


def _send(server: MailServer, due: SubscribedSite, monday: date, recipient: Recipient, mail: EmailMessage) -> None:
    """Claim, commit, send, write down what became of it."""
    key = (due.organisation_id, due.site_id, monday, recipient.user_id)
    is_ours = service.claim(*key)
    db.session.commit()
    if not is_ours:
        return
    try:
        give(server, mail)
        service.end(*key, MailState.SENT)
    except RefusedError as error:
        _note_refusal(key, error)
    except UnknownEndError as error:
        logger.warning("A weekly report may not have been sent: %s", error)
        service.end(*key, MailState.CLAIMED, f"The connection to the mail server broke: {error}")
    db.session.commit()


def _note_refusal(key: tuple[UUID, UUID, date, UUID], error: RefusedError) -> None:
    """For good, or to be tried again."""
    logger.warning("The mail server refused a weekly report: %s", error)
    if error.is_for_good:
        service.end(*key, MailState.REFUSED, str(error))
    else:
        service.release(*key)
