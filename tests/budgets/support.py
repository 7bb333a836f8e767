"""A warehouse with calls of known cost, budgets over it, and servers that receive messages."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.config import Config, Notify, Target
from etl.normalise.budgets import Budget
from etl.warehouse.read.budgets import budget_states
from etl.warehouse.write.budgets import Crossing, apply_budgets, record_budgets
from tests.support import ACCOUNT, call, load, write_log

# A dollar of input of the model in tests.support, at $0.25 per million.
DOLLAR = 4_000_000


def moment(text: str) -> datetime:
    """Return a time: a day is its noon, UTC."""
    return datetime.fromisoformat(text if "T" in text else f"{text}T12:00").replace(tzinfo=UTC)


class Spending:
    """Calls that cost known amounts, in a warehouse that was just synced."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db, self.folder, self._number = db, folder, 0

    def spend(
        self,
        day: str,
        dollars: float = 1,
        *,
        user: str = "alice",
        app: str = "Search",
        **fields: Any,
    ) -> None:
        """Load a call of a day."""
        self._number += 1
        time = day if "T" in day else f"{day}T10:00:00Z"
        record = call(
            self._number, user=user, userAgent=f"app/{app}", eventTime=time,
            tokens=(round(dollars * DOLLAR), 0), **fields,
        )  # fmt: skip
        self.load(record)

    def load(self, *records: dict[str, Any]) -> None:
        load(self.db, write_log(self.folder / f"{self._number}.json", list(records)))

    def synced(self, at: str, *, since: str = "2020-01-01T00:00:00Z", **columns: Any) -> None:
        """Let the event history be read up to a time, as ``sync`` would say."""
        row = {
            "stream": f"cloudtrail/{ACCOUNT}/us-east-1", "source": "cloudtrail", "account_id": ACCOUNT,
            "region": "us-east-1", "covered_from": since, "history_from": since,
            "watermark": at, "read_at": at, **columns,
        }  # fmt: skip
        self.insert("sync_state", row)

    def insert(self, table: str, row: dict[str, Any]) -> None:
        """Insert a row, or replace it."""
        marks = ", ".join(f":{column}" for column in row)
        self.db.execute(f"insert or replace into {table} ({', '.join(row)}) values ({marks})", row)

    def budgets(self, *budgets: Budget) -> None:
        apply_budgets(self.db, budgets)

    def states(self, at: str, *, synced: bool = True) -> list[dict[str, Any]]:
        """Return the states at a time, of a warehouse that was synced an hour before."""
        now = moment(at)
        if synced:
            self.synced((now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
        return budget_states(self.db, now)

    def state(self, at: str, **options: Any) -> dict[str, Any]:
        """Return the only current state."""
        (one,) = [row for row in self.states(at, **options) if row["is_current"]]
        return one

    def record(self, at: str, targets: tuple[str, ...] = (), **options: Any) -> list[Crossing]:
        """Record what is new at a time, as ``sync`` does afterwards."""
        self.states(at, **options)
        return record_budgets(self.db, moment(at), lambda state: None, targets)


def budget(amount: float = 10, per: str = "month", **keys: Any) -> Budget:
    return Budget(**{"name": "B", "amount": amount, "per": per, **keys})


def of(*targets: Target, url: str | None = None) -> Config:
    """Return a configuration with these targets."""
    return Config(notify=Notify(targets=targets, url=url))


class Webhook:
    """A web server that keeps what it is sent; ``answers`` are the statuses of its next answers."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.before_answer: Callable[[], None] = lambda: None
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                webhook.received.append(json.loads(self.rfile.read(size)))
                webhook.before_answer()
                status = webhook.answers.pop(0) if webhook.answers else 200
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.address = f"json://someone:s3cret-pass@127.0.0.1:{self.port}/hook"

    @contextmanager
    def running(self) -> Iterator[Webhook]:
        with self._server:
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
            try:
                yield self
            finally:
                self._server.shutdown()


class Mailbox:
    """An SMTP server that keeps the messages it gets; ``refuses``: how many it refuses first."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.refuses = 0
        mailbox = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 ready")
                while line := self.rfile.readline():
                    verb = line.split()[0].upper() if line.split() else b""
                    if verb == b"DATA":
                        self._say("354 go on")
                        self._take()
                    elif verb == b"QUIT":
                        self._say("221 bye")
                        return
                    else:
                        self._say("250 ok")

            def _take(self) -> None:
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line.removeprefix(b"."))
                if mailbox.refuses:
                    mailbox.refuses -= 1
                    self._say("451 try later")
                    return
                mailbox.messages.append(message_from_bytes(b"".join(lines)))
                self._say("250 ok")

            def _say(self, line: str) -> None:
                self.wfile.write(f"{line}\r\n".encode())

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.address = f"mailto://127.0.0.1:{self.port}?from=costs@example.com&to=ops@example.com&mode=insecure"

    @contextmanager
    def running(self) -> Iterator[Mailbox]:
        with self._server:
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
            try:
                yield self
            finally:
                self._server.shutdown()


def closed_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
