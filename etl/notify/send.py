"""Send one message to one target: by apprise, or by SNS with boto3's own credentials.

Apprise says only whether a message was accepted. What it logs may contain addresses, so nothing of
it is shown but the status of a response. apprise is an extra, imported on first use.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from etl.clock import Clock
from etl.config import Target
from etl.errors import BedrockUsageError, RetriableError
from etl.notify.addresses import addresses_of
from etl.notify.document import Document, as_html, as_text, as_title
from etl.sources.accounts import open_own_account
from etl.sources.aws import Place

# What SNS accepts as the subject of a mail.
_LONGEST_SUBJECT = 99

_STATUS = re.compile(r"\berror=(\d{3})\b|\b(\d{3})\b(?= |\))")
# What requests says of a server that got the message, and gave no answer.
_NO_ANSWER = re.compile(r"read timed out|connection aborted", re.IGNORECASE)


class Outcome(NamedTuple):
    """How a try ended. ``reason`` None: everything arrived.

    ``is_unknown``: it may have arrived all the same.
    """

    reason: str | None = None
    is_unknown: bool = False


class Sender(NamedTuple):
    """What sending needs: the AWS profile, the clock, the secret that hashes addresses."""

    profile: str | None
    clock: Clock
    secret: str

    def send(
        self,
        target: Target,
        document: Document,
        *,
        is_repeat: bool,
        delivered: list[str],
        note: Callable[[list[str]], None],
    ) -> Outcome:
        """Send a document to those addresses of a target that do not have it.

        ``delivered``: the hashes of those that have it; ``note`` is told of each more.
        """
        if target.sns is not None:
            return self._publish(target.sns, document, is_repeat)
        apprise = _apprise()
        reasons = []
        is_unknown = False
        for number, address in enumerate(addresses_of(target), 1):
            self.clock.check()
            digest = self._hash(address)
            if digest in delivered:
                continue
            outcome = _notify(apprise, address, document, is_repeat)
            if outcome.reason is None:
                delivered = [*delivered, digest]
                note(delivered)
            else:
                reasons.append(f"address {number}: {outcome.reason}")
                is_unknown = is_unknown or outcome.is_unknown
        return Outcome("; ".join(reasons) or None, is_unknown)

    def _publish(self, topic: str, document: Document, is_repeat: bool) -> Outcome:
        own = open_own_account(self.profile, self.clock)
        title = as_title(document, is_repeat=is_repeat)
        # SNS refuses other characters, and messages that begin with a blank.
        subject = title.encode("ascii", "replace").decode()[:_LONGEST_SUBJECT].strip()
        query = {
            "TopicArn": topic,
            "Subject": subject,
            "Message": f"{title}\n\n{as_text(document)}",
        }
        try:
            Place(own, topic.split(":")[3], self.clock).call(
                "sns", "Publish", query, requires="MessageId", is_repeatable=False
            )
        except RetriableError as error:
            return Outcome(str(error), is_unknown=not error.is_undone)
        return Outcome()

    def _hash(self, address: str) -> str:
        key = hashlib.sha256(f"addresses\0{self.secret}".encode()).digest()
        return hmac.new(key, address.encode(), hashlib.sha256).hexdigest()[:16]


def require_apprise() -> None:
    """Raise BedrockUsageError if apprise is not installed."""
    if importlib.util.find_spec("apprise") is None:
        raise BedrockUsageError("apprise is not installed: pip install 'bedrock-usage[notify]'")


def _apprise() -> Any:
    require_apprise()
    return import_module("apprise")


def _notify(apprise: Any, address: str, document: Document, is_repeat: bool) -> Outcome:
    """Send to an address."""
    asset = apprise.AppriseAsset(
        app_id="bedrock-usage",
        app_desc="Amazon Bedrock usage and cost",
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        async_mode=False,
    )
    with _quiet() as log:
        try:
            service = apprise.Apprise.instantiate(address, asset=asset)
        except Exception as error:
            return Outcome(f"not one that apprise understands ({type(error).__name__})")
        if service is None:
            return Outcome("not one that apprise understands")
        is_html = _first_format(service) == apprise.NotifyFormat.HTML
        try:
            is_sent = service.notify(
                body=as_html(document) if is_html else as_text(document),
                title=as_title(document, is_repeat=is_repeat),
                notify_type=apprise.NotifyType.WARNING
                if document.is_warning
                else apprise.NotifyType.INFO,
                body_format=apprise.NotifyFormat.HTML if is_html else apprise.NotifyFormat.TEXT,
            )
        except Exception as error:
            # The error of a plugin: its text may contain the address.
            return Outcome(f"{service.service_name}: {type(error).__name__}")
    if is_sent:
        return Outcome()
    if log.has_no_answer:
        return Outcome(
            f"{service.service_name}: it did not answer; the message may have arrived",
            is_unknown=True,
        )
    answered = f" (answer {log.statuses[-1]})" if log.statuses else ""
    return Outcome(f"{service.service_name} did not accept the message{answered}")


def _first_format(service: Any) -> Any:
    formats = service.notify_format
    return formats[0] if isinstance(formats, tuple | list) else formats


class _Log(logging.Handler):
    """What matters of the records of a log: the statuses of answers, and whether there was none."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[str] = []
        self.has_no_answer = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING and (found := _STATUS.search(text)):
            self.statuses.append(found[1] or found[2])
        self.has_no_answer = self.has_no_answer or _NO_ANSWER.search(text) is not None


@contextmanager
def _quiet() -> Iterator[_Log]:
    """Keep what apprise logs from the output; yield what matters of it."""
    logger, log = logging.getLogger("apprise"), _Log()
    propagates, logger.propagate = logger.propagate, False
    # The details of failures are at this level.
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(log)
    try:
        with warnings.catch_warnings():
            # What a plugin uses of other libraries is not ours to change.
            warnings.simplefilter("ignore")
            yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = propagates
