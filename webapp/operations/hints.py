"""Telling the operators' pages at once that something was changed, before the next sample does."""

from __future__ import annotations

import logging

from flask import current_app
from redis.exceptions import RedisError

from webapp.live.channels import operations_channel
from webapp.live.publish import publish

logger = logging.getLogger(__name__)


def hint() -> None:
    """Have the pages look again. Call it after the commit."""
    try:
        publish(current_app.extensions["broker"], operations_channel(), {})
    except RedisError as error:
        logger.warning("The operators' pages are not told of a change: %s", error)
