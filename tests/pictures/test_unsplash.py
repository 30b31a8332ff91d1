"""The client against a local server that answers as Unsplash does, on good days and on bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.pictures.unsplash_server import (
    DOWNLOAD,
    IMAGE,
    JSON,
    KEY,
    PHOTO_ID,
    RANDOM,
    RATE_LIMIT_EXCEEDED,
    Answer,
    Unsplash,
)
from webapp.config import Settings, settings_from
from webapp.jobs.kinds import PermanentError, PostponedError
from webapp.lib.clock import utc_now
from webapp.pictures import fetching
from webapp.pictures import unsplash as client
from webapp.pictures.fetching import FetchError
from webapp.pictures.unsplash import download, find_photo, report_download, with_referral

NOW = datetime(2026, 3, 1, 10, 20, 30, tzinfo=UTC)


@pytest.fixture
def settings(unsplash: Unsplash, tmp_path: Path) -> Settings:
    environment = {
        "DATA_DIR": str(tmp_path),
        "UNSPLASH_URL": unsplash.url,
        "UNSPLASH_ACCESS_KEY": KEY,
        "UNSPLASH_APP_NAME": "acme desk",
    }
    return settings_from(environment)


def plan(unsplash: Unsplash, path: str, *answers: Answer) -> None:
    unsplash.next_answers[path] = list(answers)


def plan_photo(unsplash: Unsplash, **changes: Any) -> None:
    plan(unsplash, RANDOM, Answer(200, JSON, json.dumps(unsplash.photo(**changes)).encode()))


def test_a_photo_is_asked_for_as_unsplash_wants_to_be_asked(unsplash: Unsplash, settings: Settings) -> None:
    find_photo(settings, "red shoe & box")
    (asked,) = unsplash.asked
    assert (asked.path, asked.query) == ("/photos/random", {"query": ["red shoe & box"]})
    assert asked.headers["authorization"] == f"Client-ID {KEY}"
    assert asked.headers["accept-version"] == "v1"


def test_a_photo_comes_with_its_author_and_links_that_say_who_sent_them(unsplash: Unsplash, settings: Settings) -> None:
    photo = find_photo(settings, "shoe")
    assert (photo.id, photo.description, photo.author_name) == (PHOTO_ID, "a pair of red running shoes", "Annie Spratt")
    referral = "utm_source=acme+desk&utm_medium=referral"
    assert photo.author_url == f"https://unsplash.com/@anniespratt?{referral}"
    assert photo.page_url == f"https://unsplash.com/photos/{PHOTO_ID}?{referral}"


def test_a_link_keeps_what_it_asked_for_and_names_one_sender() -> None:
    url = with_referral("https://unsplash.com/x?a=1&utm_source=api#part", "footfall")
    assert url == "https://unsplash.com/x?a=1&utm_source=footfall&utm_medium=referral#part"


def test_the_use_is_reported_to_the_api_with_the_key_and_all_that_the_address_said(
    unsplash: Unsplash, settings: Settings
) -> None:
    report_download(settings, find_photo(settings, "shoe"))
    asked = unsplash.asked[-1]
    assert (asked.path, asked.query) == (DOWNLOAD, {"ixid": ["MnwxMTc4"]})
    assert asked.headers["authorization"] == f"Client-ID {KEY}"


def test_the_file_is_fetched_once_and_without_the_key(unsplash: Unsplash, settings: Settings) -> None:
    assert download(settings, find_photo(settings, "shoe")) == unsplash.image
    asked = unsplash.asked[-1]
    assert unsplash.paths() == [RANDOM, IMAGE]
    assert asked.query == {"w": ["1080"], "fm": ["jpg"]}
    assert "authorization" not in asked.headers


def test_a_netrc_takes_no_keys_place(
    unsplash: Unsplash, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    download(settings, find_photo(settings, "shoe"))
    assert [asked.headers.get("authorization") for asked in unsplash.asked] == [f"Client-ID {KEY}", None]


def test_a_word_without_a_picture_is_said_and_not_tried_again(unsplash: Unsplash, settings: Settings) -> None:
    plan(unsplash, RANDOM, Answer(404, JSON, b'{"errors": ["No photos found."]}'))
    with pytest.raises(PermanentError, match=r"no picture for “qwxz”\. Try another word"):
        find_photo(settings, "qwxz")


def test_a_wrong_key_is_said_and_not_tried_again(unsplash: Unsplash, settings: Settings) -> None:
    with pytest.raises(PermanentError, match="check UNSPLASH_ACCESS_KEY"):
        find_photo(replace(settings, unsplash_access_key="another"), "shoe")


def test_a_key_without_rights_is_not_taken_for_a_spent_one(unsplash: Unsplash, settings: Settings) -> None:
    plan(unsplash, RANDOM, Answer(403, JSON, b'{"errors": ["Missing scope"]}'))
    with pytest.raises(PermanentError, match="Missing scope"):
        find_photo(settings, "shoe")


SPENT = {
    "said in the body": Answer(403, {}, RATE_LIMIT_EXCEEDED),
    "said in a header": Answer(403, {"X-Ratelimit-Remaining": "0"}, b'{"errors": []}'),
    "said by the status": Answer(429, {}, b""),
}


@pytest.mark.parametrize("name", SPENT)
def test_a_spent_hour_puts_the_job_off_until_the_next_one(
    name: str, unsplash: Unsplash, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "utc_now", lambda: NOW)
    plan(unsplash, RANDOM, SPENT[name])
    with pytest.raises(PostponedError, match="hourly limit of Unsplash is reached") as caught:
        find_photo(settings, "shoe")
    assert caught.value.until == datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("Sun, 01 Mar 2026 10:50:30 GMT", timedelta(minutes=30)),
        ("0", timedelta(minutes=1)),
        ("Sun, 01 Mar 2020 10:50:30 GMT", timedelta(minutes=1)),
        ("99999999999999999999", timedelta(days=1)),
        ("soon", timedelta(minutes=39, seconds=30)),
        ("-5", timedelta(minutes=39, seconds=30)),
    ],
)
def test_a_spent_hour_that_says_when_it_ends_is_believed_within_reason(
    retry_after: str, wait: timedelta, unsplash: Unsplash, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "utc_now", lambda: NOW)
    plan(unsplash, RANDOM, Answer(403, {"Retry-After": retry_after}, RATE_LIMIT_EXCEEDED))
    with pytest.raises(PostponedError) as caught:
        find_photo(settings, "shoe")
    assert caught.value.until == NOW + wait


def test_a_spent_hour_is_noticed_when_the_use_is_reported_too(unsplash: Unsplash, settings: Settings) -> None:
    photo = find_photo(settings, "shoe")
    plan(unsplash, DOWNLOAD, Answer(403, {}, RATE_LIMIT_EXCEEDED))
    with pytest.raises(PostponedError) as caught:
        report_download(settings, photo)
    assert caught.value.until > utc_now()


BAD_DAYS: dict[str, tuple[Answer, str]] = {
    "a server that fails": (Answer(500, {}, b"Oops"), "answered 500: Oops"),
    "a server that is away": (Answer(503), "answered 503"),
    "a way to another place": (Answer(302, {"Location": "https://elsewhere.example"}), "answered 302"),
    "broken json": (Answer(200, JSON, b'{"id": "x", "urls"'), "could not be read"),
    "no utf-8": (Answer(200, JSON, b'{"id": "\xff"}'), "could not be read"),
    "no json": (Answer(200, {}, b"<!doctype html><title>Sign in</title>"), "could not be read"),
    "another shape": (Answer(200, JSON, b"[]"), "could not be read"),
    "nothing": (Answer(200, JSON, b""), "could not be read"),
    "half an answer": (Answer(200, JSON, b'{"id":', missing=100), "broke off in the middle"),
    "no end": (Answer(200, JSON, b" " * (client.ANSWER_LIMIT_BYTES + 1)), "larger than 1 MB"),
}


@pytest.mark.parametrize("name", BAD_DAYS)
def test_what_may_pass_is_an_ordinary_error_in_plain_words(name: str, unsplash: Unsplash, settings: Settings) -> None:
    answer, words = BAD_DAYS[name]
    plan(unsplash, RANDOM, answer)
    with pytest.raises(FetchError, match=words):
        find_photo(settings, "shoe")
    assert find_photo(settings, "shoe").id == PHOTO_ID


def test_a_silent_server_is_not_waited_for_without_end(
    unsplash: Unsplash, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "READ_SECONDS", 0.1)
    plan(unsplash, RANDOM, Answer(hang=True))
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 did not answer in time"):
        find_photo(settings, "shoe")


def test_a_server_that_sends_a_byte_now_and_then_is_not_either(
    unsplash: Unsplash, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = find_photo(settings, "shoe")
    monkeypatch.setattr(fetching, "WHOLE_SECONDS", 0.2)
    plan(unsplash, IMAGE, Answer(200, {}, b"x" * 10_000, pause=0.02))
    with pytest.raises(FetchError, match="had not come whole"):
        download(settings, photo)


def test_a_server_that_is_not_there_is_said_so(settings: Settings) -> None:
    with pytest.raises(FetchError, match="could not be reached"):
        find_photo(replace(settings, unsplash_url="http://127.0.0.1:1"), "shoe")


def without(photo: dict[str, Any], *path: str) -> dict[str, Any]:
    """The photo without one of its members."""
    copy: dict[str, Any] = json.loads(json.dumps(photo))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return copy


@pytest.mark.parametrize(
    "path", [("id",), ("urls", "regular"), ("links", "download_location"), ("user", "name"), ("user", "links", "html")]
)
def test_a_photo_that_lacks_what_is_needed_is_not_taken(
    path: tuple[str, ...], unsplash: Unsplash, settings: Settings
) -> None:
    plan(unsplash, RANDOM, Answer(200, JSON, json.dumps(without(unsplash.photo(), *path)).encode()))
    with pytest.raises(FetchError, match="could not be read"):
        find_photo(settings, "shoe")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://unsplash.com/@annie",
        "//unsplash.com",
        "https://",
        "https://[",
        "https://x/\x00",
        "https://x/" + "y" * 5_000,
    ],
    ids=["script", "http", "no scheme", "no host", "no address", "no letter", "no end"],
)
def test_an_authors_page_is_on_the_web_or_the_photo_is_not_taken(
    url: str, unsplash: Unsplash, settings: Settings
) -> None:
    plan_photo(unsplash, user={"name": "Annie", "links": {"html": url}})
    with pytest.raises(FetchError, match="named an address that"):
        find_photo(settings, "shoe")


def test_texts_from_outside_become_one_line_that_can_be_stored(unsplash: Unsplash, settings: Settings) -> None:
    author = {"name": " Annie\n\x00 Spratt ", "links": {"html": "https://unsplash.com/@annie"}}
    plan_photo(unsplash, alt_description="shoe " * 500, user=author)
    photo = find_photo(settings, "shoe")
    assert photo.author_name == "Annie Spratt"
    assert photo.description is not None
    assert len(photo.description) == client.TEXT_LIMIT


def test_the_owners_description_stands_in_for_a_missing_one(unsplash: Unsplash, settings: Settings) -> None:
    plan_photo(unsplash, alt_description=None, description="My shoes")
    assert find_photo(settings, "shoe").description == "My shoes"


# The file -----------------------------------------------------------------------------------------


def image_at(unsplash: Unsplash, settings: Settings, *answers: Answer) -> Callable[[], bytes]:
    photo = find_photo(settings, "shoe")
    plan(unsplash, IMAGE, *answers)
    return lambda: download(settings, photo)


def moved(location: str) -> Answer:
    return Answer(302, {"Location": location})


def test_a_file_that_moved_is_followed(unsplash: Unsplash, settings: Settings) -> None:
    fetch = image_at(unsplash, settings, moved(f"{IMAGE}?again"), moved(f"{unsplash.url}{IMAGE}"))
    assert fetch() == unsplash.image


def test_a_file_that_moves_on_and_on_is_given_up(unsplash: Unsplash, settings: Settings) -> None:
    fetch = image_at(unsplash, settings, *[moved(IMAGE)] * 10)
    with pytest.raises(FetchError, match="without an end"):
        fetch()
    assert unsplash.paths().count(IMAGE) == client.REDIRECT_LIMIT + 1


@pytest.mark.parametrize("location", ["http://192.168.0.1/admin", "file:///etc/passwd", "ftp://x.example/y", "//[", ""])
def test_a_file_that_moved_to_where_nobody_goes_is_not_followed(
    location: str, unsplash: Unsplash, settings: Settings
) -> None:
    fetch = image_at(unsplash, settings, *[moved(location)] * 10)
    with pytest.raises(FetchError):
        fetch()


def test_an_api_on_the_web_cannot_send_us_to_this_machine(unsplash: Unsplash, settings: Settings) -> None:
    photo = find_photo(settings, "shoe")
    with pytest.raises(FetchError, match="not followed"):
        download(replace(settings, unsplash_url="https://api.unsplash.com"), photo)
    assert unsplash.paths() == [RANDOM]


def test_the_way_to_another_place_is_not_read_without_end_either(unsplash: Unsplash, settings: Settings) -> None:
    endless = Answer(302, {"Location": IMAGE}, bytes(client.PICTURE_LIMIT_BYTES + 1))
    with pytest.raises(FetchError, match="larger than 25 MB"):
        image_at(unsplash, settings, endless)()


def test_a_file_that_is_too_large_is_not_read_to_its_end(unsplash: Unsplash, settings: Settings) -> None:
    fetch = image_at(unsplash, settings, Answer(200, {}, bytes(client.PICTURE_LIMIT_BYTES + 1)))
    with pytest.raises(FetchError, match="larger than 25 MB"):
        fetch()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(404), "answered 404 when its picture was fetched"),
        (Answer(503), "answered 503 when its picture was fetched"),
        (Answer(200, {}, b"\xff\xd8\xff", missing=5_000), "broke off in the middle"),
    ],
    ids=["gone", "away", "truncated"],
)
def test_a_file_that_does_not_come_is_an_ordinary_error(
    answer: Answer, words: str, unsplash: Unsplash, settings: Settings
) -> None:
    with pytest.raises(FetchError, match=words):
        image_at(unsplash, settings, answer)()
