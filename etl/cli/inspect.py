"""``bedrock-usage inspect``: one event in full, or a summary of many and what to do about it."""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import click
from sqlite_utils import Database

from etl.cli.shared.loading import apply_rules, reading_keys
from etl.cli.shared.options import (
    archive_option,
    config_option,
    db_option,
    format_option,
    place_options,
)
from etl.cli.shared.scope import choose, open_places
from etl.cli.shared.signals import stops
from etl.cli.shared.stores import Stores, is_s3
from etl.clock import Clock
from etl.config import Config, load_config
from etl.errors import RejectError
from etl.inspect.explain import Explanation, explain, load_trial, stored_only
from etl.inspect.find import (
    Finder,
    KnownEvent,
    Notes,
    RawEvent,
    is_bedrock,
    is_session,
    read_events,
)
from etl.inspect.fixes import sections
from etl.inspect.show import (
    explanations_to_json,
    print_explanation,
    print_survey,
    survey_to_json,
)
from etl.inspect.statistics import survey_events, survey_warehouse
from etl.normalise.boundary import attempt
from etl.show.escaping import harmless
from etl.show.numbers import count
from etl.show.terminal import open_console
from etl.sources.aws import Place
from etl.warehouse.database import open_warehouse
from etl.warehouse.paths import is_there
from etl.warehouse.pseudonyms import forgotten_in
from etl.warehouse.read.inspect import (
    Located,
    latest_calls,
    locate_call,
    read_corrections,
    rollup_in,
)
from etl.warehouse.scratch import open_trial
from etl.warehouse.write.discounts import apply_discounts

MOST_EVENTS = 50
MOST_SURVEYED = 10_000

# Of a file that holds more, the newest are shown.
EVENTS_SHOWN = 10

_NEXT_STEP = (
    "The event history keeps management events for 90 days and delivers them within minutes, rarely"
    " hours. Older events and data events are in a trail's files: name those, or a folder with"
    " --archive. To keep events, use `bedrock-usage sync --archive`"
)


@click.command()
# Not text: a file name may be any bytes.
@click.argument("targets", nargs=-1, metavar="[EVENT_ID | FILE]...", type=click.UNPROCESSED)
@click.option(
    "--latest",
    type=click.IntRange(1, MOST_SURVEYED),
    metavar="N",
    help="Only the newest N: of the files named, else of the warehouse's calls, else of the event"
    " history. With --survey always of the event history.",
)
@click.option("--survey", is_flag=True, help="Summarise many events, and suggest what to do.")
@archive_option("Where events are archived: a folder with log files, or s3://bucket/prefix.")
@format_option()
@place_options
@config_option
@db_option
def inspect(
    targets: tuple[str, ...],
    latest: int | None,
    survey: bool,
    archive: str | None,
    format_: str,
    config: Path | None,
    db: Path,
    **choice: Any,
) -> None:
    """Show how an event was interpreted, field by field.

    A target is an event's id, or a file, folder or s3:// address that contains events. An id is
    looked up in the archive, then in CloudTrail's event history. --survey without a target covers
    all calls of the warehouse. Prompts and answers are never shown.
    """
    _check_usage(targets, latest, archive, survey)
    settings, clock = load_config(config), Clock()
    with stops(clock), _warehouse(db) as warehouse, open_trial(warehouse) as trial:
        job = _Inspection(settings, clock, archive, choice, warehouse, trial)
        if config is not None:
            apply_rules(trial, settings)
            apply_discounts(trial, settings.discounts)
        is_complete = (
            job.survey(targets, latest, format_)
            if survey
            else job.explain(targets, latest, format_)
        )
    sys.exit(0 if is_complete else 1)


def _check_usage(
    targets: Sequence[str], latest: int | None, archive: str | None, survey: bool
) -> None:
    if "" in targets:
        raise click.UsageError("an empty argument is neither an event's id nor a file")
    if survey:
        if archive:
            raise click.UsageError(
                f"--archive looks up events by id; to survey it: inspect --survey {archive}"
            )
        for target in targets:
            if not _is_place(target):
                raise click.UsageError(f"{target}: no such file; a survey takes files")
        if targets and latest:
            raise click.UsageError("--latest surveys the event history: leave the files out")
        return
    if not targets and not latest:
        raise click.UsageError("give an event's id, a file, --latest N or --survey")
    if latest and latest > MOST_EVENTS:
        raise click.UsageError(f"--latest {latest}: at most {MOST_EVENTS}, or more with --survey")
    if latest and not all(map(_is_place, targets)):
        raise click.UsageError("--latest works with files or alone, not with an event's id")
    for target in targets:
        # An id has neither; a missing path is a typo.
        if not _is_place(target) and (
            "/" in target or target.endswith((".json", ".gz")) or not target.isprintable()
        ):
            raise click.UsageError(f"{harmless(target)}: no such file")


def _is_place(target: str) -> bool:
    # os.path.exists: a name too long for a file is False, not an error.
    return is_s3(target) or os.path.exists(target)  # noqa: PTH110


@contextmanager
def _warehouse(path: Path) -> Iterator[Database | None]:
    """Open the warehouse if it exists: an event can be explained without it."""
    opened: AbstractContextManager[Database | None] = (
        open_warehouse(path) if is_there(path) else nullcontext(None)
    )
    with opened as db:
        yield db


class _Inspection:
    """One run of the command: where it looks, and what it writes to."""

    def __init__(
        self,
        settings: Config,
        clock: Clock,
        archive: str | None,
        choice: dict[str, Any],
        warehouse: Database | None,
        trial: Database,
    ) -> None:
        self._settings, self._clock, self._choice = settings, clock, choice
        self._warehouse, self._trial = warehouse, trial
        self._keys = reading_keys(settings)
        self._archive = archive or settings.sync.archive
        self._stores = Stores(clock, choice.get("profile") or settings.accounts.profile)
        self._notes = Notes()

    def explain(self, targets: Sequence[str], latest: int | None, format_: str) -> bool:
        """Explain events; return whether all requested events were found."""
        finder = self._finder()
        events, missing = self._wanted(targets, latest, finder)
        forgotten = forgotten_in(self._trial)
        events = [event._replace(record=forgotten.record(event.record)) for event in events]
        load_trial(self._trial, events, self._keys)
        explained = list(self._explained(events))
        explained += self._stored_only(missing)
        notes = [*self._notes.lines(), *missing_notes(missing, self._rollup())]
        if not explained and not missing:
            notes.append("no Bedrock events found")
        if format_ == "json":
            click.echo(explanations_to_json(explained, notes))
        else:
            console = open_console()
            for one in explained:
                print_explanation(one, console)
        _report([*notes, *([_NEXT_STEP] if missing else [])])
        return not notes

    def _rollup(self) -> str | None:
        return None if self._warehouse is None else rollup_in(self._warehouse)

    def _explained(self, events: Sequence[RawEvent]) -> Iterator[Explanation]:
        for event in events:
            try:
                yield attempt(explain, event, self._trial, self._warehouse, self._keys)
            except RejectError as error:
                self._notes.add(f"{event.where}: {error}")

    def survey(self, targets: Sequence[str], latest: int | None, format_: str) -> bool:
        """Survey files, the newest events, or the warehouse; return whether all could be read."""
        if targets or latest:
            events = self._finder().newest(latest) if latest else self._of_files(targets)
            found = survey_events(events, self._trial, self._keys)
        elif self._warehouse is not None:
            found = survey_warehouse(self._warehouse)
        else:
            raise click.UsageError(
                "there is no warehouse to survey: name files, or pass --latest N"
            )
        made = sections(found, self._clock.now().date())
        if not made:
            self._notes.add(
                "no Bedrock events found"
                if found.has_events
                else "the warehouse has no calls yet: run `bedrock-usage sync`, or name files"
            )
        if format_ == "json":
            click.echo(survey_to_json(found, made, self._notes.lines()))
        else:
            print_survey(found, made, open_console())
        _report(self._notes.lines())
        return not self._notes.total

    def _finder(self) -> Finder:
        now = self._clock.now()
        return Finder(self._archive, self._stores.store_of, self._open_places, now, self._notes)

    def _open_places(self) -> list[Place]:
        places, lost = open_places(choose(self._settings, **self._choice), self._clock)
        for error in lost:
            self._notes.add(str(error))
        return places

    def _wanted(
        self, targets: Sequence[str], latest: int | None, finder: Finder
    ) -> tuple[list[RawEvent], list[tuple[str, Located | None]]]:
        """Return the requested events, and the calls whose events cannot be found."""
        places = [target for target in targets if _is_place(target)]
        events = self._shown_of(places, latest) if places else []
        names: list[tuple[str, Located | None]] = [
            (target, locate_call(self._warehouse, target) if self._warehouse is not None else None)
            for target in targets
            if target not in places
        ]
        if latest and not targets:
            stored = latest_calls(self._warehouse, latest) if self._warehouse is not None else []
            names += [(call.event_id, call) for call in stored]
            events += [] if stored else finder.newest(latest)
        missing = []
        for name, located in names:
            # A call from an invocation log has an id of this program, unknown to AWS.
            found = finder.find(located.event_id if located else name, self._known(located))
            events += found
            if not found:
                missing.append((name, located))
        return events, missing

    def _of_files(self, paths: Sequence[str]) -> Iterator[RawEvent]:
        def checked(path: str) -> Iterator[RawEvent]:
            for event in read_events(self._stores.store_of(path), path, self._notes):
                self._clock.check()
                yield event

        return chain.from_iterable(map(checked, paths))

    def _shown_of(self, paths: Sequence[str], latest: int | None) -> list[RawEvent]:
        """Return the newest Bedrock events of files; then, if there is room, sessions."""
        number, ours, sessions = latest or EVENTS_SHOWN, 0, 0

        def counted() -> Iterator[tuple[bool, RawEvent]]:
            nonlocal ours, sessions
            for event in self._of_files(paths):
                if is_bedrock(event):
                    ours += 1
                    yield True, event
                elif is_session(event):
                    sessions += 1
                    yield False, event

        newest = heapq.nlargest(number, counted(), key=lambda found: (found[0], found[1].time))
        if ours + sessions > len(newest) and latest is None:
            there = count(ours, "Bedrock event")
            there += f" and {count(sessions, 'session')}" if sessions else ""
            click.echo(
                f"{there}; showing the newest {len(newest)}. For more, --latest N"
                f" (up to {MOST_EVENTS}); for one, its id with --archive; for all, --survey",
                err=True,
            )
        return [event for _, event in newest]

    def _known(self, located: Located | None) -> KnownEvent | None:
        if located is None or self._warehouse is None:
            return None
        key = located.event_time, located.event_id
        return KnownEvent(
            datetime.fromisoformat(located.event_time),
            located.account_id,
            located.region,
            bool(read_corrections(self._warehouse, *key)),
        )

    def _stored_only(self, missing: Sequence[tuple[str, Located | None]]) -> list[Explanation]:
        if self._warehouse is None:
            return []
        return [
            stored_only(located.event_id, located.event_time, self._warehouse)
            for _, located in missing
            if located
        ]


def _report(notes: Sequence[str]) -> None:
    for note in notes:
        click.echo(harmless(note), err=True)


def missing_notes(
    missing: Sequence[tuple[str, Located | None]], rollup: str | None = None
) -> list[str]:
    """Say which events were not found, and whether the warehouse has their calls.

    ``rollup``: the one whose days the warehouse has.
    """
    where = (
        f"; a call of a day that was rolled up can be fetched: `bedrock-usage rollup --output"
        f" {rollup} --calls ID --day DAY --db FILE`"
        if rollup
        else ""
    )
    return [
        f"{name}: the event was not found"
        + (" (the warehouse has its call)" if located else " (nor is it in the warehouse)")
        + ("" if located else where)
        for name, located in missing
    ]
