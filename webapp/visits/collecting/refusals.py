"""Why a beacon is not counted: what the sender must mend, and what the site's own rules leave out. Pure."""

from __future__ import annotations

import msgspec

BODY_LIMIT_BYTES = 64 * 1024
FULL_RETRY_SECONDS = 10
AWAY_RETRY_SECONDS = 3


class RefusedError(Exception):
    """A beacon that is not taken: a status, a short word for programs, and a sentence for people.

    With `retry_after_seconds` nothing is wrong with it, and it may come again after so long. `beacon_count` is how
    many beacons are refused at once.
    """

    def __init__(
        self, status: int, reason: str, detail: str, retry_after_seconds: int | None = None, beacon_count: int = 1
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.beacon_count = beacon_count

    @property
    def may_come_again(self) -> bool:
        """Whether a client that waits sends it again, so that it is not lost yet."""
        return self.retry_after_seconds is not None


class TooLargeError(RefusedError):
    """A body that is not read to its end; its beginning may still say whose it was."""

    def __init__(self, beginning: bytes) -> None:
        super().__init__(413, "too-large", f"A beacon may be at most {BODY_LIMIT_BYTES // 1024} KiB.")
        self.beginning = beginning


class DroppedError(Exception):
    """A beacon that the site does not want counted. Its sender did nothing wrong and must not come again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = EXPLANATIONS[reason]


ASKED_TO_RETURN = "asked-to-return"
SITE_DELETED = "site-deleted"
CANNOT_BE_STORED = "cannot-be-stored"
BOT = "bot"
DO_NOT_TRACK = "do-not-track"
PRIVACY_CONTROL = "privacy-control"
EXCLUDED_ADDRESS = "excluded-address"
EXCLUDED_COUNTRY = "excluded-country"
EXCLUDED_PAGE = "excluded-page"

EXPLANATIONS = {
    ASKED_TO_RETURN: "More came at once than one address or the site may send, and was asked to come again later. What"
    " came again is counted.",
    BOT: "A program asked for the page, not a person.",
    DO_NOT_TRACK: "The browser asks not to be tracked (Do Not Track), which this site respects.",
    PRIVACY_CONTROL: "The browser sends Global Privacy Control, which this site respects.",
    EXCLUDED_ADDRESS: "Visits from this address are left out by the site's settings.",
    EXCLUDED_COUNTRY: "Visits from this country are left out by the site's settings.",
    CANNOT_BE_STORED: "They were taken and could not be stored. Whoever runs Footfall can have them counted again.",
    EXCLUDED_PAGE: "This page is left out by the site's settings.",
    "bad-engagement": "The engaged time or the scroll depth was no possible number.",
    "bad-id": "The beacon's id was no UUIDv7.",
    "bad-identifier": "The visitor's identifier was empty, too long or held control characters.",
    "bad-identity": "`identify` was called with something that is no e-mail address or customer number.",
    "bad-ip": "The site's server reported a visitor's address that is no IP address.",
    "bad-language": "The language was too long or held control characters.",
    "bad-name": "A custom event had no name, or one that is too long.",
    "bad-page-url": "The page's address was no web address, or too long.",
    "bad-props": "A custom event had too many properties, or a property that is too long.",
    "bad-referrer": "The referrer was no address.",
    "bad-screen": "The screen size was not of the form 1920x1080.",
    "bad-signature": "A signature did not fit what it signs. Does your server use this site's secret?",
    "bad-sku": "A product view had no SKU, or one that is too long.",
    "bad-time": "The time of the visit could not be read.",
    "guessable-identifier": "`identify` came for a visitor with an identifier that anybody could guess.",
    "id-in-future": "The beacon's id was made by a clock that runs ahead by more than a day.",
    "id-too-old": "The beacon was sent again after more than 48 hours, too late to be counted once only.",
    "malformed": "What was sent was no beacon in JSON.",
    "missing-id": "A signed beacon had no id, without which it could be sent and counted again.",
    "missing-identifier": "Nobody could say whose beacon it was.",
    "needs-signature": "An address, browser or identity was reported without a signature or API key.",
    "origin-not-allowed": "A website that is not among this site's addresses reported visits.",
    "rate-limited": "The picture for pages without scripts was asked for more often than one address or the site may.",
    SITE_DELETED: "The site was deleted, and its pages still reported visits.",
    "too-large": f"A message was larger than {BODY_LIMIT_BYTES // 1024} KiB, or a list of them than 4 MiB.",
    "visit-in-future": "The visit's time lay in the future.",
    "visit-too-old": "The visit lay more than 48 hours back, which the site's own server alone may tell of.",
    "wrong-count": "A list held more beacons than may come at a time.",
    "wrong-fields": "A field was missing or of the wrong type.",
}
"""What a site's owner reads about each reason."""


def wrong_fields(error: msgspec.ValidationError) -> RefusedError:
    return RefusedError(422, "wrong-fields", f"The beacon's fields are not as they should be: {error}.")


def malformed(error: Exception) -> RefusedError:
    return RefusedError(400, "malformed", f"The body is not a beacon in JSON: {error}")


def backlog_full() -> RefusedError:
    detail = "More visits wait to be counted than may. Send this one again later."
    return RefusedError(503, "backlog-full", detail, FULL_RETRY_SECONDS)


def try_again(detail: str) -> RefusedError:
    return RefusedError(503, "try-again", detail, AWAY_RETRY_SECONDS)


def rate_limited(wait_seconds: int) -> RefusedError:
    detail = "More beacons came than may in a second, from this address or for this site. Send this one again later."
    return RefusedError(429, "rate-limited", detail, wait_seconds)


def bad_signature() -> RefusedError:
    detail = "`X-Footfall-Signature` must be the HMAC-SHA256 of the body with the site's secret, in hexadecimal."
    return RefusedError(403, "bad-signature", detail)


def unknown_site() -> RefusedError:
    return RefusedError(403, "unknown-site-key", "There is no site with this key.")
