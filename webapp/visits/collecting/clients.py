"""What a user agent tells: the kind of device, browser and system, and whether it is a program. Pure, and remembered.

Browsers are few and beacons many, so each user agent is looked at once while it is in use.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from crawleruseragents import is_crawler
from ua_parser import parse

REMEMBERED = 20_000
LENGTH_LIMIT = 512
"""Browsers' own texts are shorter; what stands behind would only cost time."""

DESKTOP, MOBILE, TABLET, TV, OTHER = "desktop", "mobile", "tablet", "tv", "other"
TV_MARKS = (
    "SMART-TV", "SmartTV", "Smart-TV", "AppleTV", "Apple TV", "GoogleTV", "Android TV", "HbbTV", "NetCast", "BRAVIA",
    "AFTB", "AFTS", "AFTM", "AFTT", "Roku", "CrKey", "Web0S", "webOS.TV", "VIDAA",
)  # fmt: skip
TABLET_MARKS = ("iPad", "Tablet", "PlayBook", "Kindle", "Silk/")
MOBILE_MARKS = ("iPhone", "iPod", "Mobile", "Windows Phone", "Opera Mini")
OTHER_MARKS = ("PlayStation", "Xbox", "Nintendo", "Oculus", "Quest")
DESKTOP_MARKS = ("Windows", "Macintosh", "X11", "CrOS", "Linux")


class Client(NamedTuple):
    """A browser, as far as it says what it is; a text that is not known is ''."""

    device: str
    browser: str
    system: str
    is_bot: bool


UNKNOWN = Client("", "", "", False)


def client_of(user_agent: bytes) -> Client:
    """What sent this header. Every browser sends one: without it, a program asked."""
    return _client_of(user_agent[:LENGTH_LIMIT])


@lru_cache(REMEMBERED)
def _client_of(user_agent: bytes) -> Client:
    text = user_agent.decode("utf-8", "replace")
    if not text.strip() or is_crawler(text):
        return Client("", "", "", True)
    found = parse(text)
    browser = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    return Client(_device_of(text), _plain(browser), _plain(system), False)


def _device_of(text: str) -> str:
    """The marks that vendors put in for servers to read. A tablet of Android is one without "Mobile"."""
    if _has(text, TV_MARKS) or "; TV" in text or " TV " in text:
        return TV
    if _has(text, OTHER_MARKS):
        return OTHER
    if _has(text, TABLET_MARKS) or ("Android" in text and "Mobile" not in text):
        return TABLET
    if _has(text, MOBILE_MARKS):
        return MOBILE
    return DESKTOP if _has(text, DESKTOP_MARKS) else OTHER


def _has(text: str, marks: tuple[str, ...]) -> bool:
    return any(mark in text for mark in marks)


def _plain(family: str) -> str:
    """Families are named by rules, but some rules take the name out of the text itself."""
    return "".join(mark for mark in family if mark.isprintable())[:60]
