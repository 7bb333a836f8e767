"""Keep what unusual use is found by: first uses, failed calls and costs by the hour.

A change of usage only notes its days, in the transaction that makes it, so that loading does not
wait. ``renew_watch`` computes them again, each in a transaction of its own.

- ``first_uses``: when each caller first used a region, a model, an agent or a network. It only ever
  moves to an earlier call. What is known stays when calls are dropped.
- ``failed_hours`` and ``cost_hours``: of the days back to ``KEPT_DAYS`` before the latest.
- ``failed_days``: of all days. What is known stays when calls are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.user_agent import software
from etl.sql_files import sql_text
from etl.warehouse.long_work import long_work
from etl.warehouse.turns import transaction

# Nine weeks: eight to compare with.
KEPT_DAYS = 63

PRINCIPAL, REGION, MODEL, AGENT, NETWORK = "principal", "region", "model", "agent", "network"


def note_days(db: Database, changes: str) -> None:
    """Note the days of changed usage or rates, in the caller's transaction."""
    db.execute(f"insert or ignore into unwatched_days select distinct day from {changes}")


def renew_watch(db: Database) -> None:
    """Bring the tables up to date with the calls of the noted days."""
    days = [day for (day,) in db.conn.execute("select day from unwatched_days order by day")]
    if not days:
        return
    with long_work(db, "looking for unusual use") as note:
        keys = _Keys(db)
        for number, day in enumerate(days, 1):
            note(f"{day} ({number} of {len(days)})")
            with transaction(db):
                _renew_day(db, keys, day)
                db.conn.execute("delete from unwatched_days where day = ?", [day])


def watch_before_dropping(db: Database, before: str) -> None:
    """Take what is first used from the calls before a moment, in the caller's transaction."""
    days = db.conn.execute("select day from unwatched_days where day < ?", [before[:10]])
    keys = _Keys(db)
    for (day,) in days.fetchall():
        _renew_day(db, keys, day)
        db.conn.execute("delete from unwatched_days where day = ?", [day])


def _renew_day(db: Database, keys: _Keys, day: str) -> None:
    (last,) = db.conn.execute("select max(day) from usage_daily").fetchone()
    kept_from = (date.fromisoformat(last or day) - timedelta(days=KEPT_DAYS)).isoformat()
    uses, failures = _calls(db, day)
    _store_uses(db, day, _by_kind(keys, uses))
    (dropped,) = db.conn.execute(
        "select coalesce(max(dropped_before), '') from dropped_calls"
    ).fetchone()
    has_calls = day >= dropped[:10]
    if has_calls:
        _store_failed_day(db, day)
    for table in ("failed_hours", "cost_hours"):
        db.conn.execute(f"delete from {table} where hour < ?", [kept_from])
    if day < kept_from:
        return
    if has_calls:
        _store_failures(db, day, failures)
    db.conn.execute("delete from cost_hours where hour >= ? and hour < ?", [day, f"{day}T99"])
    db.conn.execute(
        "insert into cost_hours (hour, user_key, application_key, rate_key, calls,"
        f" cost_picodollars) {sql_text('load/cost_hours')}",
        {"day": day},
    )


def _store_failed_day(db: Database, day: str) -> None:
    db.conn.execute("delete from failed_days where day = ?", [day])
    db.conn.execute(f"insert into failed_days {sql_text('load/failed_days')}", {"day": day})


def _store_failures(db: Database, day: str, failures: _Failures) -> None:
    db.conn.execute("delete from failed_hours where hour >= ? and hour < ?", [day, f"{day}T99"])
    db.conn.executemany(
        "insert into failed_hours (hour, principal_key, found_user_key, account_key, region_key,"
        " model_key, error_code_key, user_key, failed_calls, first_time, first_event_id)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*key, one.user_key, one.failed_calls, *one.first) for key, one in failures.items()],
    )


class _Use:
    """Calls that have something in common, and the first of them: its time and its id."""

    __slots__ = ("calls", "failed_calls", "first", "user_key")

    def __init__(self, first: tuple[str, Any], user_key: int) -> None:
        self.first, self.user_key = first, user_key
        self.calls = self.failed_calls = 0


class _With(NamedTuple):
    """Who calls, and with what; None is unknown."""

    principal_key: int
    found_user_key: int
    region_key: int
    model_key: int
    user_agent_key: int | None
    source_address_key: int | None


_Failures = dict[tuple[Any, ...], _Use]


def _calls(db: Database, day: str) -> tuple[dict[_With, _Use], _Failures]:
    """Return a day's calls by caller and what they use, and the failed ones by hour and error."""
    uses: dict[_With, _Use] = {}
    failures: _Failures = {}
    for row in db.conn.execute(sql_text("load/watched_calls"), {"day": day}):
        principal, found, user, account, region, model, agent, address, error, *first = row
        key = _With(principal, found, region, model, agent, address)
        use = uses.get(key)
        if use is None:
            use = uses[key] = _Use((first[0], first[1]), user)
        use.calls += 1
        if error is not None:
            use.failed_calls += 1
            hour = f"{first[0][:13]}:00:00Z"
            same = (hour, principal, found, account, region, model, error)
            failed = failures.setdefault(same, _Use((first[0], first[1]), user))
            failed.failed_calls += 1
    return uses, failures


class _Keys:
    """What counts as the same model, and as the same agent."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._models = dict(
            db.conn.execute(
                "select model_key, min(model_key) over (partition by canonical_model_id)"
                " from int_models"
            )
        )
        self._agents: dict[int, int] = {}

    def model(self, model_key: int) -> int:
        return int(self._models.get(model_key, model_key))

    def agent(self, user_agent_key: int) -> int:
        """Return the key of a user agent's software; it is added if it is new."""
        if user_agent_key not in self._agents:
            conn = self._db.conn
            (text,) = conn.execute(
                "select user_agent from user_agents where user_agent_key = ?", [user_agent_key]
            ).fetchone()
            name = [software(text)]
            conn.execute("insert or ignore into agents (agent) values (?)", name)
            (key,) = conn.execute("select agent_key from agents where agent = ?", name).fetchone()
            self._agents[user_agent_key] = int(key)
        return self._agents[user_agent_key]


def _by_kind(
    keys: _Keys, uses: dict[_With, _Use]
) -> dict[tuple[int, int, str, int, int | None], _Use]:
    """Return the uses of each kind of thing by caller, kind, key and, of networks, address."""
    found: dict[tuple[int, int, str, int, int | None], _Use] = {}
    for using, use in uses.items():
        for kind, value, address in _values(keys, using):
            key = (using.principal_key, using.found_user_key, kind, value, address)
            one = found.get(key)
            if one is None:
                one = found[key] = _Use(use.first, use.user_key)
            if use.first[0] < one.first[0]:
                one.first = use.first
            one.calls += use.calls
            one.failed_calls += use.failed_calls
    return found


def _values(keys: _Keys, using: _With) -> Iterator[tuple[str, int, int | None]]:
    yield PRINCIPAL, 0, None
    yield REGION, using.region_key, None
    yield MODEL, keys.model(using.model_key), None
    if using.user_agent_key is not None:
        yield AGENT, keys.agent(using.user_agent_key), None
    if using.source_address_key is not None:
        yield NETWORK, using.source_address_key, using.source_address_key


_STORE = """
    insert into first_uses (principal_key, found_user_key, kind, value_key, source_address_key, day,
        first_time, first_event_id, user_key, calls, failed_calls)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict do update set day = excluded.day, first_time = excluded.first_time,
        first_event_id = excluded.first_event_id, user_key = excluded.user_key,
        calls = excluded.calls, failed_calls = excluded.failed_calls
    where excluded.day <= first_uses.day
"""


def _store_uses(
    db: Database, day: str, found: dict[tuple[int, int, str, int, int | None], _Use]
) -> None:
    db.conn.executemany(
        _STORE,
        [
            (*key, day, *use.first, use.user_key, use.calls, use.failed_calls)
            for key, use in found.items()
        ],
    )
