"""Speaking to a mail server, named as smtp://user:password@host:587, or smtps:// with port 465."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from urllib.parse import SplitResult, unquote, urlsplit

SECONDS = 30.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
PERMANENT = 500

MailServer = smtplib.SMTP


class MailServerError(Exception):
    """There is no server to give anything to; the message says why. Nothing was sent."""


class RefusedError(Exception):
    """The server said that it does not take this mail; when `is_for_good`, that it never will."""

    def __init__(self, reason: str, *, is_for_good: bool) -> None:
        super().__init__(reason)
        self.is_for_good = is_for_good


class UnknownEndError(Exception):
    """The connection broke before the server answered: it may have taken the mail, or not."""


@contextmanager
def mail_server(url: str, seconds: float = SECONDS) -> Iterator[MailServer]:
    """A server that has greeted, encrypted where it can, and knows us where a name is given; raises MailServerError."""
    try:
        server = _connect(urlsplit(url), seconds)
    except (OSError, ValueError, smtplib.SMTPException) as error:
        raise MailServerError(str(error)) from error
    try:
        yield server
    finally:
        server.close()


def give(server: MailServer, message: EmailMessage) -> None:
    """Give a mail for one recipient to the server, and return when it has it; raises RefusedError, UnknownEndError."""
    try:
        server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, words = next(iter(error.recipients.values()))
        raise _refused(code, words) from error
    except smtplib.SMTPResponseException as error:
        raise _refused(error.smtp_code, error.smtp_error) from error
    except (OSError, smtplib.SMTPException) as error:
        raise UnknownEndError(str(error)) from error


def _connect(parts: SplitResult, seconds: float) -> MailServer:
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("it is no smtp:// or smtps:// address")
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: MailServer = smtplib.SMTP_SSL(parts.hostname, parts.port or 0, timeout=seconds, context=context)
    else:
        server = smtplib.SMTP(parts.hostname, parts.port or 0, timeout=seconds)
    try:
        _greet(server, parts, context)
    except BaseException:
        server.close()
        raise
    return server


def _greet(server: MailServer, parts: SplitResult, context: ssl.SSLContext) -> None:
    server.ehlo()
    is_encrypted = parts.scheme == "smtps"
    if not is_encrypted and server.has_extn("starttls"):
        server.starttls(context=context)
        server.ehlo()
        is_encrypted = True
    if not parts.username:
        return
    if not is_encrypted and parts.hostname not in LOOPBACK:
        raise ValueError("it offers no encryption, so the password is not sent to it")
    server.login(unquote(parts.username), unquote(parts.password or ""))


def _refused(code: int, words: bytes | str) -> RefusedError:
    said = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return RefusedError(f"{code} {said}", is_for_good=code >= PERMANENT)
