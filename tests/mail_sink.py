"""A mail server for tests: speaks SMTP over a real socket, keeps what it takes, and refuses or breaks as it is told."""

from __future__ import annotations

import email
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage


@dataclass
class MailSink:
    """What came in; `says` overrides the answer to a command, and '' breaks the connection instead."""

    url: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    says: dict[str, str] = field(default_factory=dict)
    on_mail: Callable[[EmailMessage], None] = lambda _: None


class _BrokenError(Exception):
    """The server hangs up."""


@contextmanager
def running_mail_sink() -> Iterator[MailSink]:
    """A server on a free port, for as long as the block runs."""
    sink = MailSink()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                _serve(self, sink)
            except (_BrokenError, ConnectionError):
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sink.url = f"smtp://127.0.0.1:{server.server_address[1]}"
        yield sink
        server.shutdown()


def _serve(handler: socketserver.StreamRequestHandler, sink: MailSink) -> None:
    _say(handler, "220 sink")
    recipient = ""
    while line := handler.rfile.readline().decode().strip():
        word = line.split(" ", 1)[0].upper()
        if word == "RCPT":
            recipient = line.partition("<")[2].rstrip(">")
        answer = sink.says.get(word, {"DATA": "354 go on", "QUIT": "221 bye"}.get(word, "250 well"))
        _say(handler, answer)
        if word == "DATA" and answer.startswith("354"):
            _take(handler, sink, recipient)
        if word == "QUIT":
            return


def _take(handler: socketserver.StreamRequestHandler, sink: MailSink, recipient: str) -> None:
    lines: list[bytes] = []
    while (line := handler.rfile.readline()) not in {b".\r\n", b""}:
        lines.append(line.removeprefix(b"."))
    mail = email.message_from_bytes(b"".join(lines), policy=policy.default)
    sink.on_mail(mail)
    sink.mails.append(mail)
    sink.recipients.append(recipient)
    _say(handler, sink.says.get("TAKEN", "250 taken"))


def _say(handler: socketserver.StreamRequestHandler, answer: str) -> None:
    if not answer:
        raise _BrokenError
    handler.wfile.write(f"{answer}\r\n".encode())
