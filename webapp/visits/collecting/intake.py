"""From a beacon of a known site to the row that is counted, or the reason why it is not. Pure.

Every way in (the edge's `/collect`, one or many; the API) comes through here.
"""

from __future__ import annotations

from dataclasses import dataclass

from webapp.lib.addresses import read_address
from webapp.visits.backlog import Kind, Row
from webapp.visits.collecting.beacon import KINDS, Beacon
from webapp.visits.collecting.checks import (
    check_engagement,
    check_id,
    check_identifier,
    check_identity,
    check_language,
    check_name,
    check_props,
    check_referrer,
    check_screen,
    check_sku,
    check_visited_at,
)
from webapp.visits.collecting.refusals import (
    BOT,
    DO_NOT_TRACK,
    EXCLUDED_ADDRESS,
    EXCLUDED_COUNTRY,
    EXCLUDED_PAGE,
    PRIVACY_CONTROL,
    SITE_DELETED,
    DroppedError,
    RefusedError,
)
from webapp.visits.collecting.rules import Address, SiteRules
from webapp.visits.collecting.senders import Sender
from webapp.visits.collecting.signatures import is_signed
from webapp.visits.collecting.visitors import cookieless_id, pseudonym
from webapp.visits.visitor_keys import is_machine_made


@dataclass(frozen=True, slots=True)
class KnownSite:
    """What a beacon is checked against."""

    organisation_id: bytes
    site_id: bytes
    rules: SiteRules
    looked_up_at: float = 0.0


def needs_salt(beacon: Beacon, rules: SiteRules) -> bool:
    """Whether this visitor is known by the hash of the day alone."""
    return rules.is_cookieless or beacon.identifier is None


def take(beacon: Beacon, site: KnownSite, sender: Sender, now_ms: int, salt: bytes | None) -> Row:
    """The row to be counted; raises RefusedError or DroppedError."""
    rules = site.rules
    if rules.is_deleted:
        raise RefusedError(403, SITE_DELETED, "This site was deleted. Take the tracker out of its pages.")
    if not rules.allows(sender.origin):
        detail = f"This site does not take visits from {sender.origin}."
        raise RefusedError(403, "origin-not-allowed", detail)
    _check_trust(beacon, sender)
    _leave_out(rules, sender)
    address = rules.read(beacon.page_url)
    if address.is_excluded:
        raise DroppedError(EXCLUDED_PAGE)
    return _make_row(beacon, site, sender, now_ms, salt, address)


def _check_trust(beacon: Beacon, sender: Sender) -> None:
    """What anyone could invent is believed only of the site's own server."""
    if (beacon.ip is not None or beacon.user_agent is not None) and not sender.is_trusted:
        detail = "`ip` and `userAgent` are taken from the site's own server alone: send an API key or a signature."
        raise RefusedError(403, "needs-signature", detail)
    if beacon.ip and read_address(beacon.ip) is None:
        raise RefusedError(422, "bad-ip", "`ip` must be an IPv4 or IPv6 address.")


def _leave_out(rules: SiteRules, sender: Sender) -> None:
    """What the site does not want counted, as far as the sender tells."""
    if rules.drops_bots and sender.client.is_bot:
        raise DroppedError(BOT)
    if rules.respects_dnt:
        if sender.does_not_want_tracking:
            raise DroppedError(DO_NOT_TRACK)
        if sender.sends_privacy_control:
            raise DroppedError(PRIVACY_CONTROL)
    if rules.excluded_networks and rules.excludes(sender.place):
        raise DroppedError(EXCLUDED_ADDRESS)
    if rules.excluded_countries and sender.place.country in rules.excluded_countries:
        raise DroppedError(EXCLUDED_COUNTRY)


def _make_row(
    beacon: Beacon, site: KnownSite, sender: Sender, now_ms: int, salt: bytes | None, address: Address
) -> Row:
    client = sender.client
    row = Row(
        site.organisation_id,
        site.site_id,
        check_id(beacon.id, now_ms, is_signed=sender.is_signed),
        check_visited_at(beacon, now_ms, is_trusted=sender.is_trusted),
        now_ms,
        _visitor_of(beacon, site, sender, salt),
        address.page_url,
        check_referrer(beacon.referrer),
        check_screen(beacon.screen),
        KINDS[beacon.kind],
        _language_of(beacon, sender),
        sender.place.country,
        client.device,
        client.browser,
        client.system,
        address.utm_source,
        address.utm_medium,
        address.utm_campaign,
        address.utm_term,
        address.utm_content,
        address.click_id,
    )
    if row.kind != Kind.PAGEVIEW:
        _complete(row, beacon, site, sender)
    return row


def _visitor_of(beacon: Beacon, site: KnownSite, sender: Sender, salt: bytes | None) -> str:
    identifier, is_cookieless = beacon.identifier, site.rules.is_cookieless
    if identifier is not None:
        check_identifier(identifier)
        if not is_cookieless:
            return _as_believed(identifier, site, sender)
    if salt is None:
        raise RuntimeError("A visitor without identifier came without the salt of the day.")
    if not sender.is_trusted or sender.place.address:
        return cookieless_id(salt, site.site_id, sender.place.address, sender.user_agent)
    if identifier is None:
        detail = "Send the visitor's `identifier`, or the `ip` and `userAgent` out of which one can be made."
        raise RefusedError(422, "missing-identifier", detail)
    return cookieless_id(salt, site.site_id, identifier, b"")


def _as_believed(identifier: str, site: KnownSite, sender: Sender) -> str:
    """Site keys are public, so what could name a contact does so only when the site's own server says it."""
    if sender.is_trusted or is_machine_made(identifier):
        return identifier
    return pseudonym(site.site_id, identifier)


def _language_of(beacon: Beacon, sender: Sender) -> str:
    return check_language(beacon.language) if beacon.language else sender.language


def _complete(row: Row, beacon: Beacon, site: KnownSite, sender: Sender) -> None:
    """What only this kind of beacon tells."""
    if row.kind == Kind.EVENT:
        row.name, row.props = check_name(beacon.name), check_props(beacon.props)
    elif row.kind == Kind.ENGAGEMENT:
        row.engaged_ms, row.scroll = check_engagement(beacon)
    elif row.kind == Kind.PRODUCT:
        row.name = check_sku(beacon.sku)
    else:
        row.name = _identity_of(beacon, site, sender)


def _identity_of(beacon: Beacon, site: KnownSite, sender: Sender) -> str:
    """A person is tied to a browser that is known again, never to an address that many may share."""
    identity = check_identity(beacon.identity)
    if needs_salt(beacon, site.rules):
        detail = "`identify` needs the visitor's `identifier`, which a cookieless site does not have."
        raise RefusedError(422, "missing-identifier", detail)
    if sender.is_trusted:
        return identity
    signature = beacon.signature or ""
    if not signature:
        detail = "`identify` needs a `signature`, which the site's server makes of the identity with its secret."
        raise RefusedError(403, "needs-signature", detail)
    if not is_signed(site.rules.identify_secret, identity.encode(), signature):
        detail = "`signature` is not the HMAC-SHA256 of the identity with the site's secret, in hexadecimal."
        raise RefusedError(403, "bad-signature", detail)
    if not is_machine_made(beacon.identifier or ""):
        detail = "`identify` without an API key needs an `identifier` that nobody can guess, as the tracker makes them."
        raise RefusedError(422, "guessable-identifier", detail)
    return identity
