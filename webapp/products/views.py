"""The products pages."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from flask import current_app, request, url_for

from webapp.jobs.announcing import watch_shown
from webapp.jobs.models import Job
from webapp.jobs.queries import get_job
from webapp.lib.clock import utc_now
from webapp.live.channels import job_channel, stream_url
from webapp.pictures.kinds import QUERY_LIMIT, why_unavailable
from webapp.pictures.queries import get_picture
from webapp.products.models import PRODUCTS, Product
from webapp.products.product_views import RANGES, shown_views
from webapp.products.queries import find_search, is_of
from webapp.products.service import default_query
from webapp.products.uploads import MAX_PICTURE_BYTES
from webapp.records.views import Pages, make_blueprint


def _shown_beside(product: Product) -> dict[str, Any]:
    """Its views; the picture, the search for one that goes on, and why there may be none."""
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
        **views_beside(product),
    }


def views_beside(product: Product) -> dict[str, Any]:
    """The views of a product, and where another choice of days and site leads."""
    return {
        "shown_views": shown_views(product.organisation_id, product.sku_key, request.args.to_dict(), utc_now()),
        "ranges": RANGES,
        "sku_key": product.sku_key,
        "views_url": partial(url_for, "products.show", record_id=product.id),
        "part_url": partial(url_for, "products.show_views", product_id=product.id),
        "file_url": partial(url_for, "products.views_file", product_id=product.id),
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
