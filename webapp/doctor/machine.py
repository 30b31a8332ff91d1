"""What the machine gives: room, places to write, mail."""

from __future__ import annotations

import shutil
import smtplib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import maxminddb

from webapp.cli_serve import check_metrics_folder
from webapp.config import ConfigError, Settings
from webapp.doctor.finding import Finding, ok, problem, warning
from webapp.health import upload_folder
from webapp.lib.mail import MailServerError, mail_server
from webapp.lib.storage import storage_at
from webapp.pages import byte_size

GIGABYTE = 1024**3
SCARCE_BYTES = 5 * GIGABYTE
SPENT_BYTES = 1 * GIGABYTE
MAIL_SECONDS = 5.0
SAMPLE = b"Footfall was here."


def check_disk(settings: Settings) -> list[Finding]:
    """Each file system once, under the name of the first folder on it."""
    folders = {"the data folder": settings.data_dir, "the uploads": upload_folder(settings)}
    found = {name: folder for name, folder in folders.items() if folder is not None}
    by_device = {folder.stat().st_dev: (name, folder) for name, folder in reversed(found.items())}
    return [_check_room(name, folder) for name, folder in by_device.values()]


def check_uploads(settings: Settings) -> list[Finding]:
    """Write, read and remove a small file, as an import does."""
    storage = storage_at(settings.uploads_url)
    key = f"doctor/{uuid4()}"
    remedy = "Let the processes write to UPLOADS_URL: the folder's owner and mode, or the bucket's key and rights."
    try:
        storage.write(key, [SAMPLE])
        is_same = storage.read(key, 0, len(SAMPLE)) == SAMPLE
        storage.delete(key)
    except Exception as error:  # obstore has an error of its own for each kind of store
        return [problem("Uploads", f"The upload store cannot be used: {' '.join(str(error).split())[:300]}", remedy)]
    if not is_same:
        return [problem("Uploads", "The upload store gave back something else than was written.", remedy)]
    return [ok("Uploads", "A file was written, read and removed.")]


def check_metrics(settings: Settings) -> list[Finding]:
    try:
        check_metrics_folder(settings)
    except ConfigError as error:
        return [problem("Metrics", str(error), "Let the processes write there, or set METRICS_DIR to another folder.")]
    reader = "with METRICS_TOKEN too" if settings.metrics_token else "from this machine only"
    return [ok("Metrics", f"{settings.metrics_dir} can be written; /metrics may be read {reader}.")]


def check_countries(settings: Settings) -> list[Finding]:
    """Without the file visits are counted all the same, but belong to no country."""
    try:
        with maxminddb.open_database(settings.countries_path) as database:
            made_on = datetime.fromtimestamp(database.metadata().build_epoch, UTC).date()
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        remedy = "Run make setup, which installs it, or set COUNTRIES_PATH to a database of countries (MMDB)."
        return [warning("Countries", f"No visit will have a country: {error}", remedy)]
    return [ok("Countries", f"Those of addresses are known as of {made_on.isoformat()}.")]


def check_mail(settings: Settings) -> list[Finding]:
    if not settings.smtp_url:
        return [ok("Mail", "Not set up (SMTP_URL): weekly reports are in the app alone.")]
    try:
        with mail_server(settings.smtp_url, MAIL_SECONDS) as server:
            server.noop()
    except (OSError, MailServerError, smtplib.SMTPException) as error:
        remedy = "SMTP_URL is smtp://user:password@host:587, or smtps:// with port 465."
        return [problem("Mail", f"The mail server cannot be used: {error}", remedy)]
    return [ok("Mail", f"{urlsplit(settings.smtp_url).hostname} answers.")]


def _check_room(name: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    words = f"{byte_size(usage.free)} of {byte_size(usage.total)} are free for {name}."
    remedy = "Make room, or move DATA_DIR or UPLOADS_URL to a larger disk: a full disk stops PostgreSQL and Redis."
    if usage.free < SPENT_BYTES:
        return problem("Disk", words, remedy)
    return warning("Disk", words, remedy) if usage.free < SCARCE_BYTES else ok("Disk", words)
