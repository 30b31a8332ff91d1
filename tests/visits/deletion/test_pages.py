"""Deleting a site in the browser: who may, what is asked, what vanishes, and the way back."""

from __future__ import annotations

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.deletion.support import delete_long_ago, fill
from tests.visits.support import add_site, scalar
from webapp.config import Settings
from webapp.extensions import db, driver_connection, tenant
from webapp.lib.clock import utc_now
from webapp.visits.deletion.erasing import Erased, close_site
from webapp.visits.models import Site
from webapp.visits.site_page.service import share


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


def delete(person: Person, site: Site, typed_name: str = "Shop") -> int:
    return person.client.post(f"/visits/sites/{site.id}/delete", data={"typed_name": typed_name}).status_code


def test_its_page_says_what_goes_and_asks_for_the_name(alice: Person, site: Site) -> None:
    settings = alice.client.get(f"/visits/sites/{site.id}/settings").text
    assert f"/visits/sites/{site.id}/delete" in settings
    page = alice.client.get(f"/visits/sites/{site.id}/delete").text
    assert "For 30 days" in page
    assert "removed for good" in page


@pytest.mark.parametrize("typed", ["", "shop", "Shop 2"])
def test_another_name_deletes_nothing(alice: Person, site: Site, typed: str, services: Settings) -> None:
    answer = alice.client.post(f"/visits/sites/{site.id}/delete", data={"typed_name": typed})
    assert answer.status_code == 422
    assert "Nothing was deleted" in answer.text
    assert scalar(services, "SELECT deleted_at FROM sites") is None


def test_only_owners_delete_and_restore(alice: Person, bob: Person, charlie: Person, site: Site) -> None:
    assert bob.client.get(f"/visits/sites/{site.id}/delete").status_code == 403
    assert delete(bob, site) == 403
    assert "Only owners" in bob.client.get(f"/visits/sites/{site.id}/settings").text
    assert delete(charlie, site) == 404
    assert delete(alice, site) == 303
    restore = f"/visits/sites/{site.id}/restore"
    assert (bob.client.post(restore).status_code, charlie.client.post(restore).status_code) == (403, 404)
    assert alice.client.post(restore).status_code == 303


def test_the_last_one_leaves_the_form_for_a_new_one_and_the_way_back(alice: Person, site: Site) -> None:
    assert delete(alice, site) == 303
    empty = alice.client.get("/visits").text
    assert "See who visits your website" in empty
    assert "/visits/sites/deleted" in empty
    listed = alice.client.get("/visits/sites/deleted").text
    assert "Restore Shop" in listed
    assert "Alice" in listed
    assert alice.client.get("/").status_code == 200


def test_of_several_it_vanishes_from_the_list(app: APIFlask, alice: Person, site: Site) -> None:
    others = [add_site(app, alice.organisation_id, f"https://other{number}.example") for number in range(2)]
    assert delete(alice, site) == 303
    page = alice.client.get("/visits").text
    assert str(site.id) not in page
    assert all(str(other.id) in page for other in others)
    assert "/visits/sites/deleted" in page


@pytest.mark.parametrize(
    "path", ["/visits?site={0}", "/visits/sites/{0}", "/visits/sites/{0}/settings", "/visits/sites/{0}/goals",
             "/visits/now?site={0}", "/visits/sites/{0}/delete", "/visits/sites/{0}/links"],
)  # fmt: skip
def test_its_pages_are_gone(app: APIFlask, alice: Person, site: Site, path: str) -> None:
    add_site(app, alice.organisation_id)
    assert delete(alice, site) == 303
    assert alice.client.get(path.format(site.id)).status_code == 404


def test_its_shared_links_show_nothing_until_it_is_back(app: APIFlask, alice: Person, site: Site) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        secret = share(site, "Board", []).secret
        db.session.commit()
    assert app.test_client().get(f"/shared/{secret}").status_code == 200
    delete(alice, site)
    assert app.test_client().get(f"/shared/{secret}").status_code == 404
    alice.client.post(f"/visits/sites/{site.id}/restore")
    assert app.test_client().get(f"/shared/{secret}").status_code == 200


def test_it_comes_back_with_all_that_was_counted(app: APIFlask, alice: Person, site: Site, services: Settings) -> None:
    fill(app, services, site)
    before = alice.client.get(f"/visits?site={site.id}").text
    delete(alice, site)
    alice.client.post(f"/visits/sites/{site.id}/restore")
    assert "Restore" not in alice.client.get("/visits/sites/deleted").text
    after = alice.client.get(f"/visits?site={site.id}").text
    assert "/own" in before
    assert "/own" in after


def test_what_is_being_removed_does_not_come_back(alice: Person, site: Site, services: Settings, app: APIFlask) -> None:
    delete_long_ago(services, site)
    with app.app_context(), tenant(site.organisation_id):
        assert close_site(driver_connection(), Erased(site.organisation_id, site.id), utc_now(), utc_now())
        db.session.commit()
    assert alice.client.post(f"/visits/sites/{site.id}/restore").status_code == 404
    assert "Restore" not in alice.client.get("/visits/sites/deleted").text
