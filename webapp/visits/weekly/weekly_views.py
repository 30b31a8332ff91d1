"""The page of a site's weekly reports, asking for them by mail, and ending that from a mail."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, current_app, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.accounts.queries import get_organisation
from webapp.config import Settings
from webapp.extensions import csrf, db, enter_tenant
from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits.models import Site
from webapp.visits.site_page.views import find_site
from webapp.visits.site_queries import find_site as find_site_of
from webapp.visits.table_files import ENDINGS, WRITERS, table_file
from webapp.visits.views import visits
from webapp.visits.weekly import service
from webapp.visits.weekly.mails import read_token
from webapp.visits.weekly.models import MailState, WeeklyMail
from webapp.visits.weekly.queries import get_subscription, list_own_mails
from webapp.visits.weekly.report import list_report_mondays, list_report_rows, make_report
from webapp.visits.weekly.weeks import week_of

SENDING_SECONDS = 600
"""A mail that has been under way for longer was cut off."""

unsubscribe = Blueprint("unsubscribe", __name__, url_prefix="/unsubscribe")


@visits.get("/weekly")
def show_weekly() -> ResponseReturnValue:
    """The reports of the weeks that are over, one of them open."""
    site = find_site(request.args.get("site", ""))
    now = utc_now()
    mondays = list_report_mondays(site, now)
    mails = {mail.monday: mail for mail in list_own_mails(site.organisation_id, site.id, current_user.id)}
    wanted = request.args.get("week", "")
    shown = next((monday for monday in mondays if monday.isoformat() == wanted), mondays[0] if mondays else None)
    if wanted and (shown is None or shown.isoformat() != wanted):
        abort(404)
    return render_page(
        "visits/weekly.html",
        site=site,
        weeks=[(monday, week_of(monday, site.zone).label, _mail_words(mails.get(monday), now)) for monday in mondays],
        shown=shown,
        report=make_report(site, shown, now) if shown else None,
        **_mail_context(site),
    )


@visits.get(f"/weekly/{ENDINGS}")
def weekly_file(kind: str) -> ResponseReturnValue:
    """A report as a file: its numbers with their change, its lists and its goals."""
    site, now, wanted = find_site(request.args.get("site", "")), utc_now(), request.args.get("week", "")
    monday = next((one for one in list_report_mondays(site, now) if one.isoformat() == wanted), None) or abort(404)
    rows = list_report_rows(make_report(site, monday, now))
    return table_file(WRITERS[kind], f"week-{monday}", ["list", "value", "count", "share_or_change"], rows)


@visits.post("/sites/<uuid:site_id>/weekly-mail")
def create_weekly_mail(site_id: UUID) -> ResponseReturnValue:
    """From the next week on, send me the report."""
    site = find_site(site_id)
    service.subscribe(site.organisation_id, site.id, current_user.id)
    db.session.commit()
    flash(f"You get the report of {site.name} every Monday morning.", "success")
    return redirect(url_for("visits.show_weekly", site=site.id), 303)


@visits.post("/sites/<uuid:site_id>/weekly-mail/delete")
def destroy_weekly_mail(site_id: UUID) -> ResponseReturnValue:
    """Send me no more."""
    site = find_site(site_id)
    service.unsubscribe(site.organisation_id, site.id, current_user.id)
    db.session.commit()
    flash(f"You get no more mail about {site.name}.", "success")
    return redirect(url_for("visits.show_weekly", site=site.id), 303)


@unsubscribe.get("/<token>")
def show(token: str) -> ResponseReturnValue:
    """Ask whether to end it: programs that look through mails open every link, and must end nothing."""
    site, _ = _read_token(token)
    return render_page("visits/unsubscribe.html", site=site, token=token, is_done=False)


@unsubscribe.post("/<token>")
def destroy(token: str) -> ResponseReturnValue:
    """End it, by the page's button or by the one of a mail program (RFC 8058), which is signed in nowhere."""
    site, user_id = _read_token(token)
    service.unsubscribe(site.organisation_id, site.id, user_id)
    db.session.commit()
    return render_page("visits/unsubscribe.html", site=site, token=token, is_done=True)


csrf.exempt(destroy)  # the token in the address is what nobody else knows


@unsubscribe.after_request
def keep_from_search_engines(response: Response) -> Response:
    """The address ends somebody's mails."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _read_token(token: str) -> tuple[Site, UUID]:
    settings: Settings = current_app.extensions["settings"]
    found = read_token(settings, token)
    if found is None:
        abort(404)
    organisation_id, site_id, user_id = found
    if get_organisation(organisation_id) is None:
        abort(404)
    enter_tenant(organisation_id)
    site = find_site_of(organisation_id, site_id)
    if site is None:
        abort(404)
    return site, user_id


def _mail_context(site: Site) -> dict[str, Any]:
    settings: Settings = current_app.extensions["settings"]
    subscription = get_subscription(site.organisation_id, site.id, current_user.id)
    return {
        "can_mail": bool(settings.smtp_url),
        "is_verified": current_user.email_is_verified,
        "email": current_user.email,
        "is_subscribed": subscription is not None,
    }


def _mail_words(mail: WeeklyMail | None, now: datetime) -> str:
    """What became of the mail to whoever looks."""
    if mail is None:
        return ""
    if mail.state is MailState.SENT:
        return "Sent to you"
    if mail.state is MailState.REFUSED:
        return f"Not sent: {mail.reason}"
    is_cut_off = mail.ended_at is not None or (now - mail.created_at).total_seconds() > SENDING_SECONDS
    return "Cut off while it was sent; it is not sent twice" if is_cut_off else "Being sent"
