"""What reading an organisation's cells depends on."""

from __future__ import annotations

from uuid import UUID

from webapp.accounts.queries import list_members
from webapp.lib.keys import fold_key
from webapp.records.fields import Context


def context_of(organisation_id: UUID, region: str = "") -> Context:
    """Its members, and the country whose phone numbers are written without "+"."""
    members = list_members(organisation_id)
    return Context(
        region=region,
        members={fold_key(member.email): member.user_id for member in members},
        member_emails={member.user_id: member.email for member in members},
        member_names={member.user_id: member.name for member in members},
    )
