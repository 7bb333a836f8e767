"""What a calibration reads from the warehouse, and what it leaves there.

A window's weights and the shares that follow from them change in one transaction, so that a
calibration that is interrupted leaves the windows that it finished, and nothing half used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.token_kinds import INPUT_KINDS, KINDS
from etl.sql_files import sql_text
from etl.times import parse_utc, utc_text
from etl.warehouse.turns import transaction
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.minutes import note_uncalibrated, renew_minutes
from etl.warehouse.write.rollup import all_hours, renew_shares

_SERIES = "account_key, region_key, endpoint, cloudwatch_model_id"

# Where a total's periods may begin within an hour, and how often they are as long.
_FINE = (60, 300)

# How long hours that changed may wait, so that not every sync calibrates.
_WAIT = timedelta(hours=1)

# How an estimate came about, the weakest last: usage_hourly.estimated_by and others.
SINGLE, CALIBRATED, CALLS = 1, 2, 3

# calibrations.unit: what the tokens of each caller are proportional to.
BY_CALL, BY_INPUT = "calls", "input tokens"


class Series(NamedTuple):
    """A series of CloudWatch that some calls lack: one kind of one model in one place."""

    account_key: int
    region_key: int
    endpoint: str
    cloudwatch_model_id: str
    token_kind: str

    @property
    def kind_bit(self) -> int:
        """The kind as ``MinuteCalls.unknown_kinds`` has it."""
        return 1 << [kind.name for kind in KINDS].index(self.token_kind)

    @property
    def is_cached(self) -> bool:
        """Whether the kind is of cached tokens."""
        return self.token_kind in INPUT_KINDS[1:]


class Times(NamedTuple):
    """The hours from one to before another one, ``YYYY-MM-DDTHH:00:00Z``."""

    start: str
    end: str


class HourTotal(NamedTuple):
    """A total of an hour. ``kind``: a token kind, or ``calls``."""

    hour: str
    kind: str
    value: int
    is_provisional: bool


class Fine(NamedTuple):
    """The totals of one hour in shorter periods, as a JSON object by the minute they begin at."""

    hour: str
    kind: str
    seconds: int
    values: str


class Counted(NamedTuple):
    """Calls of a caller, and how many tokens of a kind they have together."""

    calls: int
    tokens: int


class MinuteCalls(NamedTuple):
    """A caller's calls of an hour, as a JSON object by minute.

    ``unknown_kinds``: bit n is set if they lack kind n. ``input``: their input tokens by minute, if
    they lack only cached tokens.
    """

    hour: str
    rate_key: int
    user_key: int
    application_key: int
    unknown_kinds: int
    minutes: str
    input: str | None


class Weight(NamedTuple):
    """A caller's weight, in thousandths of a token per call.

    ``low``, ``high``: the ends of what the caller has, but for what is certain, in millionths of
    its share; None if unknown.
    """

    user_key: int
    application_key: int
    weight: int
    relative_error: float
    group_number: int
    method: int
    low: int | None = None
    high: int | None = None


class HourShare(NamedTuple):
    """What is due to a caller of the tokens of an hour, in thousandths, ``alone`` of them for sure.

    ``calls``: the calls of the hour that lack the kind; 0 where tokens of earlier calls arrive.
    """

    hour: str
    rate_key: int
    user_key: int
    application_key: int
    calls: int
    due: int
    alone: int
    method: int


class Window(NamedTuple):
    """The outcome for one window of a series. ``shares``: of its hours, which replace weights."""

    unit: str
    bucket_seconds: int
    buckets: int
    average_weight: int
    held_out_gain: float
    is_used: bool
    weights: tuple[Weight, ...]
    shares: Sequence[HourShare] = ()


def prepare(db: Database) -> list[str]:
    """Bring calls by the minute up to date; return the hours to calibrate.

    Whatever changes them from now on marks them again. Until then, ``seen_from_key`` tells what was
    fitted before from what will be.
    """
    # A day at a time: the first calibration of a long history must not keep others from writing.
    days = db.execute(
        "select distinct substr(hour, 1, 10) from stale_minutes order by 1"
    ).fetchall()
    for (day,) in days:
        with transaction(db):
            renew_minutes(db, f"{day}T24")
    with transaction(db):
        renew_minutes(db)
        db.execute(
            "update uncalibrated_hours set seen_from_key = ? where not seen_from_key",
            [_next_key(db)],
        )
        return [hour for (hour,) in db.execute("select hour from uncalibrated_hours")]


def series_to_share(db: Database, times: Times) -> list[Series]:
    """Return every series from which calls without tokens get shares."""
    rows = db.execute(
        f"select distinct {_SERIES}, token_kind from int_metric_known"
        " where unknown_calls > 0 and hour >= ? and hour < ? order by 1, 2, 3, 4, 5",
        times,
    )
    return [Series(*row) for row in rows]


def series_to_fit(db: Database, times: Times) -> tuple[list[Series], list[Series]]:
    """Return the series of a window, the one fitted longest ago first, and those not to fit again.

    The latter were fitted since the window's hours were seen, by a run that did not finish it.
    """
    all_series, fitted = series_to_share(db, times), _keys(db, times.start)
    (seen,) = db.execute(
        "select coalesce(max(seen_from_key), 0) from uncalibrated_hours"
        " where hour >= ? and hour < ?",
        times,
    ).fetchone()
    due = [one for one in all_series if fitted.get(one, 0) < seen]
    return sorted(due, key=lambda one: fitted.get(one, 0)), [*{*all_series} - {*due}]


def hour_totals(db: Database, series: Series, times: Times) -> list[HourTotal]:
    """Return the totals of a series and of its calls, hour by hour."""
    rows = db.execute(
        "select hour, metric_kind, value, is_provisional from metric_hourly"
        f" where ({_SERIES}) = (?, ?, ?, ?) and metric_kind in (?, 'calls')"
        " and hour >= ? and hour < ? order by hour",
        [*series, *times],
    )
    return [HourTotal(hour, kind, value, bool(young)) for hour, kind, value, young in rows]


def fine_totals(db: Database, series: Series, times: Times) -> Iterator[Fine]:
    """Yield what is known of the same in periods shorter than an hour.

    The same usage may be there under two names of a metric, or of a model.
    """
    rows = db.execute(
        "with same_use as (select series_key, metric_kind from metric_series"
        " join models using (model_key) where (account_key, region_key, endpoint,"
        " cloudwatch_model_id) = (?1, ?2, ?3, ?4) and metric_kind in (?5, 'calls'))"
        " select hour, metric_kind, 60, minutes from same_use"
        " cross join metric_minutes using (series_key) where hour >= ?6 and hour < ?7"
        " union all"
        " select substr(period_start, 1, 13) || ':00:00Z', metric_kind, period_seconds,"
        " json_group_object(cast(substr(period_start, 15, 2) as integer), value)"
        " from same_use cross join metric_totals using (series_key)"
        f" where period_seconds in {_FINE} and period_start >= ?6 and period_start < ?7"
        " group by series_key, substr(period_start, 1, 13), period_seconds",
        [*series, *times],
    )
    for hour, kind, seconds, minutes in rows:
        yield Fine(hour, kind, seconds, minutes)


def minute_calls(db: Database, series: Series, times: Times) -> Iterator[MinuteCalls]:
    """Yield all successful calls of a model: those that each of its series counts."""
    rows = db.execute(
        "select hour, rate_key, user_key, application_key, unknown_kinds, minutes, input"
        " from call_minutes where hour >= ? and hour < ? and account_key = ?"
        f" and rate_key in {_RATE_KEYS}",
        [*times, series.account_key, *series[:4]],
    )
    return map(MinuteCalls._make, rows)


def known_minutes(db: Database, series: Series, times: Times) -> Iterator[tuple[str, str]]:
    """Yield the tokens of a series that calls report: hour, and a JSON object by minute."""
    rows = db.execute(
        "select hour, minutes from known_minutes where hour >= ? and hour < ?"
        f" and account_key = ? and token_kind = ? and rate_key in {_RATE_KEYS}",
        [*times, series.account_key, series.token_kind, *series[:4]],
    )
    yield from rows


def known_usage(
    db: Database, series: Series, times: Times
) -> Iterator[tuple[str, tuple[int, int], int, int]]:
    """Yield what calls report: hour, caller, calls with the kind, and their tokens."""
    kind = next(one for one in KINDS if one.name == series.token_kind)
    tokens = " + ".join(f"coalesce({count.column}, 0)" for count in kind.counts)
    rows = db.execute(
        f"select hour, user_key, application_key, sum(calls - {kind.unknown_calls}), sum({tokens})"
        f" from usage_hourly where hour >= ? and hour < ? and account_key = ?"
        f" and calls > {kind.unknown_calls}"
        f" and rate_key in {_RATE_KEYS} group by hour, user_key, application_key",
        [*times, series.account_key, *series[:4]],
    )
    for hour, user, application, calls, known in rows:
        yield hour, (user, application), calls, known


def billed_calls(db: Database, times: Times) -> dict[Series, dict[tuple[int, int], Counted]]:
    """Return what the bill knows of calls that lack a kind, by series and caller."""
    if db.execute("select 1 from bill_lines limit 1").fetchone() is None:
        return {}
    last = parse_utc(times.end) - timedelta(seconds=1)
    days = {"first_day": times.start[:10], "last_day": f"{last:%Y-%m-%d}"}
    found: dict[Series, dict[tuple[int, int], Counted]] = {}
    for row in db.execute(sql_text("load/billed_calls"), days):
        *series, user, application, calls, tokens = row
        found.setdefault(Series(*series), {})[user, application] = Counted(calls, tokens)
    return found


def save_window(
    db: Database,
    times: Times,
    found: Mapping[Series, Window],
    left: Collection[Series] = (),
    kept: Collection[Series] = (),
) -> int:
    """Replace the calibrations of a window, and share again; return how many changed.

    Series that are ``left`` or ``kept`` keep theirs. Hours that changed since ``prepare`` are not
    done, nor those that changed since one of those ``left`` was fitted.
    """
    start, end = times
    with transaction(db):
        stored = _stored(db, start)
        new = {series: window._replace(shares=()) for series, window in found.items()}
        gone = stored.keys() - {*new, *left, *kept}
        changed = [one for one in (*new, *gone) if stored.get(one) != new.get(one)]
        # While some are left, the keys tell which were fitted.
        for series in (*new, *gone) if left else changed:
            key = _next_key(db)
            _delete(db, series, start)
            if series in new:
                _insert(db, series, start, key, new[series])
        _delete_shares(db, times, [*new, *gone] if left or kept else None)
        _insert_shares(db, found)
        _share_again(db, start, max([end, *(_end(db, one, start) for one in changed)]))
        fitted = _keys(db, start)
        db.execute(
            "delete from uncalibrated_hours where seen_from_key and hour >= ? and hour < ?"
            " and seen_from_key <= ?",
            [*times, min((fitted.get(one, 0) for one in left), default=_next_key(db))],
        )
    return len(changed)


def _delete_shares(db: Database, times: Times, of: Iterable[Series] | None) -> None:
    """Delete the shares of a window, only of some series if given."""
    in_window = "hour >= ? and hour < ?"
    if of is None:
        db.execute(f"delete from hour_shares where {in_window}", times)
        return
    for one in of:
        db.execute(
            f"delete from hour_shares where {in_window} and account_key = ? and token_kind = ?"
            f" and rate_key in {_RATE_KEYS}",
            [*times, one.account_key, one.token_kind, *one[:4]],
        )


def _insert_shares(db: Database, found: Mapping[Series, Window]) -> None:
    not_seen = db.execute("select hour from uncalibrated_hours where not seen_from_key")
    changed = {hour for (hour,) in not_seen}
    after = {utc_text(parse_utc(hour) + timedelta(hours=1)) for hour in changed}
    for series, window in found.items():
        db.conn.executemany(
            "insert into hour_shares values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (one.hour, series.account_key, one.rate_key, series.token_kind, *one[2:])
                for one in window.shares
                # Calls of the hour before may be somebody else's now.
                if one.hour not in changed and not (one.calls == 0 and one.hour in after)
            ),
        )


def _share_again(db: Database, start: str, end: str) -> None:
    hours = db.execute(
        "select min(hour), max(hour) from metric_hourly where hour >= ? and hour < ?", [start, end]
    ).fetchone()
    if hours[0] is not None:
        renew_shares(db, Names(db), *hours)


def is_due(db: Database, now: datetime) -> bool:
    """Return whether a settled hour changed, and the last complete calibration is an hour old.

    One of another day is not waited for.
    """
    done = db.execute("select hour, calibrated_at from calibrated_until").fetchone()
    settled = _last_settled_hour(db)
    if settled is None or done is None or settled[:10] > done[0][:10]:
        return settled is not None
    if done[1] is not None and now - parse_utc(done[1]) < _WAIT:
        return False
    changed = db.execute(
        "select 1 from uncalibrated_hours cross join metric_hourly using (hour)"
        " where not is_provisional limit 1"
    )
    return changed.fetchone() is not None


def is_waiting(db: Database) -> bool:
    """Return whether hours that changed have no shares until the next calibration."""
    return (
        db.execute("select 1 from calibrations, uncalibrated_hours limit 1").fetchone() is not None
    )


def note_done(db: Database, now: datetime | None) -> None:
    """Record that everything that has settled is calibrated."""
    hour = _last_settled_hour(db)
    with transaction(db):
        db.execute("delete from calibrated_until")
        if hour is not None:
            at = utc_text(now) if now else None
            db.execute("insert into calibrated_until values (?, ?)", [hour, at])


def _last_settled_hour(db: Database) -> str | None:
    row = db.execute(
        "select hour from metric_hourly where not is_provisional order by hour desc limit 1"
    ).fetchone()
    return row[0] if row else None


def drop_calibrations(db: Database) -> bool:
    """Drop all calibrations, and share by calls again; return whether there were any."""
    with transaction(db):
        if db.execute("select 1 from calibrations limit 1").fetchone() is None:
            return False
        db.execute("delete from hour_shares")
        db.execute("delete from call_weights")
        db.execute("delete from calibrations")
        db.execute("delete from calibrated_until")
        note_uncalibrated(db, [f"{hour}:00:00Z" for hour in all_hours(db)])
        _share_again(db, "", "9")
    return True


_RATE_KEYS = (
    "(select rate_key from int_rate_series where"
    " (account_key, region_key, endpoint, cloudwatch_model_id) = (?, ?, ?, ?))"
)

_KEY = f"({_SERIES}, token_kind, window_start) = (?, ?, ?, ?, ?, ?)"


def _stored(db: Database, start: str) -> dict[Series, Window]:
    rows = db.execute(
        f"select {_SERIES}, token_kind, calibration_key, unit, bucket_seconds, buckets,"
        " average_weight, held_out_gain, is_used from calibrations where window_start = ?",
        [start],
    )
    return {
        Series(*row[:5]): Window._make((*row[6:11], bool(row[11]), _weights(db, row[5]), ()))
        for row in rows.fetchall()
    }


def _weights(db: Database, key: int) -> tuple[Weight, ...]:
    rows = db.execute(
        "select user_key, application_key, weight, relative_error, group_number, method,"
        " low_millionths, high_millionths from call_weights where calibration_key = ?"
        " order by 1, 2",
        [key],
    )
    return tuple(Weight(*row) for row in rows)


def _keys(db: Database, start: str) -> dict[Series, int]:
    """Return the keys of a window's calibrations: a later one has a larger key."""
    rows = db.execute(
        f"select {_SERIES}, token_kind, calibration_key from calibrations where window_start = ?",
        [start],
    )
    return {Series(*row[:5]): row[5] for row in rows}


def _next_key(db: Database) -> int:
    (key,) = db.execute(
        "select 1 + max(coalesce((select max(calibration_key) from calibrations), 0),"
        " coalesce((select max(seen_from_key) from uncalibrated_hours), 0))"
    ).fetchone()
    return int(key)


def _end(db: Database, series: Series, start: str) -> str:
    """Return the start of a series' next window, until which the weights of this one serve."""
    (end,) = db.execute(
        f"select min(window_start) from calibrations where ({_SERIES}, token_kind)"
        " = (?, ?, ?, ?, ?) and window_start > ?",
        [*series, start],
    ).fetchone()
    return end or "9"


def _insert(db: Database, series: Series, start: str, key: int, window: Window) -> None:
    db.execute(
        "insert into calibrations values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [key, *series, start, *window[:6]],
    )
    db.conn.executemany(
        "insert into call_weights values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(key, *weight) for weight in window.weights],
    )


def _delete(db: Database, series: Series, start: str) -> None:
    key = [*series, start]
    db.execute(
        "delete from call_weights where calibration_key in"
        f" (select calibration_key from calibrations where {_KEY})",
        key,
    )
    db.execute(f"delete from calibrations where {_KEY}", key)
