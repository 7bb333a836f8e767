"""Everything at once, for minutes: the result is correct.

Two people with one warehouse load files, synchronise with a faulty AWS, rebuild sums, vacuum,
forget names and import prices, all at random and in parallel, and their commands are killed at
random. Meanwhile new files and events arrive, some of them damaged, bombs or poison. At the end,
after one undisturbed run of everything, the warehouse equals a new one that got the same input
once; ``check`` finds nothing, and no command ever showed a traceback.

``SOAK_SECONDS`` (600) and ``SOAK_SEED`` (random, and printed) select another run.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.sql_files import sql_names
from etl.warehouse.database import open_warehouse
from tests.aws import FakeAws, Fault
from tests.rounds import long
from tests.support import (  # fmt: skip
    HAIKU,
    OF_THE_READING,
    SONNET,
    call,
    logged,
    role_identity,
    service_event,
    user_identity,
    uuid_of,
    write_invocation_log,
    write_log,
    write_metrics,
)
from tests.sync.support import utc

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(10**6))))

# Only the limiter is not realistic: with it a sync would take minutes.
PROGRAM = """
from etl.sources import limiter
limiter.LOOKUP_SECONDS = 0.0
from etl.cli import main
main()
"""
ROOT = Path(__file__).parents[1]
# No command may take longer, whatever else is running.
PATIENCE_SECONDS = 240
SYNC = ("sync", "--region", "us-east-1", "--since", "6d", "--source", "cloudtrail", "--source", "cloudwatch")  # fmt: skip
PEOPLE = ("alice", "bob", "carol@example.com", "dave.x", "erin@example.com")
FAULTS = ("500", "503", "throttle", "reset", "reset-in-body", "truncated", "cut", "garbage", "slow", "denied")  # fmt: skip
PRICES = "model_id,region,scope,service_tier,token_kind,min_input_tokens,usd_per_mtok,effective_from,effective_to,source,checked_on\n"  # fmt: skip
MARTS = sorted(
    name
    for name in sql_names("marts")
    # Movers compares the last days that are over, which follow from the reading too.
    if name not in (*OF_THE_READING, "movers")
)


class Inputs:
    """Makes files and events; what it has made is the expected content."""

    def __init__(self, rng: random.Random, folder: Path, aws: FakeAws) -> None:
        self._rng, self._aws, self._number = rng, aws, 0
        self._made: list[dict[str, Any]] = []
        self.inbox, self._drafts = folder / "inbox", folder / "drafts"
        self.inbox.mkdir()
        self._drafts.mkdir()
        self._began = datetime.now(UTC)

    def record(self, moment: datetime | None = None) -> dict[str, Any]:
        """Make a call by any user, with or without tokens, in the last days."""
        rng, who = self._rng, self._rng.choice(PEOPLE)
        self._number += 1
        identity = rng.choice((
            user_identity(who), role_identity("AWSReservedSSO_Data_0123456789abcdef", who),
            role_identity(f"App{rng.randrange(4)}-BedrockRole", f"i-{self._number:017x}"),
        ))  # fmt: skip
        when = moment or self._began - timedelta(seconds=rng.randrange(2 * 3600, 5 * 86400))
        return call(
            self._number, eventTime=utc(when), userIdentity=identity,
            tokens=(rng.randrange(9000), rng.randrange(900)) if rng.random() < 0.5 else None,
            requestParameters={"modelId": rng.choice((HAIKU, SONNET, "no.such-model-v1:0"))},
            userAgent=rng.choice(("Boto3/1.42.97", "claude-cli/1.0 (external)", f"Boto3/1 app/{who}")),
            errorCode="ThrottlingException" if rng.random() < 0.1 else None,
        )  # fmt: skip

    def records(self) -> list[dict[str, Any]]:
        """Make some calls, service events for some of them, and a few duplicates."""
        made = [self.record() for _ in range(self._rng.randrange(1, 60))]
        for record in self._rng.sample(made, len(made) // 5):
            parent = int(record["requestID"][:8], 16) - 1_000_000
            made.append(
                service_event(
                    5_000_000 + parent, parent, {"inputTokens": 7}, eventTime=record["eventTime"]
                )
            )
        self._made += made
        corrections = [self._correction() for _ in range(self._rng.randrange(3))]
        return [*made, *self._rng.sample(made, len(made) // 10), *corrections]

    def _correction(self) -> dict[str, Any]:
        """Correct an event of any file so far; a partial load may see the correction first."""
        original = self._rng.choice(self._made)
        self._number += 1
        later = datetime.fromisoformat(original["eventTime"])
        later += timedelta(minutes=self._rng.choice((0, 5, 90)))
        return original | {
            "eventID": uuid_of(self._number),
            "eventTime": utc(later),
            "additionalEventData": {"inputTokens": self._rng.randrange(50)},
            "addendum": {"reason": "UPDATED_DATA", "originalEventID": original["eventID"]},
        }

    def deliver(self) -> None:
        """Give AWS an event of this moment."""
        now = datetime.now(UTC)
        self._aws.place().deliver(self.record(now), now)

    def add_file(self) -> None:
        """Add a new file, sound or damaged, to those to load; it appears complete."""
        kind = self._rng.choice((*self._sound, *self._sound, *self._damaged))
        self._number += 1
        name = f"{self._number:07}-{kind.__name__.strip('_')}"
        draft = self._drafts / name
        kind(self, draft)
        if os.path.lexists(draft):
            os.utime(draft, (1e9, 1e9), follow_symlinks=False)
            draft.rename(self.inbox / name)

    def _log(self, file: Path) -> None:
        write_log(file, self.records())

    def _zipped_lines(self, file: Path) -> None:
        lines = "\n".join(map(json.dumps, self.records()))
        file.write_bytes(gzip.compress(lines.encode(), mtime=0))

    def _lookup_answer(self, file: Path) -> None:
        events = [{"CloudTrailEvent": json.dumps(record)} for record in self.records()]
        file.write_text(json.dumps({"Events": events}))

    def _invocations(self, file: Path) -> None:
        made = (int(r["requestID"][:8], 16) - 1_000_000 for r in self.records() if "requestID" in r)
        write_invocation_log(file, [
            logged(n, timestamp=utc(self._began - timedelta(hours=n % 90 + 3)),
                   requestMetadata={"owner": self._rng.choice(PEOPLE)})
            for n in made
        ])  # fmt: skip

    def _metrics(self, file: Path) -> None:
        # Each file has its own hours: if two files cover one hour, their order matters.
        hour = utc(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=self._number))
        write_metrics(file, [(HAIKU, "InputTokenCount", self._number, hour, 3600)])

    def _cut(self, file: Path) -> None:
        text = json.dumps({"Records": self.records()})
        file.write_text(text[: self._rng.randrange(len(text))])

    def _noise(self, file: Path) -> None:
        file.write_bytes(self._rng.randbytes(self._rng.randrange(5000)))

    def _bomb(self, file: Path) -> None:
        part = self._rng.choice((b"\0", b"{}\n", b"[", b"[{},", b'{"Records":[', b"0,"))
        file.write_bytes(gzip.compress(part * (2_000_000 // len(part)), mtime=0))

    def _poison(self, file: Path) -> None:
        file.write_text(
            self._rng.choice(
                (
                    '{"inferenceProfileSummaries": [{"inferenceProfileArn": "a", "models": 7}]}',
                    '{"MetricDataResults": [{"Id": "a", "Timestamps": 7, "Values": 7}]}',
                    json.dumps({"Records": [call(1, userAgent="\ud800")]}),
                    "account_id,region,model_id\r" * 3,
                    f'account_id,region\n"{"x" * 200_000}",y\n',
                    "",
                )
            )
        )

    def _loop(self, file: Path) -> None:
        file.symlink_to(self.inbox / file.name)

    def _strange_name(self, file: Path) -> None:
        inbox = os.fsencode(self.inbox) + b"/\xff\xfe-" + os.fsencode(file.name)
        write_log(file, self.records())
        os.rename(os.fsencode(file), inbox)  # noqa: PTH104

    _sound: tuple[Callable[..., None], ...] = (
        *(_log, _log, _zipped_lines, _lookup_answer, _invocations, _metrics),
    )
    _damaged: tuple[Callable[..., None], ...] = (_cut, _noise, _bomb, _poison, _loop, _strange_name)


class Soak:
    """A warehouse, its users, and the output of their commands."""

    def __init__(self, seed: int, folder: Path, aws: FakeAws) -> None:
        self.rng, self.folder, self.aws = random.Random(seed), folder, aws
        self.inputs = Inputs(random.Random(seed + 1), folder, aws)
        self.path = folder / "w.db"
        self.prices = [folder / f"prices{number}.csv" for number in range(2)]
        for number, file in enumerate(self.prices, 1):
            rate = (
                f"{HAIKU},*,regional,standard,input,0,{number}00000,2023-01-01,,mine,2026-11-01\n"
            )
            file.write_text(PRICES + rate)
        self.forgotten: set[str] = set()
        self.output: list[str] = []
        self.failures: list[str] = []
        self.counts: dict[str, int] = {}

    def run(
        self, *words: object, path: Path | None = None, kill_after: tuple[float, int] | None = None
    ) -> int:
        """Run a command to its end, or kill it; note problems in its output."""
        clean = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, words), "--db", str(path or self.path)],
            cwd=ROOT, env=clean | self.aws.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        line = f"{' '.join(map(str, words))[:150]} {kill_after or ''}"
        try:
            if kill_after is not None:
                seconds, number = kill_after
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    process.send_signal(number)
            out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            self.failures.append(f"{line}: not done after {PATIENCE_SECONDS} s")
        status = process.returncode
        self.output.append(f"$ {line}\n{out}-> {status}")
        self.counts[str(words[0])] = self.counts.get(str(words[0]), 0) + 1
        expected = {0, 1} if kill_after is None else {0, 1, -signal.SIGKILL, -signal.SIGTERM}
        if "Traceback" in out or status not in expected:
            self.failures.append(f"{line}: {status}\n{out[-3000:]}")
        return status

    def work(self, seed: int, until: float) -> None:
        """Do one thing after another until the time is up."""
        rng = random.Random(seed)
        while time.monotonic() < until:
            kill = None
            if rng.random() < 0.4:
                kill = rng.expovariate(0.7), rng.choice((signal.SIGKILL, signal.SIGTERM))
            self.run(*self.words(rng), kill_after=kill)

    def words(self, rng: random.Random) -> tuple[object, ...]:
        """Choose a command at random."""
        (kind,) = rng.choices(
            ("load", "part", "sync", "rebuild", "vacuum", "forget", "prices", "read"),
            (6, 4, 6, 1, 1, 1, 1, 2),
        )
        inbox = self.inputs.inbox
        files = [file for file in sorted(inbox.iterdir()) if file.exists()]
        match kind:
            case "part" if files:
                return "load", *rng.sample(files, min(len(files), 3))
            case "sync":
                return SYNC
            case "rebuild":
                return "check", "--rebuild"
            case "vacuum":
                return ("vacuum",)
            case "forget":
                self.forgotten.add(name := rng.choice(PEOPLE[:3]))
                return "vacuum", "--forget", name, "--yes"
            case "prices":
                return "prices", "import", rng.choice(self.prices)
            case "read":
                return rng.choice((("status",), ("report", "users"), ("check",)))
        return "load", inbox

    def disturb(self, until: float) -> None:
        """Add new files, events and faults until the time is up."""
        while time.monotonic() < until:
            if self.rng.random() < 0.5:
                self.inputs.add_file()
            if self.rng.random() < 0.5:
                self.inputs.deliver()
            if self.rng.random() < 0.2:
                self.aws.faults.append(
                    Fault(self.rng.choice(FAULTS), skip=self.rng.randrange(5), times=self.rng.choice((1, 2, 9)))
                )  # fmt: skip
            time.sleep(self.rng.uniform(0.1, 1.0) * max(1.0, SECONDS / 200))

    def finish(self, path: Path) -> None:
        """Do everything once, undisturbed."""
        self.aws.faults.clear()
        # Damaged files are rejects, which is status 1.
        assert self.run("load", self.inputs.inbox, path=path) in (0, 1)
        assert self.run(*SYNC, path=path) == 0
        assert self.run("prices", "import", self.prices[0], path=path) == 0
        for name in sorted(self.forgotten):
            assert self.run("vacuum", "--forget", name, "--yes", path=path) == 0
        assert self.run("check", path=path) == 0


def truth(path: Path) -> dict[str, list[str]]:
    """Return what a warehouse shows, with the same word for every pseudonym."""
    pseudonym = re.compile("forgotten-[0-9a-f]{12}")
    queries = {mart: f"select * from {mart}" for mart in MARTS}
    queries["rejects"] = "select * from rejects"
    queries["pending"] = "select request_id, event_time from pending_tokens"
    found: dict[str, list[str]] = {}
    with open_warehouse(path) as db:
        for name, sql in queries.items():
            # Price ids depend on how often a price file was imported.
            shown = (
                repr({c: value for c, value in row.items() if not c.endswith("price_id")})
                for row in db.query(sql)
            )
            found[name] = sorted(pseudonym.sub("FORGOTTEN", text) for text in shown)
    return found


@long
def test_it_ends_in_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stderr.write(f"\nsoak: SOAK_SEED={SEED} SOAK_SECONDS={SECONDS:.0f}\n")
    with FakeAws() as aws:
        aws.lookup_rate = None
        soak = Soak(SEED, tmp_path, aws)
        for _ in range(300):
            record = soak.inputs.record()
            aws.place().deliver(record)
        for _ in range(5):
            soak.inputs.add_file()
        until = time.monotonic() + SECONDS
        workers = [
            threading.Thread(target=soak.work, args=(SEED + 10 + number, until))
            for number in range(2)
        ]
        for worker in workers:
            worker.start()
        soak.disturb(until)
        for worker in workers:
            worker.join()
        soak.finish(soak.path)
        soak.finish(tmp_path / "clean.db")
    (tmp_path / "output.txt").write_text("\n".join(soak.output), errors="backslashreplace")
    with capsys.disabled():
        sys.stderr.write(
            f"soak: {soak.counts}, {len(list(soak.inputs.inbox.iterdir()))} files,"
            f" {len(soak.failures)} failures; all output: {tmp_path / 'output.txt'}\n"
        )
    assert not soak.failures, "\n\n".join(soak.failures[:5])
    found, expected = truth(soak.path), truth(tmp_path / "clean.db")
    for name in expected:
        lost = [row for row in expected[name] if row not in found[name]]
        invented = [row for row in found[name] if row not in expected[name]]
        assert (lost[:3], invented[:3]) == ([], []), (name, len(lost), len(invented))
        assert found[name] == expected[name], name
    assert expected["calls"]
