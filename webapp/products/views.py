"""The products pages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import current_app, request

from webapp.jobs.announcing import watch_shown
from webapp.jobs.models import Job
from webapp.jobs.queries import get_job
from webapp.live.channels import job_channel, stream_url
from webapp.pictures.kinds import QUERY_LIMIT, why_unavailable
from webapp.pictures.queries import get_picture
from webapp.products.models import PRODUCTS, Product
from webapp.products.queries import find_search, is_of
from webapp.products.service import default_query
from webapp.products.uploads import MAX_PICTURE_BYTES
from webapp.records.views import Pages, make_blueprint


def _shown_beside(product: Product) -> dict[str, Any]:
    """The picture, the search for one that goes on, and why there may be none."""
    settings, job = current_app.extensions["settings"], _search_of(product)
    picture = get_picture(product.organisation_id, product.image_id) if product.image_id else None
    return {
        "picture": picture,
        "job": job,
        "is_looking": job is not None and not job.state.is_final,
        "stream": stream_url(settings, job_channel(job.organisation_id, job.id)) if job else None,
        "query": job.parameters["query"] if job else default_query(product),
        "query_limit": QUERY_LIMIT,
        "no_search": why_unavailable(settings),
        "limit_bytes": MAX_PICTURE_BYTES,
    }


def _search_of(product: Product) -> Job | None:
    """The search in the address, if it is one for this product; else the one that goes on."""
    try:
        job = get_job(product.organisation_id, UUID(request.args.get("job", "")))
    except ValueError:
        job = None
    job = job if job and is_of(job, product.id) else find_search(product)
    if job:
        watch_shown(job)
    return job


blueprint = make_blueprint(Pages(PRODUCTS, _shown_beside, block="picture"))
