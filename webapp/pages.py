"""Deciding between a whole page and the part of it that htmx asked for; nobody else reads its headers.

Below that: what every template may use, the error pages, and the headers of every page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from http import HTTPStatus
from zoneinfo import ZoneInfo

from flask import Flask, Response, current_app, flash, g, has_app_context, make_response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from webapp.config import Settings
from webapp.extensions import db, htmx
from webapp.lib.clock import utc_now


def render_page(template: str, *, block: str | None = None, status: int = 200, **context: object) -> Response:
    """The page, or only its `block` when htmx asked for a part.

    A fragment is a `{% block %}` of the page that owns it; the block's name is the element's id.
    """
    html = render_block(template, block, **context) if block and wants_part() else render_template(template, **context)
    response = make_response(html, status)
    response.vary.add("HX-Request")
    return response


def render_block(template: str, block: str, **context: object) -> str:
    """One block of a template, rendered alone; raises KeyError when there is no such block."""
    current_app.update_template_context(context)
    loaded = current_app.jinja_env.get_template(template)
    return "".join(loaded.blocks[block](loaded.new_context(context)))


def flash_with_undo(text: str, action_url: str, value: str | None) -> None:
    """Say on the next page what was done, with a button that posts `value` to take it back (if there is a value)."""
    flash({"text": text, "undo_url": action_url, "undo": value} if value else text, "success")  # type: ignore[arg-type]


def wants_part() -> bool:
    """Whether htmx asked for a part of a page, and not for a page to show or to restore."""
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def init_app(app: Flask) -> None:
    """Give every template its filters and globals, and every page its errors and headers."""
    environment = app.jinja_env
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(number=number, duration=duration, bytes=byte_size, local_time=local_time)
    environment.globals["ui"] = environment.get_template("components/ui.html").module
    environment.globals["navigation"] = navigation
    app.register_error_handler(HTTPException, error_page)
    app.after_request(add_headers)


# What templates may use ---------------------------------------------------------------------------

BYTE_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def number(value: float) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,.0f}"


def byte_size(count: float) -> str:
    """1572864 as 1.5 MB: in powers of 1024, to three figures."""
    unit = 0
    while count >= 1024 and unit < len(BYTE_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {BYTE_UNITS[unit]}" if count >= 100 else f"{count:.3g} {BYTE_UNITS[unit]}"


def duration(length: float | timedelta) -> str:
    """Seconds in the two largest units that matter: 42 s, 3 min 05 s, 2 h 05 min, 3 d 4 h."""
    seconds = round(length.total_seconds() if isinstance(length, timedelta) else length)
    if seconds < 1:
        return "under 1 s"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def local_time(moment: datetime, form: str = "short") -> str:
    """A time in the organisation's zone: "short", its "date" or "clock" alone, or "long" with seconds and zone."""
    local = moment.astimezone(_zone())
    if form == "long":
        return f"{local:%A} {local.day} {local:%B %Y, %H:%M:%S} {local:%Z}"
    if form == "date":
        return f"{local.day} {local:%b %Y}"
    if form == "clock":
        return f"{local:%H:%M}"
    is_today = local.date() == utc_now().astimezone(_zone()).date()
    return f"today {local:%H:%M}" if is_today else f"{local.day} {local:%b %Y, %H:%M}"


def _zone() -> tzinfo:
    organisation = g.get("organisation") if has_app_context() else None
    return ZoneInfo(organisation.time_zone if organisation is not None else "UTC")


@dataclass(frozen=True)
class NavigationItem:
    """One line of the side bar."""

    endpoint: str
    label: str
    icon: str

    @property
    def is_exact(self) -> bool:
        return request.endpoint == self.endpoint

    @property
    def is_current(self) -> bool:
        return request.blueprint == self.endpoint.split(".", 1)[0]


NAVIGATION = (
    NavigationItem("overview.index", "Overview", "overview"),
    NavigationItem("contacts.index", "Contacts", "contacts"),
    NavigationItem("products.index", "Products", "products"),
    NavigationItem("visits.index", "Visits", "visits"),
    NavigationItem("bulk_actions.index", "Bulk actions", "bulk"),
    NavigationItem("jobs.index", "Jobs", "jobs"),
    NavigationItem("accounts.settings", "Settings", "settings"),
)
OPERATIONS = NavigationItem("operations.index", "Operations", "operations")


def navigation(for_operator: bool) -> tuple[NavigationItem, ...]:
    """The side bar's lines."""
    return (*NAVIGATION, OPERATIONS) if for_operator else NAVIGATION


# Errors -------------------------------------------------------------------------------------------

ERRORS = {
    400: ("This request made no sense to us", "Go back, load the page again, and try once more."),
    401: ("Please sign in first", "Sign in, and open the page again."),
    403: ("You may not do this", "Ask an owner of your organisation, or switch to another one of yours."),
    404: (
        "There is nothing here",
        "The address may be mistyped, or what was here is deleted or belongs to another organisation.",
    ),
    405: ("This page can't be used that way", "Open it from the menu, and use the buttons on the page."),
    413: ("That is too large", "Send less at once. A file can be split into several."),
    422: ("Some of that can't be used", "Go back and look at what you entered."),
    429: ("That was too much at once", "Wait a minute, then try again."),
    500: (
        "Something broke on our side",
        "Nothing of what you saved before is lost. Try again; if it happens again, the server's log has the reason.",
    ),
    503: ("Footfall is busy or starting", "Wait a moment, then load the page again."),
}
ERRORS_BY_HUNDRED = {4: ERRORS[400], 5: ERRORS[500]}


def error_page(error: HTTPException) -> BaseResponse:
    """An error in plain words with what to do about it; its small form where htmx asked for a part.

    After a failure of ours it is shown to nobody in particular: what it knows of the person may have to be
    read again, in a transaction that is broken, or from a database that is away.
    """
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        db.session.rollback()
        g.organisation = g.membership = None
    if error.response is not None or status < 400:
        return BaseResponse.force_type(error.get_response(request.environ), request.environ)
    title, remedy = error_words(error, status)
    template = "errors/_part.html" if wants_part() else "errors/page.html"
    reference = g.get("request_id") if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
    words = {"error_title": title, "remedy": remedy, "reference": reference}
    response = make_response(render_template(template, status=status, **words), status)
    response.headers.extend((key, value) for key, value in error.get_headers() if key in {"Allow", "Retry-After"})
    response.vary.add("HX-Request")
    return response


def error_words(error: HTTPException, status: int) -> tuple[str, str]:
    """Title and remedy: what the code that raised the error said, or else what its status means."""
    title, remedy = ERRORS.get(status, ERRORS_BY_HUNDRED[status // 100])
    if status == HTTPStatus.INTERNAL_SERVER_ERROR or error.description in {None, type(error).description}:
        return title, remedy
    return getattr(error, "title", title), error.description or remedy


# Headers ------------------------------------------------------------------------------------------


def add_headers(response: Response) -> Response:
    """Let pages run scripts of this site only, and talk to it and to the edge only."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", content_security_policy())
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "private, no-cache")
    return response


def content_security_policy() -> str:
    """The same policy for every page. Charts write style attributes; sign-in begins with a link, not with a form."""
    settings: Settings = current_app.extensions["settings"]
    return (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        f"connect-src 'self' {settings.edge_url}; form-action 'self'; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
