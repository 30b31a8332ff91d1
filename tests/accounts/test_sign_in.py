"""Signing in, over a real OpenID issuer."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.accounts.conftest import SignIn
from tests.conftest import owner_connection
from webapp import demo
from webapp.accounts import service
from webapp.accounts.models import Role
from webapp.app import create_app
from webapp.config import Settings
from webapp.extensions import db


def count(settings: Settings, table: str) -> int:
    with owner_connection(settings) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def shown(browser: FlaskClient, path: str) -> str:
    return browser.get(path, follow_redirects=True).text


def invite(sign_in: SignIn, email: str, role: Role = Role.MEMBER) -> None:
    with sign_in.app.app_context():
        organisation = service.create_organisation("Acme")
        service.invite(organisation.id, email, role)
        db.session.commit()


def test_a_first_sign_in_creates_the_person_and_their_organisation(
    sign_in: SignIn, browser: FlaskClient, services: Settings
) -> None:
    answer = sign_in.as_person(browser, "alice")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    settings_page = shown(browser, "/settings")
    assert "Alice Archer" in settings_page
    assert "Example" in settings_page
    assert count(services, "users") == 1
    assert count(services, "memberships") == 1


def test_a_second_sign_in_finds_the_same_person(sign_in: SignIn, services: Settings) -> None:
    for _ in range(2):
        sign_in.as_person(sign_in.app.test_client(), "alice")
    assert count(services, "users") == 1
    assert count(services, "memberships") == 1


def test_two_first_sign_ins_at_once_make_no_doubles(sign_in: SignIn, services: Settings) -> None:
    browsers = [sign_in.app.test_client() for _ in range(6)]
    callbacks = [sign_in.consent(sign_in.start(browser), "alice") for browser in browsers]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda pair: pair[0].get(pair[1]), zip(browsers, callbacks, strict=True)))
    assert {answer.status_code for answer in answers} == {302}
    assert count(services, "users") == 1
    assert count(services, "memberships") == 1


def test_two_strangers_at_once_get_an_organisation_each(sign_in: SignIn, services: Settings) -> None:
    people = ["alice", "bob", "charlie", "demo"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda person: sign_in.as_person(sign_in.app.test_client(), person), people))
    with owner_connection(services) as connection:
        slugs = {row[0] for row in connection.execute("SELECT slug FROM organisations WHERE slug <> 'system'")}
    assert slugs == {"example", "example-2", "example-3", "example-4"}


def test_an_invited_person_joins_and_gets_no_organisation_of_their_own(
    sign_in: SignIn, browser: FlaskClient, services: Settings
) -> None:
    invite(sign_in, "BOB@example.com", Role.OWNER)
    sign_in.as_person(browser, "bob")
    assert "Acme" in shown(browser, "/settings")
    assert count(services, "organisations WHERE slug <> 'system'") == 1
    assert count(services, "invitations WHERE accepted_at IS NOT NULL") == 1


def test_an_invitation_moves_nobody_who_is_known_already(
    sign_in: SignIn, browser: FlaskClient, services: Settings
) -> None:
    sign_in.as_person(browser, "bob")
    invite(sign_in, "bob@example.com", Role.OWNER)
    sign_in.as_person(browser, "bob")
    assert count(services, "memberships") == 1
    for path in ("/", "/settings"):
        page = shown(browser, path)
        assert '<span class="switch__name">Example</span>' in page
        assert "Acme invites you" in page


def answer(browser: FlaskClient, verb: str) -> TestResponse:
    path = re.search(rf"/invitations/[0-9a-f-]+/{verb}", shown(browser, "/settings"))
    assert path is not None
    return browser.post(path[0], follow_redirects=True)


def test_who_joins_sees_the_organisation_now_and_at_the_next_sign_in(sign_in: SignIn, browser: FlaskClient) -> None:
    sign_in.as_person(browser, "bob")
    invite(sign_in, "bob@example.com")
    page = answer(browser, "accept").text
    assert "You joined Acme." in page
    assert "invites you" not in page
    browser.post("/sign-out")
    sign_in.as_person(browser, "bob")
    assert "Acme, " in shown(browser, "/")


def test_who_declines_an_invitation_stays_where_they_are(
    sign_in: SignIn, browser: FlaskClient, services: Settings
) -> None:
    sign_in.as_person(browser, "bob")
    invite(sign_in, "bob@example.com")
    page = answer(browser, "decline").text
    assert "You declined the invitation of Acme." in page
    assert "invites you" not in page
    assert count(services, "invitations") == 0
    assert count(services, "memberships") == 1


def test_nobody_answers_for_another_person(sign_in: SignIn, browser: FlaskClient, services: Settings) -> None:
    sign_in.as_person(browser, "bob")
    invite(sign_in, "alice@example.com")
    with owner_connection(services) as connection:
        row = connection.execute("SELECT id FROM invitations").fetchone()
    assert row is not None
    for verb in ("accept", "decline"):
        assert browser.post(f"/invitations/{row[0]}/{verb}").status_code == 404
    assert count(services, "invitations WHERE accepted_at IS NULL") == 1


def test_a_sign_in_begins_with_the_organisation_that_was_seen_last(
    sign_in: SignIn, browser: FlaskClient, services: Settings
) -> None:
    invite(sign_in, "bob@example.com")
    sign_in.as_person(browser, "bob")
    with owner_connection(services) as connection:
        connection.execute("INSERT INTO organisations VALUES (gen_random_uuid(), 'aaa', 'AAA', 'UTC', now())")
        row = connection.execute("SELECT id FROM organisations WHERE slug = 'aaa'").fetchone()
        assert row is not None
        connection.execute("INSERT INTO memberships SELECT %s, id, 'member', now() FROM users", [row[0]])
    assert "Acme, " in shown(browser, "/")  # the one they have known longer
    browser.post(f"/organisations/{row[0]}/switch")
    browser.post("/sign-out")
    sign_in.as_person(browser, "bob")
    assert "AAA, " in shown(browser, "/")


@pytest.mark.parametrize("is_known", [False, True])
def test_the_demos_person_owns_the_demo(
    sign_in: SignIn, browser: FlaskClient, services: Settings, is_known: bool
) -> None:
    if is_known:
        sign_in.as_person(browser, "demo")
    with sign_in.app.app_context():
        demo.get_organisation()
    if is_known:
        answer(browser, "accept")
    else:
        sign_in.as_person(browser, "demo")
    assert "Harbour Coffee, " in shown(browser, "/")
    role = "SELECT role FROM memberships m JOIN organisations o ON o.id = organisation_id WHERE slug = 'demo'"
    with owner_connection(services) as connection:
        assert connection.execute(role).fetchall() == [("owner",)]


def test_somebody_else_is_not_let_in_by_the_invitation(sign_in: SignIn, browser: FlaskClient) -> None:
    invite(sign_in, "bob@example.com")
    sign_in.as_person(browser, "charlie")
    assert "Acme" not in shown(browser, "/settings")


def test_the_provider_is_asked_with_pkce_state_and_nonce(sign_in: SignIn, browser: FlaskClient) -> None:
    query = parse_qs(urlsplit(sign_in.start(browser)).query)
    assert query["code_challenge_method"] == ["S256"]
    assert all(query[name][0] for name in ("code_challenge", "state", "nonce"))
    assert query["redirect_uri"] == ["http://localhost:8000/sign-in/callback"]


def test_who_declines_is_told_so_and_not_signed_in(sign_in: SignIn, browser: FlaskClient, services: Settings) -> None:
    page = shown(browser, sign_in.deny(sign_in.start(browser)))
    assert "You did not let the provider tell us who you are" in page
    assert count(services, "users") == 0


def test_a_callback_that_another_browser_started_signs_nobody_in(sign_in: SignIn, services: Settings) -> None:
    callback = sign_in.consent(sign_in.start(sign_in.app.test_client()), "alice")
    assert "started in another browser" in shown(sign_in.app.test_client(), callback)
    assert count(services, "users") == 0


def test_a_callback_works_once(sign_in: SignIn, browser: FlaskClient) -> None:
    callback = sign_in.consent(sign_in.start(browser), "alice")
    assert browser.get(callback).headers["Location"] == "/"
    browser.post("/sign-out")
    assert "was used already" in shown(browser, callback)


def test_a_code_that_the_provider_never_gave_is_refused(sign_in: SignIn, browser: FlaskClient) -> None:
    state = parse_qs(urlsplit(sign_in.start(browser)).query)["state"][0]
    assert "Please try again" in shown(browser, f"/sign-in/callback?code=made-up&state={state}")


def test_a_provider_that_is_down_is_said_in_plain_words(services: Settings) -> None:
    app = create_app(replace(services, issuer_port=9))
    page = shown(app.test_client(), "/sign-in/start")
    assert "The sign-in provider does not answer" in page


def test_a_person_comes_back_to_the_page_they_wanted(sign_in: SignIn, browser: FlaskClient) -> None:
    wanted = browser.get("/settings?from=mail").headers["Location"]
    assert wanted == "/sign-in?next=/settings?from%3Dmail"
    start = "/sign-in/start?" + urlsplit(wanted).query
    assert sign_in.as_person(browser, "alice", start).headers["Location"] == "/settings?from=mail"


def test_a_part_of_a_page_leads_back_to_the_whole(browser: FlaskClient) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost:8000/visits?range=30d"}
    for answer in (browser.get("/visits/now", headers=headers), browser.post("/settings", headers=headers)):
        assert answer.headers["Location"] == "/sign-in?next=/visits?range%3D30d"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example"]
)
def test_nobody_is_sent_to_another_site_after_signing_in(sign_in: SignIn, browser: FlaskClient, elsewhere: str) -> None:
    start = browser.get("/sign-in/start", query_string={"next": elsewhere}).headers["Location"]
    assert browser.get(sign_in.consent(start, "alice")).headers["Location"] == "/"


def test_signing_in_drops_what_the_cookie_held_before(sign_in: SignIn, browser: FlaskClient) -> None:
    with browser.session_transaction() as cookie:
        cookie["organisation_id"] = "planted"
    sign_in.as_person(browser, "alice")
    with browser.session_transaction() as cookie:
        assert "organisation_id" not in cookie
        assert not any(key.startswith("_state_") for key in cookie)


def test_many_unfinished_sign_ins_fit_into_the_cookie(sign_in: SignIn, browser: FlaskClient) -> None:
    for _ in range(20):
        sign_in.start(browser)
    assert sign_in.as_person(browser, "alice").headers["Location"] == "/"


def test_signing_out_is_a_post_and_ends_the_sign_in(sign_in: SignIn, browser: FlaskClient) -> None:
    sign_in.as_person(browser, "alice")
    assert browser.get("/sign-out").status_code == 405
    assert browser.get("/settings").status_code == 200
    assert browser.post("/sign-out").headers["Location"] == "/sign-in"
    assert browser.get("/settings").status_code == 302


def test_a_copied_cookie_opens_nothing_after_signing_out(sign_in: SignIn, browser: FlaskClient) -> None:
    sign_in.as_person(browser, "alice")
    copied = browser.get_cookie("session")
    assert copied is not None
    browser.post("/sign-out")
    thief = sign_in.app.test_client()
    thief.set_cookie("session", copied.value)
    assert thief.get("/settings").headers["Location"].startswith("/sign-in")
    sign_in.as_person(browser, "alice")
    assert browser.get("/settings").status_code == 200
    assert thief.get("/settings").status_code == 302


def test_the_cookie_ends_with_the_browser(sign_in: SignIn, browser: FlaskClient) -> None:
    cookies = sign_in.as_person(browser, "alice").headers.getlist("Set-Cookie")
    assert cookies
    assert not any("Expires" in cookie or "Max-Age" in cookie for cookie in cookies)


def test_the_demo_button_leads_to_the_local_issuer(sign_in: SignIn, browser: FlaskClient) -> None:
    assert "Try the demo" in shown(browser, "/sign-in")
    assert sign_in.start(browser).startswith(sign_in.issuer_url)


def test_the_demo_is_refused_where_the_pages_are_public(services: Settings) -> None:
    app = create_app(replace(services, public_url="https://desk.example"))
    page = shown(app.test_client(), "/sign-in")
    assert "Try the demo" not in page
    assert "GOOGLE_CLIENT_ID" in page
    assert "offered on localhost only" in page
    assert "no way to sign in is set up" in shown(app.test_client(), "/sign-in/start")


def test_google_is_offered_when_it_is_configured(services: Settings) -> None:
    app = create_app(replace(services, google_client_id="id", google_client_secret="secret"))
    page = shown(app.test_client(), "/sign-in")
    assert "Continue with Google" in page


def test_another_name_of_this_machine_leads_to_the_public_one(browser: FlaskClient) -> None:
    answer = browser.get("/sign-in?next=/settings", base_url="http://127.0.0.1:8000")
    assert answer.headers["Location"] == "http://localhost:8000/sign-in?next=/settings"
