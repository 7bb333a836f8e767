"""What a calibration reads from the warehouse, and what it leaves there.

Weights and the shares that follow from them change in one transaction, so that a calibration that
is interrupted leaves the series that it finished, and nothing half used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.token_kinds import KINDS
from etl.warehouse.turns import transaction
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.minutes import renew_minutes
from etl.warehouse.write.rollup import all_hours, renew

_SERIES = "account_key, region_key, endpoint, cloudwatch_model_id"

# Where a total's periods may begin within an hour, and how often they are as long.
_FINE = (60, 300)


class Series(NamedTuple):
    """A series of CloudWatch that some calls lack: one kind of one model in one place."""

    account_key: int
    region_key: int
    endpoint: str
    cloudwatch_model_id: str
    token_kind: str


class HourTotal(NamedTuple):
    """A total of an hour. ``kind``: a token kind, or ``calls``."""

    hour: str
    kind: str
    value: int
    is_provisional: bool


class Fine(NamedTuple):
    """The totals of one hour in shorter periods: the value by the second at which it begins."""

    hour: str
    kind: str
    seconds: int
    values: dict[int, int]


class MinuteCalls(NamedTuple):
    """A caller's calls of an hour, by minute. ``is_lacking``: they lack the series' kind."""

    hour: str
    caller: tuple[int, int]
    is_lacking: bool
    minutes: dict[int, int]


class Weight(NamedTuple):
    """A caller's weight, in thousandths of a token per call."""

    user_key: int
    application_key: int
    weight: int
    relative_error: float
    group_number: int


class Window(NamedTuple):
    """The outcome for one window of a series; ``start``: its first hour."""

    start: str
    bucket_seconds: int
    buckets: int
    average_weight: int
    held_out_gain: float
    is_used: bool
    weights: tuple[Weight, ...]


def prepare(db: Database) -> None:
    """Bring calls by the minute up to date."""
    with transaction(db):
        renew_minutes(db)


def series_to_share(db: Database) -> list[Series]:
    """Return every series from which calls without tokens get shares."""
    rows = db.execute(
        f"select distinct {_SERIES}, token_kind from int_metric_known where unknown_calls > 0"
        " order by 1, 2, 3, 4, 5"
    )
    return [Series(*row) for row in rows]


def hour_totals(db: Database, series: Series) -> list[HourTotal]:
    """Return the totals of a series and of its calls, hour by hour."""
    rows = db.execute(
        "select hour, metric_kind, value, is_provisional from metric_hourly"
        f" where ({_SERIES}) = (?, ?, ?, ?) and metric_kind in (?, 'calls') order by hour",
        list(series),
    )
    return [HourTotal(hour, kind, value, bool(young)) for hour, kind, value, young in rows]


def fine_totals(db: Database, series: Series) -> Iterator[Fine]:
    """Yield what is known of the same in periods shorter than an hour.

    The same usage may be there under two names of a metric, or of a model.
    """
    rows = db.execute(
        "with same_use as (select series_key, metric_kind from metric_series"
        " join models using (model_key) where (account_key, region_key, endpoint,"
        " cloudwatch_model_id) = (?1, ?2, ?3, ?4) and metric_kind in (?5, 'calls'))"
        " select hour, metric_kind, 60, minutes from metric_minutes"
        " join same_use using (series_key)"
        " union all"
        " select substr(period_start, 1, 13) || ':00:00Z', metric_kind, period_seconds,"
        " json_group_object(substr(period_start, 15, 2), value)"
        " from same_use cross join metric_totals using (series_key)"
        f" where period_seconds in {_FINE}"
        " group by series_key, substr(period_start, 1, 13), period_seconds",
        list(series),
    )
    for hour, kind, seconds, minutes in rows:
        yield Fine(hour, kind, seconds, _by_number(minutes))


def minute_calls(db: Database, series: Series) -> Iterator[MinuteCalls]:
    """Yield all successful calls that a series counts."""
    bit = [kind.name for kind in KINDS].index(series.token_kind)
    rows = db.execute(
        "select hour, user_key, application_key, unknown_kinds >> ? & 1, minutes"
        f" from call_minutes where account_key = ? and rate_key in {_RATE_KEYS}",
        [bit, series.account_key, *series[:4]],
    )
    for hour, user, application, is_lacking, minutes in rows:
        yield MinuteCalls(hour, (user, application), bool(is_lacking), _by_number(minutes))


def known_minutes(db: Database, series: Series) -> Iterator[tuple[str, dict[int, int]]]:
    """Yield the tokens of a series that calls report, by hour and minute."""
    rows = db.execute(
        "select hour, minutes from known_minutes"
        f" where account_key = ? and token_kind = ? and rate_key in {_RATE_KEYS}",
        [series.account_key, series.token_kind, *series[:4]],
    )
    for hour, minutes in rows:
        yield hour, _by_number(minutes)


def known_usage(db: Database, series: Series) -> Iterator[tuple[str, tuple[int, int], int, int]]:
    """Yield what calls report: hour, caller, calls with the kind, and their tokens."""
    kind = next(one for one in KINDS if one.name == series.token_kind)
    tokens = " + ".join(f"coalesce({count.column}, 0)" for count in kind.counts)
    rows = db.execute(
        f"select hour, user_key, application_key, sum(calls - {kind.unknown_calls}), sum({tokens})"
        f" from usage_hourly where account_key = ? and calls > {kind.unknown_calls}"
        f" and rate_key in {_RATE_KEYS} group by hour, user_key, application_key",
        [series.account_key, *series[:4]],
    )
    for hour, user, application, calls, known in rows:
        yield hour, (user, application), calls, known


def save_windows(db: Database, series: Series, windows: Sequence[Window]) -> bool:
    """Replace the calibration of a series, and share again; return whether it changed.

    A window's weights serve until the next window, the first one's also before it.
    """
    with transaction(db):
        if _stored(db, series) == list(windows):
            return False
        _delete(db, "where (account_key, region_key, endpoint, cloudwatch_model_id, token_kind)"
                " = (?, ?, ?, ?, ?)", list(series))  # fmt: skip
        starts = ["", *(window.start for window in windows[1:]), "9"]
        for window, valid_from, valid_to in zip(windows, starts, starts[1:], strict=False):
            _insert(db, series, window, valid_from, valid_to)
        hours = db.execute(
            f"select hour from metric_hourly where ({_SERIES}, metric_kind) = (?, ?, ?, ?, ?)",
            list(series),
        )
        renew(db, Names(db), {hour[:13] for (hour,) in hours.fetchall()})
    return True


def is_due(db: Database) -> bool:
    """Return whether totals of another day have settled since the last complete calibration."""
    (done,) = db.execute("select max(hour) from calibrated_until").fetchone()
    settled = _last_settled_hour(db)
    return settled is not None and settled[:10] > (done or "")[:10]


def note_done(db: Database) -> None:
    """Record that everything that has settled is calibrated."""
    hour = _last_settled_hour(db)
    with transaction(db):
        db.execute("delete from calibrated_until")
        if hour is not None:
            db.execute("insert into calibrated_until values (?)", [hour])


def _last_settled_hour(db: Database) -> str | None:
    row = db.execute(
        "select hour from metric_hourly where not is_provisional order by hour desc limit 1"
    ).fetchone()
    return row[0] if row else None


def drop_calibrations(db: Database, kept: Iterable[Series] = ()) -> bool:
    """Drop all calibrations but those of some series, and share by calls again."""
    with transaction(db):
        stored = {Series(*row) for row in db.execute(
            f"select distinct {_SERIES}, token_kind from calibrations")}  # fmt: skip
        gone = stored - set(kept)
        for series in gone:
            _delete(db, "where (account_key, region_key, endpoint, cloudwatch_model_id,"
                    " token_kind) = (?, ?, ?, ?, ?)", list(series))  # fmt: skip
        if gone:
            db.execute("delete from calibrated_until")
            renew(db, Names(db), all_hours(db))
    return bool(gone)


_RATE_KEYS = (
    "(select rate_key from int_rate_series where"
    " (account_key, region_key, endpoint, cloudwatch_model_id) = (?, ?, ?, ?))"
)


def _by_number(minutes: str) -> dict[int, int]:
    return {int(minute): value for minute, value in json.loads(minutes).items()}


def _stored(db: Database, series: Series) -> list[Window]:
    rows = db.execute(
        "select calibration_key, window_start, bucket_seconds, buckets, average_weight,"
        f" held_out_gain, is_used from calibrations where ({_SERIES}, token_kind)"
        " = (?, ?, ?, ?, ?) order by window_start",
        list(series),
    )
    return [
        Window(start, size, buckets, average, gain, bool(is_used), _weights(db, key))
        for key, start, size, buckets, average, gain, is_used in rows.fetchall()
    ]


def _weights(db: Database, key: int) -> tuple[Weight, ...]:
    rows = db.execute(
        "select user_key, application_key, weight, relative_error, group_number"
        " from call_weights where calibration_key = ? order by 1, 2",
        [key],
    )
    return tuple(Weight(*row) for row in rows)


def _insert(db: Database, series: Series, window: Window, valid_from: str, valid_to: str) -> None:
    cursor = db.conn.execute(
        "insert into calibrations values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [*series, window.start, valid_from, valid_to, *window[1:6]],
    )
    db.conn.executemany(
        "insert into call_weights values (?, ?, ?, ?, ?, ?)",
        [(cursor.lastrowid, *weight) for weight in window.weights],
    )


def _delete(db: Database, where: str, values: Sequence[int | str]) -> None:
    db.execute(
        "delete from call_weights where calibration_key in"
        f" (select calibration_key from calibrations {where})",
        values,
    )
    db.execute(f"delete from calibrations {where}", values)
