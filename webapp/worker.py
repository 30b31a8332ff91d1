"""What `dramatiq webapp.worker` loads: the broker, its middleware, and every feature's actors."""

from webapp.jobs.broker import broker  # noqa: I001  (before any actor is declared)

from webapp.bulk_actions import tasks as bulk_action_tasks
from webapp.bulk_actions import upload_tasks
from webapp.jobs import prune_tasks, recurring_tasks
from webapp.jobs import tasks as job_tasks
from webapp.operations import tasks as operation_tasks
from webapp.pictures import tasks as picture_tasks
from webapp.records import tasks as record_tasks
from webapp.visits import tasks as visit_tasks
from webapp.visits.product_views import tasks as product_view_tasks
from webapp.visits.deletion import tasks as site_deletion_tasks
from webapp.visits.raw import tasks as raw_row_tasks
from webapp.visits.weekly import tasks as weekly_tasks

__all__ = [
    "broker",
    "bulk_action_tasks",
    "job_tasks",
    "operation_tasks",
    "picture_tasks",
    "product_view_tasks",
    "prune_tasks",
    "raw_row_tasks",
    "record_tasks",
    "recurring_tasks",
    "site_deletion_tasks",
    "upload_tasks",
    "visit_tasks",
    "weekly_tasks",
]
