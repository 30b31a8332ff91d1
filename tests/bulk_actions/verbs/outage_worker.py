"""What the workers of the verbs' outage tests load: all of Footfall's actors, with chunks of few records."""

from __future__ import annotations

from webapp.bulk_actions.verbs import plan
from webapp.worker import broker

__all__ = ["broker"]

plan.RECORDS_PER_CHUNK = 200
