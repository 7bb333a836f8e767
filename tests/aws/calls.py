"""One request as the fake understands it, and the two ways in which it may go wrong.

An ``AwsError`` is an answer that AWS would give too; the client gets it in the protocol's own form.
A ``Violation`` is a mistake of the program under test, of a test, or of the fake itself: something
that real AWS never receives or never sends. It is recorded, and fails the test when the fake stops.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.model import OperationModel

if TYPE_CHECKING:
    from tests.aws.fake import FakeAws
    from tests.aws.place import Place


class AwsError(Exception):
    """An error answer. ``status`` counts only where botocore's model does not set one."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Violation(Exception):  # noqa: N818 - not an error of AWS
    """Something that must not happen; the test fails."""


@dataclass(frozen=True)
class HttpRequest:
    """A request off the wire; ``path`` and ``query`` are still percent-encoded."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes

    @property
    def plain_body(self) -> bytes:
        """The body as it was before the client compressed it."""
        is_packed = self.headers.get("Content-Encoding") == "gzip"
        return gzip.decompress(self.body) if is_packed else self.body


@dataclass(frozen=True)
class Answer:
    """The answer. ``ending``: how it is sent: completely, "reset", "reset-in-body" or "hang"."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    ending: str = "sent"


@dataclass
class Request:
    """The record of a request, for assertions; timestamps in ``params`` are aware datetimes.

    ``outcome`` is "ok", the code of the error, or the kind of the fault that answered.
    """

    service: str
    operation: str
    account: str
    region: str
    params: dict[str, Any]
    outcome: str
    at: datetime


@dataclass
class Call:
    """A request with everything that its handler needs. ``twist``: a fault for it to simulate.

    ``headers``: headers of the answer besides the model's; its request id is ``request_id``.
    """

    aws: FakeAws
    service: str
    operation: OperationModel
    account: str
    region: str
    access_key: str
    params: dict[str, Any]
    http: HttpRequest
    twist: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid4()))
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def place(self) -> Place:
        return self.aws.place(self.account, self.region)

    @property
    def token(self) -> str | None:
        """The page's token, whatever its name in this service."""
        return self.params.get("NextToken") or self.params.get("nextToken")


Handler = Callable[[Call], dict[str, Any]]
