"""Errors that say nothing about the work at hand: the disk is full, or the database is away."""

from __future__ import annotations

import errno

import psycopg
from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
AWAY_CLASSES = ("08", "57P")
"""SQLSTATE: a connection that broke, and a server that was told to stop or was stopped."""


def cause_of(error: Exception) -> BaseException:
    """What the driver raised, when SQLAlchemy raised it again; else the error itself."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def disk_is_full(error: Exception) -> bool:
    """Whether a file, the store's or PostgreSQL's, had no room to grow."""
    cause = cause_of(error)
    if isinstance(cause, OSError):
        return cause.errno in FULL
    if isinstance(cause, StoreError):
        return any(f"(os error {number})" in str(cause) for number in FULL)
    return isinstance(cause, psycopg.errors.DiskFull)


def database_is_away(error: Exception) -> bool:
    """Whether a statement found no server to answer it, or lost it; raised by SQLAlchemy or by the driver itself."""
    cause = cause_of(error)
    if not isinstance(cause, psycopg.OperationalError):
        return isinstance(cause, PoolTimeoutError)
    return cause.sqlstate is None or cause.sqlstate.startswith(AWAY_CLASSES)
