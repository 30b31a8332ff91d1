"""A weekly report as a mail: HTML and plain text, with a way to end it by one click. Sends nothing."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import make_msgid
from urllib.parse import urlsplit
from uuid import UUID

from flask import render_template, url_for

from webapp.config import Settings
from webapp.lib.signing import BadSignatureError, sign, unsign
from webapp.visits.weekly.queries import Recipient
from webapp.visits.weekly.report import Report

PURPOSE = "weekly-unsubscribe"
TOKEN_SECONDS = 2 * 366 * 86_400
"""A mail that lies in an inbox for long still ends what it belongs to."""


def make_mail(settings: Settings, report: Report, recipient: Recipient) -> EmailMessage:
    """The mail to one person; it needs a request (or a pretended one) for its templates."""
    token = make_token(settings, report.site.organisation_id, report.site.id, recipient.user_id)
    stop_url = f"{settings.public_url}{url_for('unsubscribe.show', token=token)}"
    context = {"report": report, "base": settings.public_url, "stop_url": stop_url}
    message = EmailMessage()
    message["Subject"] = _one_line(f"{report.site.name}: {report.period.label}")
    message["From"] = Address("Footfall", addr_spec=settings.mail_from)
    message["To"] = Address(_one_line(recipient.name), addr_spec=recipient.email)
    message["Message-ID"] = make_msgid(domain=urlsplit(settings.public_url).hostname)
    message["List-Unsubscribe"] = f"<{stop_url}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(render_template("visits/weekly_mail.txt", **context))
    message.add_alternative(render_template("visits/weekly_mail.html", **context), subtype="html")
    return message


def make_token(settings: Settings, organisation_id: UUID, site_id: UUID, user_id: UUID) -> str:
    """What ends one person's mails about one site, and nothing else."""
    return sign(settings.secret_key, PURPOSE, f"{organisation_id.hex}{site_id.hex}{user_id.hex}")


def read_token(settings: Settings, token: str) -> tuple[UUID, UUID, UUID] | None:
    """Organisation, site and person of a token, or None when it is none."""
    try:
        value = unsign(settings.secret_key, PURPOSE, token, TOKEN_SECONDS)
    except BadSignatureError:
        return None
    organisation_id, site_id, user_id = (UUID(hex=value[start : start + 32]) for start in (0, 32, 64))
    return organisation_id, site_id, user_id


def _one_line(text: str) -> str:
    return " ".join(text.split())
