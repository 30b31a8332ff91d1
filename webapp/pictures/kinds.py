"""The kind of job that finds a picture for a search word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webapp.config import Settings
from webapp.jobs.kinds import Kind, MayStart, Result, Run
from webapp.jobs.parameters import Parameter

QUERY_LIMIT = 100
NO_KEY = (
    "Pictures come from Unsplash, and this installation has no access key for it. A key is free: register at"
    " unsplash.com/developers, make an application, set its access key as UNSPLASH_ACCESS_KEY, and restart Footfall."
)


def _run(run: Run) -> Result:
    """Imported late: the pages know the kind without a broker, and nothing here commits."""
    from webapp.pictures.tasks import find_picture

    return find_picture(run)


def _title(parameters: Mapping[str, Any]) -> str:
    return f"Picture for “{parameters['query']}”"


def why_unavailable(settings: Settings) -> str | None:
    """Why no picture can be found in this installation, and what to do; None when it is set up."""
    return None if settings.unsplash_access_key else NO_KEY


FIND_PICTURE = Kind(
    name="find_picture",
    label="Find a picture",
    description="Looks for a photo at Unsplash, keeps it here with a small copy, and credits its author.",
    run=_run,
    parameters=(
        Parameter(
            "query",
            "Search word",
            is_required=True,
            maximum=QUERY_LIMIT,
            hint="What the picture should show, best in English: shoe, red bicycle, bread on a table.",
        ),
    ),
    concurrency_limit=2,
    may_start=MayStart.MEMBER,
    title=_title,
    why_unavailable=why_unavailable,
)
