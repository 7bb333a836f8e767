"""Local folders, what is found below a root, and reading ahead."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from etl.errors import BedrockUsageError, FileGoneError, RejectError, RetriableError, StoppedError
from etl.sources import stores as stores_module
from etl.sources.layouts import LogDelivery
from etl.sources.listing import FolderListing, each_file, find_streams, stream_files, survey
from etl.sources.prefetch import fetch_ahead, prefetch
from etl.sources.stores import Content, LocalStore, Store, StoredFile

A, B, ORG = "111122223333", "444455556666", "o-abcdefghij"
TRAIL_A = f"p/AWSLogs/{ORG}/{A}/CloudTrail/us-east-1/"
TRAIL_B = f"p/AWSLogs/{ORG}/{B}/CloudTrail/eu-west-1/"
LOGS = f"p/AWSLogs/{A}/BedrockModelInvocationLogs/us-east-1/"
STORE = LocalStore()


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"{tmp_path.resolve()}/"


def put(root: str, *names: str, content: str = "x") -> None:
    for name in names:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def below(root: str, folder: str = "", after: str = "", before: str | None = None) -> list[str]:
    found = STORE.files_below(root + folder, after, before)
    return [file.uri.removeprefix(root) for file in found]


def names(found: Iterator[StoredFile] | FolderListing, root: str) -> list[str]:
    files = each_file(STORE, found) if isinstance(found, FolderListing) else found
    return [file.uri.removeprefix(root) for file in files]


class Broken(LocalStore):
    """A store in which some folders cannot be listed."""

    def __init__(self, *folders: str) -> None:
        self.folders, self.listed = folders, list[str]()

    def list_folder(self, folder: str) -> Any:
        self.listed.append(folder)
        if folder in self.folders:
            raise RejectError("broken")
        return super().list_folder(folder)

    def files(self, folder: str) -> Iterator[StoredFile]:
        if folder in self.folders:
            raise RejectError("broken")
        return super().files(folder)


def test_a_path_is_a_file_or_a_folder(root: str) -> None:
    put(root, "a/1.json", content="four")
    found = STORE.find(f"{root}a/../a/1.json")
    assert isinstance(found, StoredFile)
    assert (found.folder, found.name, found.size) == (f"{root}a/", "1.json", 4)
    assert found.uri == f"{root}a/1.json"
    assert STORE.find(f"{root}a") == STORE.find(f"{root}a/") == f"{root}a/"
    assert STORE.find("/") == "/"
    with pytest.raises(RejectError, match="No such file"):
        STORE.find(f"{root}none")


def test_a_file_that_is_not_regular_is_reported_without_waiting(root: str) -> None:
    put(root, "kept")
    os.mkfifo(f"{root}pipe")
    Path(root, "loop").symlink_to(Path(root, "loop"))
    Path(root, "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        # A socket address must be short.
        listening.bind(f"/proc/self/fd/{os.open(root, os.O_RDONLY)}/socket")
        told = {}
        for file in STORE.files(root):
            try:
                STORE.read(file)
            except BedrockUsageError as error:
                told[file.name] = str(error)
    assert told == {
        "loop": "cannot be read: Too many levels of symbolic links",
        "pipe": "is a pipe: only regular files are read",
        "socket": "is a socket: only regular files are read",
        "zero": "is a device: only regular files are read",
    }
    with pytest.raises(RejectError, match=r"link to itself|Too many levels of symbolic links"):
        STORE.find(f"{root}loop")
    reading, writing = os.pipe()
    found = STORE.find(f"/dev/fd/{reading}")
    assert isinstance(found, StoredFile)
    with pytest.raises(RejectError, match="is a pipe"):
        STORE.read(found)
    for opened in (reading, writing):
        os.close(opened)


def test_a_folder_is_listed_as_s3_would(root: str) -> None:
    put(root, "a/1", "a.b/2", "a-b/3", "a0", "b/c/4", "Z")
    assert below(root) == ["Z", "a-b/3", "a.b/2", "a/1", "a0", "b/c/4"]
    assert STORE.list_folder(root) == (["a-b", "a.b", "a", "b"], True)
    assert STORE.list_folder(f"{root}b/") == (["c"], False)
    assert names(STORE.files(root), root) == ["Z", "a0"]


def test_what_is_hidden_or_no_log_is_left_out(root: str) -> None:
    put(root, ".hidden", ".git/x", "d/.x", "CloudTrail-Digest/y", "kept", f"{LOGS}2026/11/02/09/a")
    put(root, f"{LOGS}2026/11/02/09/data/prompt", f"{LOGS}amazon-bedrock-logs-permission-check")
    put(root, f"p/AWSLogs/{A}/vpcflowlogs/us-east-1/2026/11/02/flow.log.gz")
    kept = ["kept", f"{LOGS}2026/11/02/09/a"]
    assert below(root) == kept
    assert names(survey(STORE, root), root) == kept


def test_links_to_folders_are_not_followed_those_to_files_are(root: str) -> None:
    put(root, "a/1")
    Path(root, "loop").symlink_to(root, target_is_directory=True)
    Path(root, "link").symlink_to(Path(root, "a/1"))
    Path(root, "dead").symlink_to("/nowhere")
    assert below(root) == ["a/1", "dead", "link"]
    with pytest.raises(RejectError, match="is a broken link"):
        STORE.read(StoredFile(root, "dead", "", 0))


@pytest.mark.parametrize(
    ("after", "before", "expected"),
    [
        ("b/1", None, ["b/2", "c/d/1", "e"]),
        ("b/", "c/", ["b/1", "b/2"]),
        ("c/d/", None, ["c/d/1", "e"]),
        ("", "b/2", ["a/1", "b/1"]),
        ("f", None, []),
    ],
)
def test_a_part_of_what_is_below(
    root: str, after: str, before: str | None, expected: list[str]
) -> None:
    put(root, "a/1", "b/1", "b/2", "c/d/1", "e")
    assert below(root, "", root + after, before and root + before) == expected


def test_what_cannot_be_listed_does_not_stop_the_rest(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "a/1", "b/2", "c/3", "d/4")
    scan = os.scandir

    def refuse(folder: str) -> Any:
        if folder in (f"{root}b/", f"{root}c/"):
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    seen = []
    with pytest.raises(RejectError, match=r"folder .*/b/ cannot be read: Permission denied, and 1"):
        for file in STORE.files_below(root):
            seen.append(file.name)  # noqa: PERF401 (it ends with an error)
    assert seen == ["1", "4"]
    # Problems outside the requested part do not matter.
    assert below(root, "", "", f"{root}b/") == ["a/1"]


def test_the_etag_is_that_of_what_was_read(root: str) -> None:
    put(root, "a", content="before")
    (listed,) = STORE.files(root)
    assert STORE.read(listed) == Content(b"before", listed.etag)
    put(root, "a", content="and after")
    content = STORE.read(listed)
    assert content.data == b"and after"
    assert content.etag == next(STORE.files(root)).etag != listed.etag


def test_a_file_that_is_gone_and_one_that_may_not_be_read(root: str) -> None:
    put(root, "a", "folder/b")
    (listed,) = STORE.files(root)
    Path(root, "a").unlink()
    with pytest.raises(FileGoneError, match="no longer there"):
        STORE.read(listed)
    with pytest.raises(RejectError, match="cannot be read: Is a directory"):
        STORE.read(StoredFile(root, "folder", "x", 1))


def test_a_large_file_is_given_in_pieces_as_often_as_it_is_asked_for(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores_module, "SMALL_BYTES", 3)
    put(root, "a", content="abcdef")
    content = STORE.read(next(STORE.files(root)))
    assert not isinstance(content.data, bytes)
    for _ in range(2):
        assert b"".join(content.pieces()) == b"abcdef"
    Path(root, "a").unlink()
    with pytest.raises(RejectError, match="No such file"):
        list(content.pieces())


DAYS = [
    f"{TRAIL_A}2026/10/31/",
    f"{LOGS}2026/11/01/",
    f"{TRAIL_B}2026/11/01/",
    f"{LOGS}2026/11/02/",
    f"{TRAIL_A}2026/11/02/",
]


@pytest.fixture
def logs(root: str) -> str:
    put(root, f"{TRAIL_A}2026/10/31/a", f"{TRAIL_A}2026/11/02/b", f"{TRAIL_B}2026/11/01/c")
    put(root, f"{LOGS}2026/11/01/23/d", f"{LOGS}2026/11/02/00/e", f"{LOGS}2026/11/02/01/f")
    return root


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("", DAYS),
        ("p/", DAYS),
        ("p/AWSLogs/", DAYS),
        (f"p/AWSLogs/{ORG}/", [DAYS[0], DAYS[2], DAYS[4]]),
        (f"p/AWSLogs/{ORG}/{A}/", [DAYS[0], DAYS[4]]),
        (f"p/AWSLogs/{A}/BedrockModelInvocationLogs/", [DAYS[1], DAYS[3]]),
        (TRAIL_A, [DAYS[0], DAYS[4]]),
        (f"{TRAIL_A}2026/", [DAYS[0], DAYS[4]]),
        (f"{TRAIL_A}2026/11/", [DAYS[4]]),
        (f"{TRAIL_A}2026/11/02/", [DAYS[4]]),
        (f"{LOGS}2026/11/02/01/", [f"{LOGS}2026/11/02/01/"]),
        (f"{LOGS}2026/12/", []),
    ],
)
def test_days_are_found_from_any_level(logs: str, part: str, expected: list[str]) -> None:
    Path(logs, f"{LOGS}2026/12").mkdir()
    found = survey(STORE, logs + part)
    assert [day.folder.removeprefix(logs) for day in found.days] == expected
    assert (found.loose, found.problems) == ([], [])


def test_a_day_says_whose_it_is(logs: str) -> None:
    kinds = {(day.kind, day.account_id, day.region) for day in survey(STORE, logs).days}
    assert kinds == {
        ("trail", A, "us-east-1"),
        ("trail", B, "eu-west-1"),
        ("invocation_logs", A, "us-east-1"),
    }


def test_what_is_loose_comes_first_then_day_by_day(logs: str) -> None:
    put(logs, "top", "z/y", f"{TRAIL_A}odd", f"{TRAIL_A}2026/odd", f"{TRAIL_A}notes/n")
    put(logs, f"{TRAIL_A}2026/02/31/never", f"p/AWSLogs/{A}/loose")
    found = names(survey(STORE, logs), logs)
    assert set(found[:7]) == {
        "top", "z/y", f"{TRAIL_A}odd", f"{TRAIL_A}2026/odd", f"{TRAIL_A}notes/n",
        f"{TRAIL_A}2026/02/31/never", f"p/AWSLogs/{A}/loose",
    }  # fmt: skip
    assert [name[-1] for name in found[7:]] == ["a", "d", "c", "e", "f", "b"]


def test_without_any_layout_every_file_is_loose(root: str) -> None:
    put(root, "b/2", "b/1", "a", "c/d/3", f"{A}/us-east-1/lookup.json")
    found = survey(STORE, root)
    assert found.days == []
    assert names(found, root) == ["a", f"{A}/us-east-1/lookup.json", "b/1", "b/2", "c/d/3"]


def test_a_partial_copy_of_the_layout_is_recognized(root: str) -> None:
    put(root, "copy/CloudTrail/us-east-1/2026/11/02/x")
    (day,) = survey(STORE, root).days
    assert (day.kind, day.account_id, day.region, day.day) == (
        "trail", None, "us-east-1", date(2026, 11, 2),
    )  # fmt: skip


def test_what_is_out_of_range_is_not_even_listed(logs: str) -> None:
    put(logs, f"{TRAIL_A}2025/12/31/x", f"{TRAIL_A}2026/12/01/x")
    store = Broken()
    found = survey(store, logs, since=date(2026, 11, 1), until=date(2026, 11, 30))
    assert [day.folder.removeprefix(logs) for day in found.days] == DAYS[1:]
    dated = {folder.removeprefix(logs + TRAIL_A) for folder in store.listed if TRAIL_A in folder}
    assert dated == {"", "2026/", "2026/11/"}


def test_problems_are_reported_with_their_folder_and_stop_nothing(logs: str) -> None:
    put(logs, "loose/1")
    store = Broken(f"{logs}{TRAIL_B}", f"{logs}loose/")
    found = survey(store, logs)
    assert [problem.folder for problem in found.problems] == [f"{logs}loose/", f"{logs}{TRAIL_B}"]
    assert len(found.days) == 4
    found = survey(STORE, logs)
    files = list(each_file(Broken(f"{logs}loose/"), found))
    assert [problem.folder for problem in found.problems] == [f"{logs}loose/"]
    assert len(files) == 6


def test_streams_and_their_files(logs: str) -> None:
    streams, problems = find_streams(STORE, f"{logs}p/")
    assert problems == []
    assert streams == [
        LogDelivery("invocation_logs", A, "us-east-1", f"{logs}{LOGS}"),
        LogDelivery("trail", A, "us-east-1", f"{logs}{TRAIL_A}"),
        LogDelivery("trail", B, "eu-west-1", f"{logs}{TRAIL_B}"),
    ]
    put(logs, f"{TRAIL_A}2026/11/02x/odd", f"{TRAIL_A}2026/odd")

    def of(number: int, **days: date) -> list[str]:
        return [file.name for file in stream_files(STORE, streams[number], **days)]

    assert of(0) == ["d", "e", "f"]
    assert of(0, since=date(2026, 11, 2)) == ["e", "f"]
    assert of(0, until=date(2026, 11, 1)) == ["d"]
    assert of(1) == ["a", "b"]
    assert of(1, since=date(2026, 10, 31), until=date(2026, 10, 31)) == ["a"]
    assert of(1, since=date(2026, 11, 3)) == []


def test_a_day_that_cannot_be_listed_is_reported_before_later_days(
    logs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(folder: str) -> Any:
        if folder.endswith("/2026/10/31/"):
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    stream = LogDelivery("trail", A, "us-east-1", f"{logs}{TRAIL_A}")
    with pytest.raises(RejectError, match="2026/10/31/ cannot be read"):
        list(stream_files(STORE, stream, until=date(2026, 11, 1)))


def test_a_month_of_a_stream_is_a_stream_of_that_month(logs: str) -> None:
    streams, _ = find_streams(STORE, f"{logs}{TRAIL_A}2026/11/")
    assert [stream.prefix for stream in streams] == [f"{logs}{TRAIL_A}2026/11/"]
    assert names(stream_files(STORE, streams[0], since=date(2026, 10, 1)), logs) == [
        f"{TRAIL_A}2026/11/02/b"
    ]


def test_streams_are_not_looked_for_in_the_depths_of_other_folders(root: str) -> None:
    put(root, f"1/2/3/4/AWSLogs/{A}/CloudTrail/us-east-1/2026/11/02/x")
    assert len(find_streams(STORE, root)[0]) == 1
    put(root, "5/4/3/2/1/0/x", f"5/4/3/2/1/AWSLogs/{A}/CloudTrail/us-east-1/2026/11/02/x")
    store = Broken()
    assert len(find_streams(store, root)[0]) == 1
    assert (
        max(folder.removeprefix(root).count("/") for folder in store.listed if "AWS" not in folder)
        == 4
    )


class Slow:
    """A function that records its running calls, and returns when allowed."""

    def __init__(self, pause: float = 0.0) -> None:
        self.running = self.most = self.calls = 0
        self._pause, self._lock = pause, threading.Lock()

    def __call__(self, item: int) -> int:
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self._pause * (item % 3))
        with self._lock:
            self.running -= 1
        if item < 0:
            raise RejectError(str(item))
        return item * item


def test_results_come_in_order_whoever_is_ready_first() -> None:
    slow = Slow(0.003)
    results = list(prefetch(slow, range(40), ahead=8, threads=4))
    assert results == [(number, number * number) for number in range(40)]
    assert 1 < slow.most <= 4


def test_no_more_is_asked_for_than_was_agreed() -> None:
    slow = Slow()
    asked = 0

    def items() -> Iterator[int]:
        nonlocal asked
        for item in range(100):
            asked += 1
            yield item

    for number, _ in prefetch(slow, items(), ahead=5):
        # The current one, five ahead, and one waiting for its turn.
        assert asked <= number + 7
        assert slow.calls <= number + 6


def test_bytes_are_bounded_and_a_large_file_is_read_alone() -> None:
    sizes = [4, 4, 4, 50, 4, 4, 4, 4]
    held = started = most = 0
    lock = threading.Lock()

    def read(size: int) -> int:
        nonlocal held, most, started
        with lock:
            started += 1
            held += size
            most = max(most, held if size < 50 else held - 50)
            assert size < 50 or held == 50
        return size

    for size, result in prefetch(read, sizes, ahead=10, cost=lambda size: size, budget=10):
        assert size == result
        with lock:
            held -= size
    assert started == len(sizes)
    # The item yielded last counts until the next is requested, so the budget is never exceeded.
    assert most <= 10


def test_what_was_used_makes_room_for_more() -> None:
    asked = 0

    def items() -> Iterator[int]:
        nonlocal asked
        for item in range(50):
            asked += 1
            yield item

    results = prefetch(Slow(), items(), ahead=100, cost=lambda item: 1, budget=10)
    for number, _ in results:
        assert asked >= min(number + 11, 50)


def test_results_that_are_there_count_as_well() -> None:
    answered, asked = threading.Semaphore(0), 0

    def answer(item: int) -> bytes:
        answered.release()
        return bytes(4)

    def items() -> Iterator[int]:
        nonlocal asked
        for item in range(20):
            asked += 1
            yield item
            assert answered.acquire(timeout=10)

    results = prefetch(answer, items(), ahead=100, weight=len, budget=10)
    assert next(results) == (0, bytes(4))
    # Three results are too much; the last may have been pending when the next was requested.
    assert asked <= 5
    assert len(list(results)) == 19


def test_an_error_comes_in_order() -> None:
    results = [result for _, result in prefetch(Slow(), [1, -2, 3], ahead=2)]
    assert [str(result) for result in results] == ["1", "-2", "9"]
    assert isinstance(results[1], RejectError)


def test_an_error_of_the_listing_comes_after_what_was_listed() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2, 3)
        raise RetriableError("the listing broke off")

    seen = []
    with pytest.raises(RetriableError, match="broke off"):
        for _, result in prefetch(Slow(), items(), ahead=2):
            seen.append(result)
    assert seen == [1, 4, 9]


@pytest.mark.parametrize("error", [StoppedError("stopped"), ZeroDivisionError()])
def test_a_stop_and_a_mistake_are_no_results(error: Exception) -> None:
    def fail(item: int) -> int:
        raise error

    with pytest.raises(type(error)):
        list(prefetch(fail, [1, 2, 3], ahead=2))


def test_who_leaves_early_leaves_nothing_running() -> None:
    slow = Slow(0.01)
    before = threading.active_count()
    results = prefetch(slow, range(1000), ahead=200, threads=2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert slow.running == 0
    assert slow.calls < 200
    assert threading.active_count() == before


def test_local_files_are_read_ahead_too(root: str) -> None:
    for number in range(20):
        put(root, f"{number:02}", content=str(number))
    store: Store = LocalStore()
    files = list(store.files_below(root))
    files.insert(3, StoredFile(root, "gone", "x", 1))
    results: list[Content | BedrockUsageError] = [
        r for _, r in fetch_ahead(store, files, threads=3)
    ]
    assert isinstance(results.pop(3), FileGoneError)
    assert [r.data for r in results if isinstance(r, Content)] == [
        str(number).encode() for number in range(20)
    ]
