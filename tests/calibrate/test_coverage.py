"""How much is measured, of a single caller, calibrated, by calls, nobody's, and without a price."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

from sqlite_utils import Database

from etl.calibrate.run import calibrate_all
from etl.show.numbers import TOKEN_PARTS, token_parts
from etl.times import utc_text
from etl.warehouse.read.reports import Filters, coverage
from etl.web.queries import sql_of
from tests.cli.running import run
from tests.fleets import Call, write_fleet
from tests.support import HAIKU, call, load, rows, write_log, write_metrics
from tests.web.pages import open_pages

START = datetime(2026, 11, 5, tzinfo=UTC)
UNKNOWN = "acme.unheard-of"
PARTS = (*TOKEN_PARTS, "unpriced_tokens")
# The same from the hours: how each row of usage_cost came about.
OF_HOURS = (
    "select {by}, coalesce(sum(total) filter (where data_source like 'Actual%'), 0),"
    " coalesce(sum(total) filter (where allocation_method = 'single caller'), 0),"
    " coalesce(sum(total) filter (where allocation_method = 'calibrated'), 0),"
    " coalesce(sum(total) filter (where allocation_method = 'calls'), 0),"
    " coalesce(sum(total) filter (where user_name = '(unattributed)'), 0), sum(unpriced_tokens)"
    " from (select *, coalesce(input_tokens, 0) + coalesce(output_tokens, 0) as total"
    " from usage_cost) group by {by} order by {by}"
)


def fleet() -> list[Call]:
    """Return calls of two users by day, of one who reports its tokens, and of one at night."""
    chance, calls = random.Random(4), list[Call]()
    for minute in range(2 * 1440):
        at = START + timedelta(minutes=minute)
        for user, mean, often in (("A", 100, 0.05), ("B", 4_000, 0.03)):
            if at.hour >= 6 and chance.random() < often:
                calls.append(Call(at, user, round(mean * chance.uniform(0.7, 1.3))))
        if minute % 240 == 17:
            calls.append(Call(at, "known" if at.hour >= 6 else "alone", 50, at.hour >= 6))
    return calls


def load_all(db: Database, folder: Path, more: Sequence[Call] = ()) -> None:
    """Calibrate the fleet; then load calls without a calibration, a model without calls, and one without price."""
    load(db, *write_fleet(folder, [*fleet(), *more]))
    calibrate_all(db)
    at = utc_text(START + timedelta(days=1))
    late = [call(90_000, user="A", eventTime=at, requestParameters={"modelId": UNKNOWN}),
            call(90_001, user="A", eventTime=at, awsRegion="eu-west-1", tokens=(5, 5))]  # fmt: skip
    totals = [(UNKNOWN, "InputTokenCount", 70, at), ("acme.uncalled", "InputTokenCount", 9, at)]
    metrics = [(*one, 3600) for one in totals]
    load(db, write_log(folder / "l.json", late), write_metrics(folder / "m.csv", metrics))


def test_every_token_is_told_once_and_everywhere_the_same(db: Database, tmp_path: Path) -> None:
    load_all(db, tmp_path)
    path, by = tmp_path / "warehouse.db", "day, region, model_id"
    found = rows(db, f"select {by}, {', '.join(PARTS)} from token_coverage order by {by}")
    assert found == rows(db, OF_HOURS.format(by=by))
    report = json.loads(run("report", "coverage", "--format", "json", "--db", path)[1])
    assert [tuple(row[c] for c in (*by.split(", "), *PARTS)) for row in report["rows"]] == found
    sums = {name: sum(row[3 + at] for row in found) for at, name in enumerate(PARTS)}
    assert all(sums.values()) and sums["unpriced_tokens"] == 79
    status = json.loads(run("status", "--format", "json", "--db", path)[1])["coverage"]["all"]
    for told in (report["coverage"], status):
        assert {name: told[name] for name in PARTS} == sums
    words = token_parts(sums)
    assert re.fullmatch(r"Tokens: 0.2 % measured, [\d.]+ % single caller, [\d.]+ % calibrated,"
                        " <0.1 % by calls, <0.1 % unattributed; 79 without a price", words)  # fmt: skip
    assert words in run("report", "users", "--db", path)[1]
    assert words in " ".join(run("status", "--db", path)[1].split())
    own = token_parts(coverage(db, Filters(users=("known",))))
    assert own == "Tokens: 100.0 % measured"
    with open_pages(path) as pages:
        shown = [pages.open(address).text for address in ("/", "/cost", "/user?name=known")]
    assert words in unescape(shown[0]) and f"{words}." in unescape(shown[1]) and own in shown[2]
    nobody = Filters().parameters() | {"_visitor_applications": '["Others"]'}
    assert token_parts(next(db.query(sql_of("token_parts"), nobody))) == ""


def test_the_weights_of_what_is_selected_are_shown(db: Database, tmp_path: Path) -> None:
    together = [
        Call(START + timedelta(minutes=29 * n), user, 500)
        for n in range(90)
        for user in ("left", "right")
    ]
    load_all(db, tmp_path / "fleet", together)
    by_user = {row["user_name"]: row for row in db.query(sql_of("weights"), Filters().parameters())}
    assert by_user.keys() == {"A", "B", "alone", "left", "right"}
    stored = "select weight / 1000.0, relative_error from call_weights join users using (user_key)"
    for name in ("A", "left"):
        found = by_user[name]
        assert rows(db, f"{stored} where user_name = ?", [name]) == [
            (found["tokens_per_call"], found["relative_error"])
        ]
        estimated = (
            "select sum(input_tokens) from usage_cost where user_name = ? and model_id = ?"
            " and data_source like 'CloudWatch%'"
        )
        assert rows(db, estimated, [name, HAIKU]) == [(found["tokens"],)]
    assert (by_user["left"]["callers"], by_user["A"]["callers"]) == (2, 1)
    nobody = Filters().parameters() | {"_visitor_applications": '["Others"]'}
    assert list(db.query(sql_of("weights"), nobody)) == []
    with open_pages(tmp_path / "warehouse.db") as pages:
        shown = unescape(pages.open("/cost?user=A&user=left").text)
        assert f">{by_user['A']['tokens_per_call']:,.0f}</td>" in shown
        assert f'<td class="n">{by_user["A"]["relative_error"]:.0%}'.replace("%", " %") in shown
        assert "14 days from 2026-11-05, by 60 s" in shown
        assert "shared by calls with 1 other, who always calls together with it" in shown
        for address in ("/cost?user=known", "/cost?user=left"):
            assert "Tokens per call" not in pages.open(address).text
