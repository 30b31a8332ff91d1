"""A picture's page and files, for members of its organisation and their programs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from uuid import UUID

import pytest
from apiflask import APIFlask
from PIL import Image

from tests.conftest import Person
from tests.contacts.test_api import Program, assert_problem, body_of, program_of
from tests.jobs.support import reread
from tests.pictures.support import picture_of, search, stored_files
from tests.pictures.unsplash_server import PHOTO_ID, Unsplash
from webapp.extensions import db
from webapp.jobs.models import Job
from webapp.pictures.models import Picture

REFERRAL = "utm_source=footfall&utm_medium=referral"


@dataclass(frozen=True)
class Found:
    """A kept picture of alice's organisation, and where it is."""

    job: Job
    picture: Picture

    @property
    def url(self) -> str:
        return f"/pictures/{self.picture.id}"

    @property
    def api_url(self) -> str:
        return f"/api/v1{self.url}"


@pytest.fixture
def found(organisation: UUID) -> Found:
    job = search(organisation, "red <shoe>")
    picture = picture_of(job)
    db.session.expunge(picture)
    return Found(job, picture)


@pytest.fixture
def program(app: APIFlask, found: Found, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/image", "/thumbnail"])
def test_a_members_browser_gets_a_file_once_and_for_good(path: str, found: Found, bob: Person) -> None:
    answer = bob.client.get(found.url + path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.content_length == len(answer.data)
    again = bob.client.get(found.url + path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == answer.headers["Cache-Control"]


def test_the_image_is_the_very_file_and_the_thumbnail_a_small_one(
    found: Found, alice: Person, unsplash: Unsplash
) -> None:
    image, thumbnail = alice.client.get(f"{found.url}/image"), alice.client.get(f"{found.url}/thumbnail")
    assert (image.content_type, image.data) == ("image/jpeg", unsplash.image)
    assert thumbnail.content_type == "image/webp"
    with Image.open(BytesIO(thumbnail.data)) as small:
        assert small.size == (320, 213)
    assert image.headers["ETag"] != thumbnail.headers["ETag"]


def test_an_etag_that_is_not_this_files_gets_the_file(found: Found, alice: Person) -> None:
    assert alice.client.get(f"{found.url}/image", headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize("path", ["/image", "/thumbnail"])
def test_a_file_may_do_nothing_of_its_own_in_a_browser(path: str, found: Found, alice: Person) -> None:
    headers = alice.client.get(found.url + path).headers
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/image", "/thumbnail"])
def test_only_the_headers_can_be_asked_for(path: str, found: Found, alice: Person) -> None:
    answer = alice.client.head(found.url + path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert (answer.content_length or 0) > 0


@pytest.mark.parametrize("path", ["", "/image", "/thumbnail"])
def test_another_organisation_finds_nothing(path: str, found: Found, charlie: Person) -> None:
    assert charlie.client.get(found.url + path).status_code == 404


def test_an_etag_opens_nothing_to_another_organisation(found: Found, charlie: Person) -> None:
    headers = {"If-None-Match": f'"{found.picture.sha256}"'}
    assert charlie.client.get(f"{found.url}/image", headers=headers).status_code == 404


def test_a_lost_file_is_said_in_words(found: Found, alice: Person) -> None:
    for path in stored_files().values():
        path.unlink()
    answer = alice.client.get(f"{found.url}/image")
    assert answer.status_code == 404
    assert "no longer kept" in answer.text


def test_looking_at_pictures_never_asks_unsplash(found: Found, alice: Person, unsplash: Unsplash) -> None:
    asked_count = len(unsplash.asked)
    for path in ("", "/image", "/thumbnail"):
        alice.client.get(found.url + path)
    assert len(unsplash.asked) == asked_count


# The page -----------------------------------------------------------------------------------------


def test_the_page_shows_the_picture_with_both_links_of_its_credit(found: Found, alice: Person) -> None:
    page = alice.client.get(found.url)
    assert page.status_code == 200
    credit = re.search(r"<figcaption.*?</figcaption>", page.text, re.DOTALL)
    assert credit
    words = " ".join(re.sub(r"<[^>]+>", "", credit[0]).split())
    assert words == "Photo by Annie Spratt on Unsplash"
    author, source = re.findall(r'<a href="([^"]+)" rel="noopener"', credit[0])
    assert author == f"https://unsplash.com/@anniespratt?{REFERRAL}".replace("&", "&amp;")
    assert source == f"https://unsplash.com/photos/{PHOTO_ID}?{REFERRAL}".replace("&", "&amp;")


def test_the_page_says_what_is_known_and_which_job_found_it(found: Found, alice: Person) -> None:
    page = alice.client.get(found.url).text
    assert "Picture for “red &lt;shoe&gt;”" in page
    assert "<shoe>" not in page
    assert "1,080 × 720 pixels" in page
    assert f'href="/jobs/{found.job.id}"' in page
    assert 'alt="a pair of red running shoes"' in page


def test_every_picture_on_the_page_comes_from_here(found: Found, alice: Person) -> None:
    sources = re.findall(r'<img[^>]* src="([^"]+)"', alice.client.get(found.url).text)
    assert f"{found.url}/image" in sources
    assert all(source.startswith("/") for source in sources)


def test_the_page_outlives_its_job(found: Found, alice: Person) -> None:
    db.session.delete(reread(found.job))
    db.session.commit()
    page = alice.client.get(found.url)
    assert page.status_code == 200
    assert "/jobs/" not in page.text


# Programs -----------------------------------------------------------------------------------------


def test_a_program_reads_a_picture_its_credit_and_where_its_files_are(found: Found, program: Program) -> None:
    picture = body_of(program.call("GET", found.api_url))
    assert picture["id"] == str(found.picture.id)
    assert picture["job_id"] == str(found.job.id)
    assert (picture["search_word"], picture["description"]) == ("red <shoe>", "a pair of red running shoes")
    assert (picture["width"], picture["height"], picture["content_type"]) == (1080, 720, "image/jpeg")
    assert (picture["thumbnail_width"], picture["thumbnail_height"]) == (320, 213)
    assert picture["credit"] == {
        "text": "Photo by Annie Spratt on Unsplash",
        "author_name": "Annie Spratt",
        "author_url": f"https://unsplash.com/@anniespratt?{REFERRAL}",
        "source_name": "Unsplash",
        "source_url": f"https://unsplash.com/photos/{PHOTO_ID}?{REFERRAL}",
    }


def test_a_program_gets_the_files_where_the_answer_points(found: Found, program: Program, unsplash: Unsplash) -> None:
    picture = body_of(program.call("GET", found.api_url))
    image, small = program.call("GET", picture["image_url"]), program.call("GET", picture["thumbnail_url"])
    assert (image.content_type, image.data) == ("image/jpeg", unsplash.image)
    assert (small.content_type, small.status_code) == ("image/webp", 200)


@pytest.mark.parametrize("path", ["", "/image", "/thumbnail"])
def test_another_organisations_program_finds_nothing(path: str, app: APIFlask, found: Found, charlie: Person) -> None:
    answer = program_of(app, charlie.organisation_id).call("GET", found.api_url + path)
    assert_problem(answer, 404, "Picture not found")


def test_a_lost_file_is_a_problem_for_a_program(found: Found, program: Program) -> None:
    for path in stored_files().values():
        path.unlink()
    assert_problem(program.call("GET", f"{found.api_url}/image"), 404, "File not found")
