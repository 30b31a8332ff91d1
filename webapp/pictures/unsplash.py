"""Unsplash's API, as far as a picture needs it: find one, fetch it, report its use.

Its answers may take a minute: call nothing here inside a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit

import msgspec

from webapp.config import LOOPBACK_NAMES, Settings
from webapp.jobs.kinds import PermanentError, PostponedError
from webapp.lib.clock import utc_now
from webapp.pictures.fetching import Answer, FetchError, fetch

ANSWER_LIMIT_BYTES = 1024**2
PICTURE_LIMIT_BYTES = 25 * 1024**2
REDIRECT_LIMIT = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = {"Accept-Version": "v1", "Accept": "application/json"}
TEXT_LIMIT = 500
URL_LIMIT = 4_096
SHORTEST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=1)

KEY_REFUSED = (
    "Unsplash does not accept the access key. Whoever runs this installation: check UNSPLASH_ACCESS_KEY"
    " against unsplash.com/oauth/applications, and restart."
)


class UnsplashError(FetchError):
    """Unsplash said something that is of no use; another try may find it better, or find another picture."""


@dataclass(frozen=True)
class Photo:
    """A photo as Unsplash describes it; the addresses of people's pages name us as the way they came."""

    id: str
    image_url: str
    download_url: str
    description: str | None
    author_name: str
    author_url: str
    page_url: str


class _Urls(msgspec.Struct):
    regular: str


class _Links(msgspec.Struct):
    html: str
    download_location: str


class _AuthorLinks(msgspec.Struct):
    html: str


class _Author(msgspec.Struct):
    name: str
    links: _AuthorLinks


class _Found(msgspec.Struct):
    id: str
    urls: _Urls
    links: _Links
    user: _Author
    description: str | None = None
    alt_description: str | None = None


def find_photo(settings: Settings, word: str) -> Photo:
    """A random photo for a search word.

    Raises PermanentError when there is none or the key is refused, PostponedError when the hour's requests are
    spent, FetchError for whatever may pass.
    """
    answer = _ask(settings, f"/photos/random?{urlencode({'query': word})}")
    if answer.status == 404:
        raise PermanentError(f"Unsplash has no picture for “{word}”. Try another word.")
    _check(answer)
    try:
        found = msgspec.json.decode(answer.body, type=_Found)
    except ValueError as error:  # msgspec's own, or of bytes that are no UTF-8
        raise UnsplashError(f"Unsplash's answer could not be read: {error}") from error
    return _photo(settings, found)


def report_download(settings: Settings, photo: Photo) -> None:
    """Tell Unsplash that the photo is used, which counts for its author. Raises as `find_photo`."""
    place = _parts(photo.download_url)
    _check(_ask(settings, f"{place.path}?{place.query}"))  # the key goes to the API, wherever this points


def download(settings: Settings, photo: Photo) -> bytes:
    """The photo's file, unchecked; raises FetchError, also when it is too large."""
    url = photo.image_url
    for _ in range(REDIRECT_LIMIT + 1):
        answer = fetch(_allowed(settings, url), PICTURE_LIMIT_BYTES, {})
        if answer.status == 200:
            return answer.body
        if answer.status not in REDIRECTS:
            raise UnsplashError(f"Unsplash answered {answer.status} when its picture was fetched.")
        url = urljoin(url, _parts(answer.headers.get("Location", "")).geturl())
    raise UnsplashError("Unsplash sent us from one address of its picture to the next, without an end.")


def _photo(settings: Settings, found: _Found) -> Photo:
    return Photo(
        id=_plain(found.id),
        image_url=found.urls.regular,
        download_url=found.links.download_location,
        description=_plain(found.alt_description or found.description or "") or None,
        author_name=_plain(found.user.name) or "an unnamed author",
        author_url=with_referral(_allowed(settings, found.user.links.html), settings.unsplash_app_name),
        page_url=with_referral(_allowed(settings, found.links.html), settings.unsplash_app_name),
    )


def with_referral(url: str, app_name: str) -> str:
    """A link back to Unsplash as it wants it: saying who sent the visitor."""
    parts = _parts(url)
    others = [(name, value) for name, value in parse_qsl(parts.query) if not name.startswith("utm_")]
    return parts._replace(query=urlencode([*others, ("utm_source", app_name), ("utm_medium", "referral")])).geturl()


def _plain(text: str) -> str:
    """One line of a text from outside, of a length that a page can show, without what no text may hold."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:TEXT_LIMIT]


def _allowed(settings: Settings, url: str) -> str:
    """The address, if it is Unsplash's; raises UnsplashError. Only an API on this machine may point to this machine:
    whoever forges an answer shall not have us look around in the network that we live in."""
    parts = _parts(url)
    is_at_home = parts.hostname in LOOPBACK_NAMES and _parts(settings.unsplash_url).hostname in LOOPBACK_NAMES
    is_unsplash = parts.scheme == "https" and f".{parts.hostname}".endswith(".unsplash.com")
    if not is_unsplash and not (parts.scheme in {"http", "https"} and is_at_home):
        raise UnsplashError(f"Unsplash named an address that is not followed: {_plain(url)}")
    return url


def _parts(url: str) -> SplitResult:
    if len(url) > URL_LIMIT or not url.isprintable():
        raise UnsplashError(f"Unsplash named an address that no address can be: {_plain(url)}")
    try:
        return urlsplit(url)
    except ValueError as error:
        raise UnsplashError(f"Unsplash named an address that cannot be read: {_plain(url)}") from error


def _ask(settings: Settings, path: str) -> Answer:
    headers = {**HEADERS, "Authorization": f"Client-ID {settings.unsplash_access_key}"}
    return fetch(settings.unsplash_url + path, ANSWER_LIMIT_BYTES, headers)


def _check(answer: Answer) -> None:
    """Raise what an answer of the API other than 200 means for the job."""
    if answer.status == 200:
        return
    if answer.status == 401:
        raise PermanentError(KEY_REFUSED)
    if answer.status == 429 or (answer.status == 403 and _is_spent(answer)):
        raise PostponedError(_open_again_at(answer, utc_now()), "The hourly limit of Unsplash is reached.")
    if answer.status == 403:
        raise PermanentError(f"Unsplash refuses this: {_words(answer)}. {KEY_REFUSED}")
    raise UnsplashError(f"Unsplash answered {answer.status}: {_words(answer)}")


def _is_spent(answer: Answer) -> bool:
    return answer.headers.get("X-Ratelimit-Remaining") == "0" or b"rate limit exceeded" in answer.body.lower()


def _open_again_at(answer: Answer, now: datetime) -> datetime:
    """When Unsplash answers again: as it says, or else when its hour is over."""
    until = _retry_after(answer.headers.get("Retry-After", ""), now)
    if until is None:
        until = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return min(max(until, now + SHORTEST_WAIT), now + LONGEST_WAIT)


def _retry_after(text: str, now: datetime) -> datetime | None:
    """The header's seconds or date (RFC 9110); None when it says neither."""
    if text.isdecimal():
        return now + timedelta(seconds=min(int(text), LONGEST_WAIT.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _words(answer: Answer) -> str:
    return _plain(answer.body[:TEXT_LIMIT].decode("utf-8", "replace")) or "no words"
