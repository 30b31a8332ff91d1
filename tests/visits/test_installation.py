"""The page that tells how to embed the tracker, and whether it is heard."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.collecting.test_lists import change
from tests.visits.support import ORIGIN, add_site, make_beacon, post
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.lib.redis import broker_client
from webapp.visits.collecting.refusals import EXPLANATIONS
from webapp.visits.heard import key_of, read_heard
from webapp.visits.models import DropCount, Site
from webapp.visits.snippets import QUEUE
from webapp.visits.tracker_script import tracker_script


def page_of(person: Person, site: Site, query: str = "", part: str = "", **headers: str) -> str:
    answer = person.client.get(f"/visits/sites/{site.id}{part}{query}", headers=headers)
    assert answer.status_code == 200
    return html.unescape(answer.text)


def snippet_in(page: str) -> str:
    found = re.search(r'id="snippet-code"[^>]*><code>(.*?)</code></pre>', page, re.S)
    assert found
    return found[1]


def test_the_snippet_has_nothing_in_it_that_was_not_chosen(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    script = f'<script defer src="{services.edge_url}/tracker.js" data-site-key="{site.site_key}"></script>'
    assert snippet_in(page_of(alice, site)) == f"<script>{QUEUE}</script>\n{script}"
    assert snippet_in(page_of(alice, site, "?bare=1")) == script


def test_the_query_keys_that_the_site_keeps_are_told_to_the_tracker(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    change(services, site, """query_keys = '["q", "a\\"b"]'""")
    assert ' data-query="q,a&quot;b"></script>' in snippet_in(page_of(alice, site))


def test_a_link_to_each_website_leaves_out_ones_own_visits(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    page = page_of(alice, site)
    assert f'href="{ORIGIN}/#footfall-ignore"' in page
    assert f'href="{ORIGIN}/#footfall-count"' in page
    change(services, site, "origins = '[]'")
    assert "Put <code>#footfall-ignore</code> behind the address" in page_of(alice, site)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("outbound", " data-outbound>"),
        ("downloads", " data-downloads>"),
        ("forms", " data-forms>"),
        ("missing", " data-404>"),
        ("hash", " data-hash>"),
        ("manual", ' data-auto="false">'),
        ("cookieless", " data-cookieless>"),
        ("dnt", " data-respect-dnt>"),
    ],
)
def test_each_option_changes_the_snippet_without_any_script(app: APIFlask, alice: Person, name: str, text: str) -> None:
    site = add_site(app, alice.organisation_id)
    page = page_of(alice, site, f"?{name}=1")
    assert text in snippet_in(page)
    assert re.search(rf'name="{name}" value="1" checked', page)


def test_browsers_without_scripts_have_a_line_of_their_own(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    assert "noscript-code" not in page_of(alice, site)
    page = page_of(alice, site, "?noscript=1")
    assert f'<noscript><img src="{services.edge_url}/pixel.gif?site={site.site_key}" referrerpolicy="' in page


def test_pages_to_leave_out_cannot_break_out_of_their_attribute(app: APIFlask, alice: Person) -> None:
    site = add_site(app, alice.organisation_id)
    answer = alice.client.get(f"/visits/sites/{site.id}", query_string={"exclude": '/a,"><script>x</script>'})
    assert "<script>x" not in answer.text
    copied = snippet_in(html.unescape(answer.text))
    assert 'data-exclude="/a,&quot;&gt;&lt;script&gt;x&lt;/script&gt;"' in copied


def test_one_version_is_pinned_with_its_hash(app: APIFlask, alice: Person, services: Settings) -> None:
    script = tracker_script(services)
    snippet = snippet_in(page_of(alice, add_site(app, alice.organisation_id), "?pinned=1"))
    assert f'src="{services.edge_url}{script.versioned_path}"' in snippet
    assert f'integrity="{script.integrity}" crossorigin="anonymous"' in snippet


def test_the_choice_of_options_answers_htmx_with_the_snippet_alone(app: APIFlask, alice: Person) -> None:
    site = add_site(app, alice.organisation_id)
    part = page_of(alice, site, "?forms=1", **{"HX-Request": "true"})
    assert "data-forms" in snippet_in(part)
    assert "<form" not in part


def test_a_site_that_was_never_heard_says_what_to_check(app: APIFlask, alice: Person, services: Settings) -> None:
    page = page_of(alice, add_site(app, alice.organisation_id))
    assert "Nothing has been heard yet" in page
    assert f"begin with {ORIGIN}?" in page
    assert services.edge_url in page


def test_what_was_heard_shows_at_once_with_its_page(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    (answer,) = post(services, make_beacon(site.site_key, pageUrl=f"{ORIGIN}/pricing"))
    assert answer.status == 202
    part = page_of(alice, site, part="/heard", **{"HX-Request": "true"})
    assert "We heard from your site" in part
    assert f"{ORIGIN}/pricing" in part
    assert "What to check" not in part
    assert "<html" not in part


def test_what_was_refused_after_that_shows_with_its_reason(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    post(services, make_beacon(site.site_key))
    post(services, make_beacon(site.site_key), origin="https://www.shop.example")
    part = page_of(alice, site, part="/heard")
    assert "This site does not take visits from https://www.shop.example." in part
    post(services, make_beacon(site.site_key))
    assert "does not take visits" not in page_of(alice, site, part="/heard")


@pytest.mark.parametrize("is_list", [False, True])
def test_a_field_that_is_wrong_is_told_with_its_page(
    app: APIFlask, alice: Person, services: Settings, is_list: bool
) -> None:
    site = add_site(app, alice.organisation_id)
    beacon = make_beacon(site.site_key, pageUrl=f"{ORIGIN}/broken", identifier=7)
    post(services, [beacon] if is_list else beacon)
    part = page_of(alice, site, part="/heard")
    assert "The beacon's fields are not as they should be" in part
    assert f"{ORIGIN}/broken" in part


def test_of_a_list_that_is_taken_in_part_both_show(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    refused = make_beacon(site.site_key, screen="wide", pageUrl=f"{ORIGIN}/wide")
    post(services, [make_beacon(site.site_key), refused])
    part = page_of(alice, site, part="/heard")
    assert "We heard from your site" in part
    assert "`screen` must be width and height" in part
    assert f"{ORIGIN}/wide" in part


def test_what_was_left_out_lately_is_listed_by_reason(app: APIFlask, alice: Person) -> None:
    site = add_site(app, alice.organisation_id)
    today = utc_now().date()
    with app.app_context(), tenant(alice.organisation_id):
        for reason, days, count in (("bot", 0, 2), ("bot", 1, 5), ("do-not-track", 0, 3), ("rate-limited", 9, 1)):
            day = today - timedelta(days=days)
            db.session.add(
                DropCount(
                    organisation_id=site.organisation_id, site_id=site.id, day=day, reason=reason, drop_count=count
                )
            )
        db.session.commit()
    page = page_of(alice, site)
    listed = re.findall(r"<tr><td>([^<]+)</td><td class=\"table__number\">([^<]+)</td>", page)
    assert listed == [(EXPLANATIONS["bot"], "7"), (EXPLANATIONS["do-not-track"], "3")]


def test_a_busy_site_is_written_down_once_a_second(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    post(services, *[make_beacon(site.site_key, pageUrl=f"{ORIGIN}/{number}") for number in range(50)])
    with broker_client(services) as broker:
        taken, refused = read_heard(broker, site.organisation_id, site.id)
        assert taken is not None
        assert refused is None
        assert 0 < broker.ttl(key_of(site.organisation_id, site.id, is_refused=False)) <= 30 * 86_400


def test_without_the_broker_the_page_says_that_it_cannot_tell(
    app: APIFlask, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = add_site(app, alice.organisation_id)

    def away(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("webapp.visits.installation_views.read_heard", away)
    page = page_of(alice, site)
    assert "Cannot tell" in page
    assert "Nothing has been heard yet" not in page


def test_another_organisations_site_is_not_there(app: APIFlask, alice: Person, charlie: Person) -> None:
    site = add_site(app, alice.organisation_id)
    assert charlie.client.get(f"/visits/sites/{site.id}").status_code == 404
    assert charlie.client.get(f"/visits/sites/{site.id}/heard").status_code == 404
    assert alice.client.get(f"/visits/sites/{UUID(int=1)}").status_code == 404
