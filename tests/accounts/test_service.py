"""People, organisations and invitations, below the HTTP layer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from webapp.accounts import queries, service
from webapp.accounts.identity import Identity, organisation_name_for, slug_for
from webapp.accounts.models import Role
from webapp.extensions import db, tenant
from webapp.lib.paths import own_path

DANA = Identity("https://issuer.example", "7", "dana@acme.example", True, "Dana")


def names_of_places(identity: Identity) -> list[str]:
    user = service.sign_in(identity)
    db.session.commit()
    return [place.organisation.name for place in queries.list_places(user.id)]


def test_a_person_is_known_by_issuer_and_subject_not_by_address(app_context: APIFlask) -> None:
    first = service.sign_in(DANA)
    renamed = service.sign_in(replace(DANA, email="dana@new.example", name="Dana D."))
    other = service.sign_in(replace(DANA, issuer="https://other.example"))
    assert first.id == renamed.id != other.id
    assert (renamed.email, renamed.name) == ("dana@new.example", "Dana D.")


def test_an_unverified_address_accepts_no_invitation(app_context: APIFlask) -> None:
    organisation = service.create_organisation("Acme")
    service.invite(organisation.id, "dana@acme.example")
    assert names_of_places(replace(DANA, email_is_verified=False, name="Dana")) == ["Acme"]
    assert len(queries.list_open_invitations("dana@acme.example")) == 1


def test_every_open_invitation_is_accepted_at_once_and_once(app_context: APIFlask) -> None:
    for name in ("First", "Second"):
        service.invite(service.create_organisation(name).id, "Dana@Acme.example", Role.MEMBER)
    assert names_of_places(DANA) == ["First", "Second"]
    assert names_of_places(replace(DANA, subject="8")) == ["Acme"]


def test_a_later_invitation_moves_nobody(app_context: APIFlask) -> None:
    assert names_of_places(DANA) == ["Acme"]
    service.invite(service.create_organisation("AAA Strangers").id, DANA.email)
    assert names_of_places(DANA) == ["Acme"]


def test_a_later_invitation_waits_for_an_answer(app_context: APIFlask) -> None:
    user = service.sign_in(DANA)
    other = service.create_organisation("Other")
    service.invite(other.id, DANA.email, Role.OWNER)
    received = queries.list_received_invitations(user)
    assert [(one.organisation.name, one.inviter) for one in received] == [("Other", None)]
    assert service.accept_invitation(user, received[0].invitation)
    assert not service.accept_invitation(user, received[0].invitation)
    assert [place.organisation.name for place in queries.list_places(user.id)] == ["Acme", "Other"]
    assert queries.list_received_invitations(user) == []


def test_an_unverified_address_is_shown_no_invitation(app_context: APIFlask) -> None:
    user = service.sign_in(replace(DANA, email_is_verified=False))
    service.invite(service.create_organisation("Other").id, DANA.email)
    assert queries.list_received_invitations(user) == []


def test_a_member_is_not_invited_to_where_they_are(app_context: APIFlask) -> None:
    user = service.sign_in(DANA)
    service.invite(queries.list_places(user.id)[0].organisation.id, DANA.email)
    assert queries.list_received_invitations(user) == []


def test_a_declined_invitation_is_gone(app_context: APIFlask) -> None:
    user = service.sign_in(DANA)
    service.invite(service.create_organisation("Other").id, DANA.email)
    invitation = queries.list_received_invitations(user)[0].invitation
    assert service.decline_invitation(invitation)
    assert queries.list_received_invitations(user) == []
    assert len(queries.list_places(user.id)) == 1


def test_inviting_again_opens_the_place_again(app_context: APIFlask) -> None:
    organisation = service.create_organisation("First")
    for _ in range(2):
        service.invite(organisation.id, "dana@acme.example")
    service.sign_in(DANA)
    assert queries.list_open_invitations("dana@acme.example") == []
    service.invite(organisation.id, "dana@acme.example", Role.OWNER)
    assert [invitation.role for invitation in queries.list_open_invitations("dana@acme.example")] == [Role.OWNER]


def test_an_invitation_does_not_change_the_role_of_a_member(app_context: APIFlask) -> None:
    user = service.sign_in(DANA)
    place = queries.list_places(user.id)[0]
    service.invite(place.organisation.id, DANA.email, Role.MEMBER)
    service.sign_in(DANA)
    assert [place.membership.role for place in queries.list_places(user.id)] == [Role.OWNER]


def test_the_last_owner_stays(app_context: APIFlask, alice: Person, bob: Person) -> None:
    with tenant(alice.organisation_id):
        with pytest.raises(service.LastOwnerError):
            service.remove_member(alice.organisation_id, alice.user_id)
        assert service.remove_member(alice.organisation_id, bob.user_id)
        assert not service.remove_member(alice.organisation_id, bob.user_id)


@pytest.mark.parametrize("name", ["", " \n ", "x" * 101])
def test_a_key_needs_a_name(app_context: APIFlask, alice: Person, name: str) -> None:
    with pytest.raises(service.BadApiKeyNameError):
        service.create_api_key(alice.organisation_id, name)


def test_a_keys_name_is_one_line(app_context: APIFlask, alice: Person) -> None:
    assert service.create_api_key(alice.organisation_id, " web \n shop ")[0].name == "web shop"


def test_slugs_stay_unique_however_often_a_name_comes(app_context: APIFlask) -> None:
    slugs = {service.create_organisation("Acme").slug for _ in range(102)}
    assert len(slugs) == 102
    assert {"acme", "acme-2", "acme-99"} <= slugs


@pytest.mark.parametrize(
    ("email", "name"),
    [
        ("dana@acme.example", "Acme"),
        ("dana@blue-sky.co.uk", "Blue Sky"),
        ("dana@GMAIL.com", "Dana's organisation"),
        ("dana", "Dana's organisation"),
    ],
)
def test_a_first_organisation_is_named_after_the_domain_or_the_person(email: str, name: str) -> None:
    assert organisation_name_for(replace(DANA, email=email)) == name


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Blue Sky", "blue-sky"), ("Zoë & Söhne", "zoe-sohne"), ("株式会社", "organisation"), ("x" * 80, "x" * 40)],
)
def test_a_slug_is_plain(name: str, slug: str) -> None:
    assert slug_for(name) == slug


@pytest.mark.parametrize(
    "wanted",
    ["https://a.example", "//a.example", "/\\a.example", "\\/a", "a", "", None, 7, "/\n/a", "/%0a\t", "///a.example"],
)
def test_only_own_paths_are_followed(wanted: object) -> None:
    assert own_path(wanted) == "/"


@pytest.mark.parametrize("wanted", ["/", "/contacts?q=a%20b", "/jobs/7#x", "/a:b"])
def test_own_paths_stay_as_they_are(wanted: str) -> None:
    assert own_path(wanted) == wanted
