"""Typed settings, read once from the environment."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlsplit

GOOGLE_ISSUER = "https://accounts.google.com"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
DEFAULT_UPLOAD_LIMIT_BYTES = 2 * 1024**3
DEFAULT_RAW_CACHE_BYTES = 5 * 1024**3
DEFAULT_DUCKDB_MEMORY_BYTES = 1024**3
LOG_FORMATS = ("json", "text")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEMO_OPERATORS = ("demo@example.com", "alice@example.com")
SHORTEST_ROLL_UP_SECONDS = 0.25
LONGEST_SECONDS = 3600.0
PATH = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.:\[\]-]+")
UNSPLASH_API = "https://api.unsplash.com"
COUNTRIES_PATH = Path(__file__).parent.parent / "vendor" / "countries.mmdb"


class ConfigError(Exception):
    """A setting is missing or contradicts another; the message says which and what to do."""


@dataclass(frozen=True)
class Settings:
    """Everything that may differ between two installations.

    `database_url` connects as whoever may migrate; every other connection of ours takes the role
    `footfall_app` at once, which row-level security binds.
    """

    data_dir: Path
    runtime_dir: Path
    port: int
    edge_port: int
    demo_port: int
    issuer_port: int
    public_url: str
    edge_url: str
    database_url: str
    redis_url: str
    beacons_redis_url: str
    embedded_postgres: bool
    embedded_broker: bool
    embedded_beacons: bool
    secret_key: str
    google_client_id: str
    google_client_secret: str
    oidc_issuer: str
    demo: bool
    operators: tuple[str, ...]
    uploads_url: str
    upload_limit_bytes: int
    trusted_proxies: tuple[str, ...]
    countries_path: Path
    address_rate_limit: int
    edge_processes: int
    web_processes: int
    worker_processes: int
    tracker_path: str
    collect_path: str
    pixel_path: str
    beacons_limit: int
    roll_up_batch: int
    raw_cache_bytes: int
    duckdb_memory_bytes: int
    duckdb_threads: int
    roll_up_seconds: float
    jobs_kept_days: int
    failed_jobs_kept_days: int
    unsplash_access_key: str
    unsplash_url: str
    unsplash_requests_per_hour: int
    bulk_actions_per_hour: int
    unsplash_app_name: str
    metrics_dir: Path
    metrics_token: str
    log_format: str
    log_level: str
    otlp_endpoint: str
    smtp_url: str
    mail_from: str

    @property
    def raw_cache_dir(self) -> Path:
        """Where processes keep copies of raw rows for DuckDB; it may be emptied at any time."""
        return self.data_dir / "cache" / "raw"

    @property
    def is_local(self) -> bool:
        """Whether the pages are served to this machine alone."""
        return (urlsplit(self.public_url).hostname or "") in LOOPBACK_NAMES

    @property
    def uses_demo_issuer(self) -> bool:
        """Whether sign-in goes to the local OpenID issuer: only without Google, only on localhost."""
        return self.demo and not self.google_client_id and self.is_local

    @property
    def operator_addresses(self) -> tuple[str, ...]:
        """Whose verified e-mail addresses open the operators' pages, in lower case."""
        return self.operators or (DEMO_OPERATORS if self.uses_demo_issuer else ())

    @property
    def demo_url(self) -> str:
        return f"http://localhost:{self.demo_port}"

    @property
    def issuer_url(self) -> str:
        """The OpenID issuer that sign-in asks."""
        return f"http://localhost:{self.issuer_port}" if self.uses_demo_issuer else self.oidc_issuer


def runtime_dir_for(data_dir: Path) -> Path:
    """A short folder for sockets and process ids, the same for every command on one data folder.

    Socket paths over 107 bytes are cut silently by the kernel's interface, so a deep data folder
    must not hold them.
    """
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"footfall-{os.getuid()}-{digest}"


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read settings; raises ConfigError with the setting's name when one cannot be used."""
    data_dir = Path(environment.get("DATA_DIR") or "var").absolute()
    runtime_dir = runtime_dir_for(data_dir)
    port = _integer(environment, "PORT", 8000)
    edge_port = _integer(environment, "EDGE_PORT", port + 1)
    demo_port = _integer(environment, "DEMO_PORT", edge_port + 1)
    public_url = _url(environment, "PUBLIC_URL", f"http://localhost:{port}")
    return Settings(
        data_dir=data_dir,
        runtime_dir=runtime_dir,
        port=port,
        edge_port=edge_port,
        demo_port=demo_port,
        issuer_port=_integer(environment, "ISSUER_PORT", demo_port + 1),
        public_url=public_url,
        edge_url=_url(environment, "EDGE_URL", f"http://localhost:{edge_port}"),
        database_url=environment.get("DATABASE_URL") or _socket_database_url(runtime_dir),
        redis_url=environment.get("REDIS_URL") or _socket_redis_url(runtime_dir, "broker"),
        beacons_redis_url=environment.get("BEACONS_REDIS_URL") or _socket_redis_url(runtime_dir, "beacons"),
        embedded_postgres=not environment.get("DATABASE_URL"),
        embedded_broker=not environment.get("REDIS_URL"),
        embedded_beacons=not environment.get("BEACONS_REDIS_URL"),
        secret_key=environment.get("SECRET_KEY") or _kept_secret(data_dir),
        google_client_id=environment.get("GOOGLE_CLIENT_ID", ""),
        google_client_secret=environment.get("GOOGLE_CLIENT_SECRET", ""),
        oidc_issuer=_url(environment, "OIDC_ISSUER", GOOGLE_ISSUER),
        demo=environment.get("DEMO", "1") not in {"0", "false", "no"},
        operators=tuple(address.lower() for address in _list(environment, "OPERATORS")),
        uploads_url=environment.get("UPLOADS_URL") or f"file://{quote(str(data_dir / 'uploads'))}",
        upload_limit_bytes=_integer(environment, "UPLOAD_LIMIT_BYTES", DEFAULT_UPLOAD_LIMIT_BYTES),
        trusted_proxies=_list(environment, "TRUSTED_PROXIES"),
        countries_path=Path(environment.get("COUNTRIES_PATH") or COUNTRIES_PATH).absolute(),
        address_rate_limit=_at_least_one(environment, "ADDRESS_RATE_LIMIT", 100),
        edge_processes=_at_least_one(environment, "EDGE_PROCESSES", 1),
        web_processes=_at_least_one(environment, "WEB_PROCESSES", 1),
        worker_processes=_integer(environment, "WORKER_PROCESSES", os.cpu_count() or 2),
        **_distinct(
            tracker_path=_path(environment, "TRACKER_PATH", "/tracker.js"),
            collect_path=_path(environment, "COLLECT_PATH", "/collect"),
            pixel_path=_path(environment, "PIXEL_PATH", "/pixel.gif"),
        ),
        beacons_limit=_integer(environment, "BEACONS_LIMIT", 2_000_000),
        roll_up_batch=_at_least_one(environment, "ROLL_UP_BATCH", 200_000),
        roll_up_seconds=_seconds(environment, "ROLL_UP_SECONDS", 1.0, SHORTEST_ROLL_UP_SECONDS),
        raw_cache_bytes=_at_least_one(environment, "RAW_CACHE_BYTES", DEFAULT_RAW_CACHE_BYTES),
        duckdb_memory_bytes=_at_least_one(environment, "DUCKDB_MEMORY_BYTES", DEFAULT_DUCKDB_MEMORY_BYTES),
        duckdb_threads=_at_least_one(environment, "DUCKDB_THREADS", os.cpu_count() or 2),
        jobs_kept_days=_at_least_one(environment, "JOBS_KEPT_DAYS", 30),
        failed_jobs_kept_days=_at_least_one(environment, "FAILED_JOBS_KEPT_DAYS", 90),
        unsplash_access_key=environment.get("UNSPLASH_ACCESS_KEY", "").strip(),
        unsplash_url=_url(environment, "UNSPLASH_URL", UNSPLASH_API),
        unsplash_requests_per_hour=_at_least_one(environment, "UNSPLASH_REQUESTS_PER_HOUR", 50),
        bulk_actions_per_hour=_at_least_one(environment, "BULK_ACTIONS_PER_HOUR", 1000),
        unsplash_app_name=environment.get("UNSPLASH_APP_NAME") or "footfall",
        metrics_dir=Path(environment.get("METRICS_DIR") or data_dir / "metrics").absolute(),
        metrics_token=environment.get("METRICS_TOKEN", ""),
        log_format=_choice(environment, "LOG_FORMAT", LOG_FORMATS, "json"),
        log_level=_choice(environment, "LOG_LEVEL", LOG_LEVELS, "INFO"),
        otlp_endpoint=environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/"),
        smtp_url=environment.get("SMTP_URL", ""),
        mail_from=_address(environment, "MAIL_FROM", public_url),
    )


@cache
def get_settings() -> Settings:
    """This process's settings."""
    return settings_from(os.environ)


def _list(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(part.strip() for part in environment.get(name, "").split(",") if part.strip())


def _integer(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if not text:
        return default
    if not text.isdecimal():
        raise ConfigError(f"{name} must be a whole number, but it is {text!r}.")
    return int(text)


def _at_least_one(environment: Mapping[str, str], name: str, default: int) -> int:
    number = _integer(environment, name, default)
    if number < 1:
        raise ConfigError(f"{name} must be 1 or more, but it is {number}.")
    return number


def _seconds(environment: Mapping[str, str], name: str, default: float, least: float) -> float:
    text = environment.get(name)
    try:
        seconds = float(text) if text else default
    except ValueError as error:
        raise ConfigError(f"{name} must be a number of seconds, but it is {text!r}.") from error
    if not least <= seconds <= LONGEST_SECONDS:
        raise ConfigError(f"{name} must be {least} to {LONGEST_SECONDS:.0f} seconds, but it is {text}.")
    return seconds


def _choice(environment: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    text = environment.get(name) or default
    if text not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, but it is {text!r}.")
    return text


def _url(environment: Mapping[str, str], name: str, default: str) -> str:
    url = environment.get(name) or default
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise ConfigError(f"{name} must be an http:// or https:// address, but it is {url!r}.")
    return url.rstrip("/")


def _address(environment: Mapping[str, str], name: str, public_url: str) -> str:
    """An e-mail address; else one of the host whose pages these are."""
    address = environment.get(name) or f"footfall@{urlsplit(public_url).hostname}"
    if not ADDRESS.fullmatch(address):
        raise ConfigError(f"{name} must be an e-mail address such as footfall@example.com, but it is {address!r}.")
    return address


def _distinct(**paths: str) -> dict[str, str]:
    if len(set(paths.values())) < len(paths):
        raise ConfigError("TRACKER_PATH, COLLECT_PATH and PIXEL_PATH must be three different paths.")
    return paths


def _path(environment: Mapping[str, str], name: str, default: str) -> str:
    path = environment.get(name) or default
    if not PATH.fullmatch(path) or path.startswith("/live/") or path == "/healthz":
        raise ConfigError(
            f"{name} must be a path such as {default}: letters, digits, . _ and - between slashes. It is {path!r}."
        )
    return path


def _socket_database_url(runtime_dir: Path) -> str:
    """The port only names the socket's file; left out, libpq would take PGPORT from the environment."""
    return f"postgresql://footfall@/footfall?host={quote(str(runtime_dir), safe='')}&port=5432"


def _socket_redis_url(runtime_dir: Path, name: str) -> str:
    return f"unix://{runtime_dir}/{name}.sock"


def _kept_secret(data_dir: Path) -> str:
    """The secret of this data folder, made on first use, so that a restart signs nobody out."""
    path = data_dir / "secret_key"
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip() or _rewrite_secret(path)
    with os.fdopen(descriptor, "w") as file:
        secret = secrets.token_urlsafe(48)
        file.write(secret)
    return secret


def _rewrite_secret(path: Path) -> str:
    """A crash between creating the file and writing it leaves it empty: write it again."""
    secret = secrets.token_urlsafe(48)
    path.write_text(secret)
    return secret
