"""Weekly reports: when they are due, that each goes out once whatever dies, what they say, and how one ends them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person, owner_connection
from tests.mail_sink import MailSink, running_mail_sink
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, rows_of, scalar, utc
from webapp.config import Settings
from webapp.visits.models import Site
from webapp.visits.weekly import service, tasks, weekly_views
from webapp.visits.weekly.report import make_report
from webapp.visits.weekly.weeks import due_monday, list_mondays

MONDAY = date(2026, 11, 9)
MORNING = utc("2026-11-16T06:00:00")
STATES = "SELECT state FROM weekly_mails ORDER BY user_id"


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with running_mail_sink() as running:
        yield running


@pytest.fixture
def mailing(app: APIFlask, services: Settings, sink: MailSink) -> Iterator[Settings]:
    """The app as it is where SMTP_URL is set."""
    settings = replace(services, smtp_url=sink.url)
    app.extensions["settings"] = settings
    yield settings
    app.extensions["settings"] = services


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    """Three visitors in the week and one in the week before it."""
    site = add_site(app, alice.organisation_id)
    at = utc("2026-11-10T10:00:00")
    rows = [
        make_row(site, at - timedelta(weeks=1), visitor="dora"),
        *(make_row(site, at, visitor=name, country="DE", referrer="https://news.example/") for name in ("al", "bo")),
        make_row(site, at, visitor="cy", page_url=f"{ORIGIN}/pricing", country="NP"),
        make_row(site, at + timedelta(minutes=1), visitor="cy", page_url=f"{ORIGIN}/thanks", country="NP"),
    ]
    add_rows(services, rows)
    count_all(app, services)
    return site


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let it be this time."""
    for module in (tasks, service, weekly_views):
        monkeypatch.setattr(module, "utc_now", lambda: moment)


def ask_for(settings: Settings, person: Person, site: Site, when: datetime = MORNING - timedelta(days=3)) -> None:
    """The wish of a person with a verified address, made at this time."""
    with owner_connection(settings) as connection:
        connection.execute("UPDATE users SET email_is_verified = true WHERE id = %s", [person.user_id])
        connection.execute(
            "INSERT INTO weekly_subscriptions VALUES (%s, %s, %s, %s)",
            [site.organisation_id, site.id, person.user_id, when],
        )


def send(app: APIFlask) -> None:
    with app.app_context():
        tasks.send_weekly_reports()


def text_of(mail: Any, kind: str) -> str:
    return str(mail.get_body((kind,)).get_content())


def test_each_member_who_asked_gets_the_report_once(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, bob: Person, site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    alice.client.post(f"/visits/sites/{site.id}/goals", data={"kind": "page", "value": "/thanks", "name": "Done"})
    ask_for(mailing, alice, site)
    ask_for(mailing, bob, site)
    at(monkeypatch, MORNING - timedelta(minutes=1))
    send(app)
    assert sink.mails == []
    for moment in (MORNING, MORNING, MORNING + timedelta(hours=40), MORNING + timedelta(days=4)):
        at(monkeypatch, moment)
        send(app)
    assert sorted(sink.recipients) == [alice.email, bob.email]
    assert rows_of(mailing, STATES) == [("sent",), ("sent",)]
    mail = next(one for one in sink.mails if one["To"].addresses[0].addr_spec == alice.email)
    assert mail["Subject"] == "Shop: 9 Nov – 15 Nov 2026"
    for body in (text_of(mail, "plain"), text_of(mail, "html")):
        for word in ("Visitors", "+200% on the week before", "/pricing", "news.example", "Germany", "Nepal", "Done"):
            assert word in body, word
        assert f"{mailing.public_url}/visits?site={site.id}" in body.replace("&amp;", "&")
    assert re.search(r"Visitors +3 ", text_of(mail, "plain"))
    at(monkeypatch, MORNING + timedelta(weeks=1))
    send(app)
    assert len(sink.mails) == 4


def test_mail_comes_in_the_morning_of_the_sites_monday(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with owner_connection(mailing) as connection:
        connection.execute("UPDATE sites SET time_zone = 'Pacific/Auckland', cut_zone = 'Pacific/Auckland'")
    ask_for(mailing, alice, site)
    at(monkeypatch, utc("2026-11-15T16:59:00"))
    send(app)
    assert sink.mails == []
    at(monkeypatch, utc("2026-11-15T17:00:00"))
    send(app)
    assert len(sink.mails) == 1


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_every_week_of_years_is_due_for_two_days_from_its_own_morning(zone: str) -> None:
    start = datetime(2025, 1, 1, 3, tzinfo=ZoneInfo(zone))
    for day in range(730):
        now = start + timedelta(days=day)
        due = due_monday(ZoneInfo(zone), now + timedelta(hours=9))
        assert (due is not None) is (now.weekday() in {0, 1}), now
        assert due is None or (due.weekday() == 0 and 7 <= (now.date() - due).days <= 8)
    assert due_monday(ZoneInfo(zone), datetime(2026, 3, 30, 5, 59, tzinfo=ZoneInfo(zone))) is None
    assert list_mondays(ZoneInfo(zone), start, date(2024, 12, 18), 5) == [date(2024, 12, 23), date(2024, 12, 16)]


def test_who_asked_after_it_was_due_waits_for_the_next(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for(mailing, alice, site, MORNING + timedelta(hours=1))
    at(monkeypatch, MORNING + timedelta(hours=2))
    send(app)
    assert sink.mails == []
    at(monkeypatch, MORNING + timedelta(weeks=1))
    send(app)
    assert len(sink.mails) == 1


def test_whoever_left_or_has_no_verified_address_gets_none(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, bob: Person, site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ask_for(mailing, alice, site)
    ask_for(mailing, bob, site)
    with owner_connection(mailing) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [bob.user_id])
        connection.execute("UPDATE users SET email_is_verified = false WHERE id = %s", [alice.user_id])
    at(monkeypatch, MORNING)
    send(app)
    assert sink.mails == []


class DiedError(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("line", ["claim", "give", "end"])
def test_whoever_dies_sends_nothing_twice(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, site: Site, monkeypatch: pytest.MonkeyPatch,
    line: str,
) -> None:  # fmt: skip
    """Before the claim is committed nothing is lost; between the claim and its end the mail is given up."""
    ask_for(mailing, alice, site)
    at(monkeypatch, MORNING)

    def die(*_: object, **__: object) -> None:
        raise DiedError

    with monkeypatch.context() as deadly:
        deadly.setattr(tasks if line == "give" else service, line, die)
        with pytest.raises(DiedError):
            send(app)
    at(monkeypatch, MORNING + timedelta(minutes=20))
    send(app)
    send(app)
    assert len(sink.mails) == {"claim": 1, "give": 0, "end": 1}[line]
    assert rows_of(mailing, STATES) == [("sent" if line == "claim" else "claimed",)]
    if line != "claim":
        page = alice.client.get(f"/visits/weekly?site={site.id}").text
        assert "Cut off while it was sent" in page


def test_two_at_the_same_time_send_one(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for(mailing, alice, site)
    at(monkeypatch, MORNING)
    started = threading.Barrier(4)

    def run() -> None:
        started.wait()
        send(app)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sink.mails) == 1


@pytest.mark.parametrize(
    ("says", "state", "again"),
    [
        ({"RCPT": "550 nobody of this name"}, ["refused"], 0),
        ({"RCPT": "451 come back later"}, [], 1),
        ({"TAKEN": "554 looks like spam"}, ["refused"], 1),
        ({"TAKEN": ""}, ["claimed"], 1),
        ({"EHLO": "", "HELO": ""}, [], 1),
    ],
)
def test_what_a_server_does_not_take_is_tried_again_only_where_that_is_safe(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, site: Site, monkeypatch: pytest.MonkeyPatch,
    says: dict[str, str], state: list[str], again: int,
) -> None:  # fmt: skip
    ask_for(mailing, alice, site)
    at(monkeypatch, MORNING)
    sink.says = says
    send(app)
    assert [row[0] for row in rows_of(mailing, STATES)] == state
    sink.says = {}
    send(app)
    assert len(sink.mails) == again
    if state == ["refused"]:
        assert "Not sent: 55" in alice.client.get(f"/visits/weekly?site={site.id}").text


@pytest.mark.parametrize("says", [{"TAKEN": ""}, {"MAIL": "421 too many mails for now"}])
def test_where_the_server_ends_the_connection_the_others_get_theirs(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, bob: Person, site: Site,
    monkeypatch: pytest.MonkeyPatch, says: dict[str, str],
) -> None:  # fmt: skip
    ask_for(mailing, alice, site)
    ask_for(mailing, bob, site)
    at(monkeypatch, MORNING)
    sink.says = says
    send(app)
    sink.says = {}
    send(app)
    assert sorted(sink.recipients) == [alice.email, bob.email]


def test_an_address_that_is_none_keeps_nobody_else_from_theirs(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, bob: Person, site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A sign-in may say any address."""
    ask_for(mailing, alice, site)
    ask_for(mailing, bob, site)
    with owner_connection(mailing) as connection:
        connection.execute("UPDATE users SET email = 'alice..a@example.com' WHERE id = %s", [alice.user_id])
    at(monkeypatch, MORNING)
    send(app)
    assert sink.recipients == [bob.email]
    assert sorted(rows_of(mailing, STATES)) == [("refused",), ("sent",)]


def test_a_report_that_cannot_be_made_keeps_back_no_other(
    app: APIFlask, mailing: Settings, sink: MailSink, alice: Person, charlie: Person, site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    other = add_site(app, charlie.organisation_id)
    add_rows(mailing, [make_row(other, utc("2026-11-10T10:00:00"))])
    count_all(app, mailing)
    ask_for(mailing, alice, site)
    ask_for(mailing, charlie, other)
    at(monkeypatch, MORNING)
    make, first = make_report, min(site, other, key=lambda one: one.organisation_id)

    def make_some(wanted: Site, *rest: Any) -> Any:
        if wanted.id == first.id:
            raise LookupError("no such zone")
        return make(wanted, *rest)

    monkeypatch.setattr(tasks, "make_report", make_some)
    with pytest.raises(ExceptionGroup):
        send(app)
    assert sink.recipients == [charlie.email if first is site else alice.email]


def test_a_mail_program_ends_it_by_one_post_and_a_person_by_a_button(
    app: APIFlask, client: FlaskClient, mailing: Settings, sink: MailSink, alice: Person, bob: Person, site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ask_for(mailing, alice, site)
    ask_for(mailing, bob, site)
    at(monkeypatch, MORNING)
    send(app)
    stops = {mail["To"].addresses[0].addr_spec: mail["List-Unsubscribe"].strip("<>") for mail in sink.mails}
    assert {mail["List-Unsubscribe-Post"] for mail in sink.mails} == {"List-Unsubscribe=One-Click"}
    path = stops[bob.email].removeprefix(mailing.public_url)
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        assert "Stop the mail" in client.get(path).text
        assert scalar(mailing, "SELECT count(*) FROM weekly_subscriptions") == 2, "looking at it ends nothing"
        done = client.post(path, data={"List-Unsubscribe": "One-Click"})
    finally:
        app.config["WTF_CSRF_ENABLED"] = False
    assert (done.status_code, "no more mail about Shop" in done.text) == (200, True)
    assert client.post(path).status_code == 200, "twice does no harm"
    assert rows_of(mailing, "SELECT user_id FROM weekly_subscriptions") == [(alice.user_id,)]
    assert client.get(f"{path}x").status_code == 404


def test_a_person_asks_for_it_and_ends_it_on_the_page(
    alice: Person, bob: Person, site: Site, services: Settings
) -> None:
    page = alice.client.get(f"/visits/weekly?site={site.id}").text
    assert "no mail server yet" in page
    for _ in range(2):
        assert alice.client.post(f"/visits/sites/{site.id}/weekly-mail").status_code == 303
    assert rows_of(services, "SELECT user_id FROM weekly_subscriptions") == [(alice.user_id,)]
    assert "Stop the mail" in alice.client.get(f"/visits/weekly?site={site.id}").text
    assert "Send it to me" in bob.client.get(f"/visits/weekly?site={site.id}").text
    bob.client.post(f"/visits/sites/{site.id}/weekly-mail/delete")
    assert scalar(services, "SELECT count(*) FROM weekly_subscriptions") == 1
    alice.client.post(f"/visits/sites/{site.id}/weekly-mail/delete")
    assert scalar(services, "SELECT count(*) FROM weekly_subscriptions") == 0


def test_the_page_lists_the_weeks_with_what_the_mail_says(
    alice: Person, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, MORNING)
    page = alice.client.get(f"/visits/weekly?site={site.id}").text
    assert re.findall(r'weekly__week" href="[^"]+week=([\d-]+)"', page) == ["2026-11-09", "2026-11-02"]
    for word in ("9 Nov – 15 Nov 2026", "news.example", "Germany", "/pricing"):
        assert word in page
    before = alice.client.get(f"/visits/weekly?site={site.id}&week=2026-11-02").text
    assert 'id="report-title">2 Nov – 8 Nov 2026' in before
    assert alice.client.get(f"/visits/weekly?site={site.id}&week=2026-11-03").status_code == 404


def test_before_the_first_week_is_over_that_is_said(app: APIFlask, alice: Person) -> None:
    empty = add_site(app, alice.organisation_id)
    assert "No week is over yet" in alice.client.get(f"/visits/weekly?site={empty.id}").text


def test_charlie_neither_sees_nor_gets_alices_reports(charlie: Person, site: Site, services: Settings) -> None:
    assert charlie.client.get(f"/visits/weekly?site={site.id}").status_code == 404
    assert charlie.client.post(f"/visits/sites/{site.id}/weekly-mail").status_code == 404
    assert charlie.client.post(f"/visits/sites/{site.id}/weekly-mail/delete").status_code == 404
    assert scalar(services, "SELECT count(*) FROM weekly_subscriptions") == 0
