"""What a provider proves of a person, and the names that follow from it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

PUBLIC_MAIL_DOMAINS = frozenset(
    {
        "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com",
        "me.com", "mac.com", "aol.com", "proton.me", "protonmail.com", "gmx.de", "gmx.net", "web.de", "mail.com",
        "zoho.com", "yandex.com", "fastmail.com",
    }
)  # fmt: skip
"""Domains that say nothing about where somebody works."""

SLUG_LENGTH = 40


@dataclass(frozen=True)
class Identity:
    """A person as the provider knows them: issuer and subject tell who it is, the rest may change."""

    issuer: str
    subject: str
    email: str
    email_is_verified: bool
    name: str

    @property
    def email_key(self) -> str:
        return email_key(self.email)


def email_key(email: str) -> str:
    """The address as invitations compare it: without case."""
    return email.strip().lower()


def organisation_name_for(identity: Identity) -> str:
    """A first name for the organisation of somebody whom nobody invited; they can change it."""
    domain = identity.email_key.partition("@")[2]
    if domain and domain not in PUBLIC_MAIL_DOMAINS:
        return domain.split(".")[0].replace("-", " ").title()
    return f"{identity.name}'s organisation"


def slug_for(name: str) -> str:
    """A short name for commands and addresses: ASCII letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_LENGTH].strip("-") or "organisation"
