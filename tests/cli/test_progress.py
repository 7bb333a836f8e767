"""What a sync shows while it runs."""

from __future__ import annotations

import io

from rich.console import Console

from etl.cli.shared.progress import LogLines, TerminalLines, stream_line
from etl.sync.job import StreamProgress
from etl.warehouse.bookmarks import StreamId
from tests.cases import cases

STREAM = StreamId("cloudtrail", "111122223333", "us-east-1")


class Seconds:
    """A clock set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@cases(
    ("progress", "seconds", "text"),
    [
        (StreamProgress(STREAM, "new", 0, 1, 50), 0.2, "new events, 0/1 windows, 50 read"),
        (
            StreamProgress(STREAM, "history", 3, 9, 9000, 0.25), 100.0,
            "history, 3/12 windows, 9,000 read, 90/s, 5 min left",
        ),
        (StreamProgress(STREAM, "history", 1, 9, 90, 0.01), 100.0, "history, 1/10 windows, 90 read, 1/s, 2 h 45 min left"),
        (StreamProgress(STREAM, "reread", 0, 1, 10, 0.9), 90.0, "last days again, 0/1 windows, 10 read, 0/s, 10 s left"),
        (
            StreamProgress(StreamId("cloudwatch", "1", "r"), "whole", 1, 2, 30), 10.0,
            "CloudWatch totals, 1/3 windows, 30 read, 3/s",
        ),
        (StreamProgress(STREAM, "done", read=7, share=1.0), 3.0, "done, 7 read"),
        (StreamProgress(STREAM, "failed", message="denied [red]"), 3.0, "failed: denied [red]"),
    ],
)  # fmt: skip
def test_a_line_says_how_far_how_fast_and_how_long(
    progress: StreamProgress, seconds: float, text: str
) -> None:
    assert stream_line(progress, seconds) == text


def test_a_log_gets_a_line_at_the_end_and_every_half_minute() -> None:
    clock, lines = Seconds(), list[str]()
    with LogLines(lines.append, clock) as show:
        for second in range(100):
            clock.now = second
            show(StreamProgress(STREAM, "history", 0, 1, second, second / 100))
        show(StreamProgress(STREAM, "done", share=1.0))
    told = [line.partition(": ")[2] for line in lines]
    assert told == [
        "history, 0/1 windows, 30 read, 1/s, 1 min left",
        "history, 0/1 windows, 60 read, 1/s, 40 s left",
        "history, 0/1 windows, 90 read, 1/s, 10 s left",
        "done, 99 read",
    ]
    assert all(line.split()[1] == "cloudtrail/111122223333/us-east-1:" for line in lines)


def test_each_round_has_its_own_rate() -> None:
    """A long history takes many rounds, and each counts from 0."""
    clock, shown = Seconds(), list[tuple[int, float]]()
    display = LogLines(lambda line: None, clock)
    display.show = lambda progress, seconds: shown.append((progress.read, seconds))  # type: ignore[method-assign]
    for now, read in ((0, 0), (900, 80_000), (901, 50), (951, 4500)):
        clock.now = now
        display(StreamProgress(STREAM, "history", 0, 1, read))
    assert shown == [(0, 0), (80_000, 900), (50, 0), (4500, 50)]


def test_a_log_goes_on_in_the_next_round() -> None:
    clock, lines = Seconds(), list[str]()
    show = LogLines(lines.append, clock)
    for now, read in ((0, 0), (800, 8000), (900, 10), (910, 20), (940, 50)):
        clock.now = now
        show(StreamProgress(STREAM, "history", 0, 1, read))
    assert [line.split(", ")[2] for line in lines] == ["8,000 read", "10 read", "50 read"]


def test_more_streams_than_lines_leave_out_what_is_done() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120, height=6)
    with TerminalLines(console, Seconds()) as show:
        for number in range(9):
            show(StreamProgress(STREAM._replace(region=f"region-{number}"), "done", share=1.0))
        show(StreamProgress(STREAM, "failed", message="AccessDenied [bold]on[/bold] x"))
    last = output.getvalue().split("region-8")[-1]
    assert "AccessDenied [bold]on[/bold] x" in last
