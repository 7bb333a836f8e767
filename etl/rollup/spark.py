"""The engine for logs that are too many for one machine: Apache Spark.

Spark spreads the files over its tasks, brings together what belongs together, and adds up; what a
file says and how a call counts is this project's own code, which runs in its tasks.

1. *Decode*: files, packed so that each task has about as much to read. The rows come out by the
   bucket in which they are counted, a few hundred calls at a time as one value, so that Spark moves
   few and large ones.
2. *Join*: the few rows whose places turn out to be linked move to one bucket; logs get what
   CloudTrail tells of their sessions, calls the tags of theirs.
3. *Count*: each task counts its buckets in a scratch warehouse. A bucket is a hash of request ids,
   so no hour and no account is larger than another.
4. *Add up* by key, put the smallest callers together if they are too many, and write the files of
   each day.

Only interfaces of Spark 3.5 are used. Tasks may run again, here or elsewhere: they change nothing
but the files that they write, whose names and content are the same every time.
"""

from __future__ import annotations

import array
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, groupby
from typing import Any

from sqlite_utils import Database

from etl.errors import ConfigError
from etl.load.decoder.pool import Workers
from etl.normalise.rollups import MOST_SUMS, Row
from etl.normalise.rows import Event, InferenceProfile, OtherOperation
from etl.normalise.rows import Row as ReadRow
from etl.rollup.decode import (
    FileSeen,
    Sender,
    hash_of,
    joined,
    moved,
    read,
    session_hash,
    unpacked,
    wanted,
)
from etl.rollup.job import Job
from etl.rollup.local import order_of
from etl.rollup.others import CALLER_AT, STEPS, other_of
from etl.rollup.output import FILE_ROWS, OutputFile, write_day
from etl.rollup.scratch import Counter, count
from etl.sources.stores import StoredFile
from etl.warehouse.read.rolled_up import found_calls
from etl.warehouse.scratch import open_scratch
from etl.warehouse.write.batch import Batch, Loader

NEEDS_SPARK = 'this needs Apache Spark: pip install "bedrock-usage[spark]", and Java 17'

# What a task reads, and how many files: opening one costs about as much as so many bytes.
_TASK_BYTES = 64 << 20
_FILE_BYTES = 128 << 10
# What a task counts, as bytes of its input.
_COUNTED_BYTES = 256 << 20
_BUCKETS_A_TASK = 4

# AWS allows no deep chains of roles: see etl/warehouse/write/role_sessions.py.
_MOST_LINKS = 16

# Rows that go to Spark at a time.
_ROWS = 2_000

_FILES = "number long, folder string, name string, etag string, size long, pack int"
_DECODED = "kind string, bucket int, key long, parent long, data binary"
_LINKS = "key long, place long"
_WANTS = "kind string, key long, bucket int"
_SUMS = tuple(f"n{number}" for number in range(MOST_SUMS))
_BECOMES = "day string, caller string, other string, other_row string"
_ROW = f"table string, day string, key string, {', '.join(f'{name} long' for name in _SUMS)}"

Frame = Any
Batches = Iterator[Any]


def require_spark() -> None:
    """Raise ConfigError if Spark is not installed."""
    try:
        import pyspark  # noqa: F401
    except ImportError:
        raise ConfigError(NEEDS_SPARK) from None


def open_session(master: str | None = None) -> Any:
    """Return the session of ``spark-submit``, or a new one: by default of this machine."""
    require_spark()
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    builder = SparkSession.builder.appName("bedrock-usage rollup")
    # spark-submit has started Spark already, and knows which.
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        master = master or os.environ.get("MASTER") or "local[*]"
        builder = builder.master(master)
    if master and master.startswith("local"):
        # Otherwise it is whatever python3 is on the path, which may lack this package.
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
        builder = builder.config("spark.ui.enabled", "false")
        builder = builder.config("spark.ui.showConsoleProgress", "false")
        builder = builder.config("spark.driver.host", "127.0.0.1")
        builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.sql.session.timeZone", "UTC")
    return builder.getOrCreate()


class SparkEngine:
    """Reads and counts in Spark's tasks. A context manager, which leaves the session open."""

    def __init__(self, job: Job, template: bytes, session: Any = None) -> None:
        self._job, self._template, self._session = job, template, session
        self._decoded: list[Frame] = []
        self._kept: list[Frame] = []
        self._bytes = 0
        self._has_sessions = False
        self._buckets = 0
        self.general: list[ReadRow] = []
        self.callers_in_others = 0
        self.name = "spark"

    def __enter__(self) -> SparkEngine:
        self._session = self._session or open_session()
        self.name = f"spark {self._session.version}"
        return self

    def __exit__(self, *_: object) -> None:
        for frame in (*self._decoded, *self._kept):
            frame.unpersist()

    @property
    def _parallel(self) -> int:
        return int(self._session.sparkContext.defaultParallelism)

    def read(self, files: Iterable[tuple[int, StoredFile]]) -> list[FileSeen]:
        """Decode files; return what was seen of each."""
        listed = list(files)
        if not listed:
            return []
        self._bytes += sum(file.size for _, file in listed)
        if not self._buckets:
            self._buckets = self._tasks() * _BUCKETS_A_TASK
        packs = packed(listed, self._parallel)
        rows = [
            (number, file.folder, file.name, file.etag, file.size, pack)
            for pack, some in enumerate(packs)
            for number, file in some
        ]
        frame = self._session.createDataFrame(rows, _FILES)
        decoded = _spread(frame, len(packs)).mapInArrow(
            partial(_decode, self._job, self._buckets), _DECODED
        )
        from pyspark import StorageLevel

        decoded = decoded.persist(StorageLevel.DISK_ONLY)
        self._decoded.append(decoded)
        seen = []
        for row in decoded.where("kind in ('seen', 'general')").select("kind", "data").collect():
            if row.kind == "seen":
                seen.append(unpacked(bytes(row.data)))
            else:
                self.general += unpacked(bytes(row.data))
        self._has_sessions |= any(one.has_sessions for one in seen)
        return sorted(seen, key=lambda one: one.number)

    def _tasks(self) -> int:
        return max(self._parallel, -(-self._bytes // _COUNTED_BYTES))

    def write(self, run: str, days: frozenset[str] | None) -> Iterator[OutputFile]:
        """Count what was read, and write the files of the days."""
        if not self._decoded:
            return
        job = self._job.of_days(days)
        counted = self._parts().mapInArrow(partial(_count, job, self._template_sent()), _ROW)
        decoded = self._all_decoded()
        totals = decoded.where("kind = 'totals'").select("data")
        counted = counted.unionByName(totals.mapInArrow(partial(_as_rows, job), _ROW))
        yield from self._written(job, run, self._limited(_summed(counted)))

    def find(self, day: str, name: str) -> list[Event]:
        """Return the calls of a day that somebody made, of what was read."""
        if not self._decoded:
            return []
        find = partial(_find, self._job, self._template_sent(), day, name)
        rows = self._parts().mapInArrow(find, "data binary").collect()
        return [event for row in rows for event in unpacked(bytes(row.data))]

    def _all_decoded(self) -> Frame:
        decoded = self._decoded[0]
        for more in self._decoded[1:]:
            decoded = decoded.unionByName(more)
        return decoded

    def _template_sent(self) -> Any:
        return self._session.sparkContext.broadcast(self._with_general())

    def _parts(self) -> Frame:
        """Return what is counted, spread over the tasks that count it."""
        # A result that is kept has as many partitions as this, however little there is.
        self._session.conf.set("spark.sql.shuffle.partitions", str(self._tasks()))
        decoded = self._all_decoded()
        parts = self._together(decoded.where("kind = 'part'"), decoded.where("kind = 'links'"))
        parts = parts.unionByName(self._evidence(decoded, parts))
        return (
            parts.select("kind", "bucket", "data")
            .repartition(self._tasks(), "bucket")
            # What is told of sessions first: told, session, part.
            .sortWithinPartitions(parts.kind.desc(), "bucket")
        )

    def _together(self, parts: Frame, links: Frame) -> Frame:
        """Move what is linked to one bucket."""
        from pyspark.sql import functions as f

        pairs = links.select("data").mapInArrow(_links, _LINKS)
        split = (
            pairs.groupBy("key")
            .agg(f.min("place").alias("least"), f.max("place").alias("most"))
            .where("least <> most")
            .select("key")
        )
        found = [(row.key, row.place) for row in pairs.join(split, "key").distinct().collect()]
        if not found:
            return parts
        roots = self._session.sparkContext.broadcast(joined(found))
        return parts.mapInArrow(partial(_move, roots, self._buckets), _DECODED)

    def _evidence(self, decoded: Frame, parts: Frame) -> Frame:
        """Return what calls need of other events, for their buckets."""
        wants = parts.select("bucket", "data").mapInArrow(_wants, _WANTS).distinct()
        told = decoded.where("kind = 'told'").select("key", "data").distinct()
        found = told.join(wants.where("kind = 'told'").select("key", "bucket"), "key")
        evidence = found.selectExpr(
            "'told' as kind", "bucket", "key", "cast(null as long) as parent", "data"
        )
        if not self._has_sessions:
            return evidence
        sessions = decoded.where("kind = 'session'").select("key", "parent", "data").distinct()
        wanted_keys = wants.where("kind = 'session'").select("key", "bucket")
        for _ in range(_MOST_LINKS):
            linked = sessions.join(wanted_keys, "key").select("bucket", "key", "parent", "data")
            evidence = evidence.unionByName(
                linked.selectExpr("'session' as kind", "bucket", "key", "parent", "data")
            )
            wanted_keys = (
                linked.where("parent is not null").selectExpr("parent as key", "bucket").distinct()
            )
            if wanted_keys.isEmpty():
                break
        return evidence

    def _with_general(self) -> bytes:
        """Return the template with what calls anywhere may refer to."""
        if not self.general:
            return self._template
        rows = sorted(set(self.general), key=repr)
        with open_scratch(self._template, self._job.secret) as db:
            batch = Batch(
                profiles=[row for row in rows if isinstance(row, InferenceProfile)],
                operations=[row for row in rows if isinstance(row, OtherOperation)],
            )
            Loader(db).write(batch)
            for table in ("control_events", "unknown_operations"):
                db.execute(f"delete from {table}")
            return bytes(db.conn.serialize())

    def _limited(self, summed: Frame) -> Frame:
        """Put the smallest callers of days with too many together: as ``others.limited`` does."""
        from pyspark import StorageLevel
        from pyspark.sql import functions as f
        from pyspark.sql.window import Window

        self.callers_in_others = 0
        for step, (_, times) in enumerate(STEPS):
            summed = summed.persist(StorageLevel.DISK_ONLY)
            self._kept.append(summed)
            most = self._job.most_callers * times
            caller = _caller_in("usage").alias("caller")
            calls = summed.where("table = 'usage'").select("day", caller, "n0", "n1")
            calls = calls.groupBy("day", "caller").agg(f.expr("sum(n0 + n1)").alias("calls"))
            days = calls.groupBy("day").count().where(f.col("count") > most).select("day").collect()
            if not days:
                continue
            order = Window.partitionBy("day").orderBy(f.desc("calls"), "caller")
            smallest = (
                calls.where(f.col("day").isin([day for (day,) in days]))
                .withColumn("rank", f.row_number().over(order))
                .where(f.col("rank") > most)
                .select("day", "caller")
            )
            callers = summed.where("table = 'callers'").withColumn("caller", _caller_in("callers"))
            becomes = callers.join(smallest, ["day", "caller"]).select("day", "caller", "key")
            becomes = becomes.mapInArrow(partial(_become_others, step), _BECOMES)
            becomes = becomes.persist(StorageLevel.DISK_ONLY)
            self._kept.append(becomes)
            self.callers_in_others += becomes.count()
            summed = _summed(_moved(summed, becomes))
        return summed

    def _written(self, job: Job, run: str, summed: Frame) -> Iterator[OutputFile]:
        from pyspark import StorageLevel

        summed = summed.persist(StorageLevel.DISK_ONLY)
        self._kept.append(summed)
        counts = summed.groupBy("table", "day").count().collect()
        sizes = [(row[0], row[1], -(-row[2] // FILE_ROWS)) for row in counts]
        if sizes:
            files = self._session.createDataFrame(sizes, "table string, day string, files long")
            placed = summed.join(files.hint("broadcast"), ["table", "day"]).selectExpr(
                "*", "cast(pmod(xxhash64(key), files) as int) as part"
            )
            tasks = min(sum(size for *_, size in sizes), 4 * self._parallel)
            written = (
                placed.repartition(tasks, "table", "day", "part")
                .sortWithinPartitions("table", "day", "part")
                .select("table", "day", "part", "key", *_SUMS)
                .mapInArrow(partial(_write, job, run), "data binary")
            )
            yield from (unpacked(bytes(row.data)) for row in written.collect())


def packed(files: list[tuple[int, StoredFile]], tasks: int) -> list[list[tuple[int, StoredFile]]]:
    """Pack files so that each pack is about as much to read, and no task waits for one alone."""
    total = sum(file.size + _FILE_BYTES for _, file in files)
    most = min(_TASK_BYTES, max(total // (2 * tasks), _FILE_BYTES))
    packs: list[list[tuple[int, StoredFile]]] = [[]]
    filled = 0
    for number, file in files:
        cost = file.size + _FILE_BYTES
        if packs[-1] and filled + cost > most:
            packs.append([])
            filled = 0
        packs[-1].append((number, file))
        filled += cost
    return packs


def _spread(frame: Frame, packs: int) -> Frame:
    """Give each pack a task of its own."""
    return frame.repartitionByRange(packs, "pack") if packs > 1 else frame.coalesce(1)


def _summed(rows: Frame) -> Frame:
    from pyspark.sql import functions as f

    latest = f.max(f.struct((-f.col("n1")).alias("n1"), f.col("n0").alias("n0"))).alias("latest")
    sums = rows.groupBy("table", "day", "key").agg(
        *(f.sum(name).alias(name) for name in _SUMS), latest
    )
    is_latest = f.col("table") == "totals"
    columns = {
        "n0": f.when(is_latest, f.col("latest.n0")).otherwise(f.col("n0")),
        "n1": f.when(is_latest, -f.col("latest.n1")).otherwise(f.col("n1")),
    }
    return sums.select("table", "day", "key", *(columns.get(n, f.col(n)).alias(n) for n in _SUMS))


def _caller_in(table: str) -> Any:
    """Return the caller's id of a row of a table."""
    from pyspark.sql import functions as f

    return f.get_json_object("key", f"$[{CALLER_AT[table]}]")


def _moved(rows: Frame, becomes: Frame) -> Frame:
    """Give the rows of callers that became others to these."""
    from pyspark.sql import functions as f

    caller = f.lit(None)
    for table in CALLER_AT:
        caller = f.when(f.col("table") == table, _caller_in(table)).otherwise(caller)
    found = rows.withColumn("caller", caller).join(becomes, ["day", "caller"], "left")
    key = (
        f.when(f.col("other").isNull(), f.col("key"))
        .when(f.col("table") == "callers", f.col("other_row"))
        # A hash: no other part of the key is like it.
        .otherwise(f.expr("replace(key, caller, other)"))
    )
    return found.select("table", "day", key.alias("key"), *_SUMS)


# What runs in tasks: functions of this module, so that Spark sends their names only.


def _rows_in(batches: Batches) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()


def _batches(rows: Iterable[tuple[Any, ...]], schema: str, size: int = _ROWS) -> Batches:
    import pyarrow as pa

    types = {"string": pa.string(), "int": pa.int32(), "long": pa.int64(), "binary": pa.binary()}
    fields = [field.split() for field in schema.split(", ")]
    names, kinds = [name for name, _ in fields], [types[kind] for _, kind in fields]
    pending: list[tuple[Any, ...]] = []

    def batch() -> Any:
        columns = zip(*pending, strict=True)
        arrays = [pa.array(c, kind) for c, kind in zip(columns, kinds, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, names)

    for row in rows:
        pending.append(row)
        if len(pending) >= size:
            yield batch()
            pending.clear()
    if pending:
        yield batch()


def _pickled(value: object) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _decode(job: Job, buckets: int, batches: Batches) -> Batches:
    """Decode the files of a pack."""

    def rows() -> Iterator[tuple[Any, ...]]:
        files = [
            (row["number"], StoredFile(row["folder"], row["name"], row["etag"], row["size"]))
            for row in _rows_in(batches)
        ]
        seen: list[FileSeen] = []
        told: set[Any] = set()
        sender = Sender(job, buckets)
        with Workers(job.keys, 1) as workers:
            for part in read(job, sorted(files, key=lambda file: file[0]), workers, seen):
                sent = sender.sort(part.decoded)
                for bucket, data in sent.parts.items():
                    yield "part", bucket, None, None, data
                if sent.links:
                    links = array.array("q", chain.from_iterable(sent.links)).tobytes()
                    yield "links", None, None, None, links
                for session in sent.sessions:
                    key = hash_of(session.access_key_id)
                    parent = None if session.parent is None else hash_of(session.parent)
                    yield "session", None, key, parent, _pickled(session)
                for one in sent.told - told:
                    told.add(one)
                    yield "told", None, session_hash(*one[:3]), None, _pickled(one)
                if sent.general:
                    yield "general", None, None, None, _pickled(sent.general)
                if sent.totals:
                    yield "totals", None, None, None, _pickled(sent.totals)
        for file in seen:
            yield "seen", None, None, None, _pickled(file)

    return _batches(rows(), _DECODED, 200)


def _links(batches: Batches) -> Batches:
    import pyarrow as pa

    for row in _rows_in(batches):
        values = array.array("q")
        values.frombytes(row["data"])
        yield pa.RecordBatch.from_arrays(
            [pa.array(values[0::2], pa.int64()), pa.array(values[1::2], pa.int64())],
            ["key", "place"],
        )


def _move(roots: Any, buckets: int, batches: Batches) -> Batches:
    def rows() -> Iterator[tuple[Any, ...]]:
        for row in _rows_in(batches):
            for bucket, data in moved(row["data"], roots.value, buckets).items():
                yield "part", bucket, None, None, data

    return _batches(rows(), _DECODED, 200)


def _wants(batches: Batches) -> Batches:
    def rows() -> Iterator[tuple[Any, ...]]:
        for row in _rows_in(batches):
            sessions, keys = wanted(row["data"])
            for session in sessions:
                yield "told", session, row["bucket"]
            for key in keys:
                yield "session", hash_of(key), row["bucket"]

    return _batches(rows(), _WANTS)


@contextmanager
def _counted(job: Job, template: Any, batches: Batches) -> Iterator[Database]:
    """Open a warehouse with the buckets of a task."""
    with open_scratch(template.value, job.secret) as db:
        counter = Counter(db)
        for row in _rows_in(batches):
            counter.add(row["kind"], row["data"])
        counter.finish()
        yield db


def _count(job: Job, template: Any, batches: Batches) -> Batches:
    """Count the buckets of a task."""

    def rows() -> Iterator[tuple[Any, ...]]:
        with _counted(job, template, batches) as db:
            yield from map(_as_row, count(job, db))

    return _batches(rows(), _ROW)


def _find(job: Job, template: Any, day: str, name: str, batches: Batches) -> Batches:
    """Find the calls that somebody made."""

    def rows() -> Iterator[tuple[Any, ...]]:
        with _counted(job, template, batches) as db:
            found = found_calls(db, day, name)
        for start in range(0, len(found), _ROWS):
            yield (_pickled(found[start : start + _ROWS]),)

    return _batches(rows(), "data binary", 1)


def _become_others(step: int, batches: Batches) -> Batches:
    def rows() -> Iterator[tuple[Any, ...]]:
        for row in _rows_in(batches):
            other = other_of(step, json.loads(row["key"]))
            yield row["day"], row["caller"], str(other[0]), json.dumps(other)

    return _batches(rows(), _BECOMES)


def _as_rows(job: Job, batches: Batches) -> Batches:
    found = (one for row in _rows_in(batches) for one in unpacked(row["data"]))
    wanted_days = (one for one in found if job.days is None or one[1] in job.days)
    return _batches(map(_as_row, wanted_days), _ROW)


def _as_row(row: Row) -> tuple[Any, ...]:
    table, day, key, sums = row
    return table, day, json.dumps(key), *sums, *((0,) * (MOST_SUMS - len(sums)))


def _write(job: Job, run: str, batches: Batches) -> Batches:
    """Write the files of a task."""
    from etl.normalise.rollups import TABLES

    def rows() -> Iterator[tuple[Any, ...]]:
        archive = job.open_places().archive_of(job.output)
        by_file: Callable[[dict[str, Any]], Any] = lambda row: (  # noqa: E731
            row["table"],
            row["day"],
            row["part"],
        )
        for (table, day, part), of_file in groupby(_rows_in(batches), key=by_file):
            width = len(TABLES[table].sums)
            listed = [
                (table, day, tuple(json.loads(row["key"])), tuple(row[n] for n in _SUMS[:width]))
                for row in of_file
            ]
            listed.sort(key=order_of)
            yield (_pickled(write_day(archive, run, day, table, part, listed)),)

    return _batches(rows(), "data binary")
