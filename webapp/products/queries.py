"""Every look at products."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import aliased

from webapp.extensions import db
from webapp.jobs.models import Job, JobState
from webapp.products.kinds import FIND_PRODUCT_PICTURE
from webapp.products.models import Product

LATEST_JOBS = 1_000
GOING_ON = (JobState.PENDING, JobState.RETRYING, JobState.RUNNING)


def find_search(product: Product) -> Job | None:
    """The search for the product's picture that goes on, if it is among the latest of the organisation's."""
    latest = select(Job).where(
        Job.organisation_id == product.organisation_id, Job.kind == FIND_PRODUCT_PICTURE.name, Job.state.in_(GOING_ON)
    )
    job = aliased(Job, latest.order_by(Job.id.desc()).limit(LATEST_JOBS).subquery())
    query = select(job).where(job.parameters["product_id"].astext == str(product.id)).order_by(job.id.desc())
    return db.session.scalars(query.limit(1)).one_or_none()


def is_of(job: Job, product_id: UUID) -> bool:
    """Whether the job looks, or looked, for a picture of this product."""
    return job.kind == FIND_PRODUCT_PICTURE.name and job.parameters.get("product_id") == str(product_id)
