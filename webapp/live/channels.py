"""Names of live channels, and the signed addresses under which a browser may listen to one."""

from __future__ import annotations

from uuid import UUID

from webapp.config import Settings
from webapp.lib.signing import sign, unsign

PURPOSE = "live-channel"
MAX_AGE_SECONDS = 12 * 3600
STATE_LIFETIME_SECONDS = 24 * 3600


def bulk_action_channel(organisation_id: UUID, bulk_action_id: UUID) -> str:
    return f"bulk-action:{organisation_id}:{bulk_action_id}"


def job_channel(organisation_id: UUID, job_id: UUID) -> str:
    return f"job:{organisation_id}:{job_id}"


def jobs_channel(organisation_id: UUID) -> str:
    return f"jobs:{organisation_id}"


def visits_channel(organisation_id: UUID) -> str:
    return f"visits:{organisation_id}"


def operations_channel() -> str:
    """The whole installation's, for its operators."""
    return "operations"


def state_key(channel: str) -> str:
    """Where the broker's Redis keeps a channel's present state."""
    return f"live:{channel}"


def stream_url(settings: Settings, channel: str, *, html: bool = True) -> str:
    """The edge's address of a channel: HTML fragments for a page, JSON for a program.

    It works for MAX_AGE_SECONDS, and only for whoever was given it.
    """
    form = "html" if html else "json"
    return f"{settings.edge_url}/live/{sign(settings.secret_key, PURPOSE, f'{form} {channel}')}"


def read_signed(settings: Settings, text: str) -> tuple[bool, str]:
    """(wants HTML, channel) of a signed address; raises BadSignatureError."""
    form, _, channel = unsign(settings.secret_key, PURPOSE, text, MAX_AGE_SECONDS).partition(" ")
    return form == "html", channel
