"""Send what is due, and record how that went."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlite_utils import Database

from etl.clock import Clock
from etl.config import Config, Target
from etl.errors import BedrockUsageError, LockedError, StoppedError
from etl.notify.contents import document_of
from etl.notify.send import Outcome, Sender
from etl.warehouse.lock import message_lock
from etl.warehouse.messages import (
    FAILED,
    SENT,
    Delivery,
    begin_delivery,
    due_deliveries,
    end_delivery,
    note_delivered,
)
from etl.warehouse.secret import secret_of
from etl.warehouse.turns import path_of

# So long another configuration of the same warehouse may have a target that this one has not.
_KEPT = timedelta(days=2)


def targets_for(config: Config, topic: str) -> list[str]:
    """Return the names of the targets that are told of a topic."""
    return [target.name for target in config.notify.targets if topic in target.topics]


def send_due(
    db: Database,
    config: Config,
    clock: Clock,
    profile: str | None,
    report: Callable[[str], None],
) -> bool:
    """Send every message that is due; report what happened. Return whether all of them arrived.

    Without targets in the configuration, what is due waits.
    """
    if not config.notify.targets or not _due(db, config, clock):
        return True
    try:
        with message_lock(path_of(db)):
            sender = Sender(profile or config.accounts.profile, clock, secret_of(db))
            # Read again: the process that had the lock before may have sent some.
            due = _due(db, config, clock)
            # One that fails keeps no other from being tried.
            arrived = [_deliver(db, config, sender, one, report) for one in due]
            return all(arrived)
    except LockedError:
        report("Messages          another process is sending them")
        return True


def _due(db: Database, config: Config, clock: Clock) -> list[Delivery]:
    """Return what has to be sent now, without what only another configuration can send.

    What nobody sent to a target that this one does not have is given up after two days.
    """
    known = {target.name for target in config.notify.targets}
    old = clock.now() - _KEPT
    return [
        one
        for one in due_deliveries(db, clock.now())
        if one.target in known or datetime.fromisoformat(one.created_at) < old
    ]


def _deliver(
    db: Database, config: Config, sender: Sender, one: Delivery, report: Callable[[str], None]
) -> bool:
    clock = sender.clock
    clock.check()
    target = next((each for each in config.notify.targets if each.name == one.target), None)
    begin_delivery(db, one, clock.now())
    try:
        outcome = _try(db, config, sender, target, one)
    except StoppedError:
        raise
    except BedrockUsageError as error:
        outcome = Outcome(str(error))
    state = end_delivery(
        db, one, clock.now(), outcome.reason, is_unknown=outcome.is_unknown, is_final=target is None
    )
    if state == SENT:
        report(f"Sent              {one.topic} to {one.target}")
        return True
    again = "; it is given up" if state == FAILED else "; a later run tries again"
    report(f"Not sent          {one.topic} to {one.target}: {outcome.reason}{again}")
    return False


def _try(
    db: Database, config: Config, sender: Sender, target: Target | None, one: Delivery
) -> Outcome:
    if target is None:
        return Outcome("the configuration has no such target any more")
    return sender.send(
        target,
        document_of(db, one, config.notify.url, sender.clock.now()),
        is_repeat=one.may_be_repeated,
        delivered=list(one.delivered),
        note=lambda delivered: note_delivered(db, one, delivered),
    )
