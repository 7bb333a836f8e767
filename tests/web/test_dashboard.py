"""Our own pages: their figures match the reports, and the address determines what they show."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest

from etl.errors import DataError
from etl.normalise.discounts import Discount
from etl.normalise.model_names import short_name
from etl.show import numbers
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.discounts import apply_discounts
from etl.web.selection import PRESETS, STACKS, Selection, parse_selection
from tests.cases import cases
from tests.cli.running import run
from tests.rounds import rounds
from tests.support import HAIKU, call, load, role_identity, write_log, write_metrics
from tests.web.html_page import Page
from tests.web.pages import Pages, open_pages

LAST, TODAY = date(2026, 11, 24), date(2026, 11, 25)
HOSTILE = "<script>document.title=1</script>\"'&"


def select(address: str) -> Selection:
    return parse_selection(parse_qsl(address), last_day=LAST, today=TODAY)


def page(pages: Pages, path: str) -> Page:
    response = pages.open(path)
    assert response.status_code == 200, response.text
    return Page(response.text)


@cases(
    ("address", "since", "until"),
    [
        ("", "2026-10-26", "2026-11-24"),
        ("range=7d", "2026-11-18", "2026-11-24"),
        ("range=90d", "2026-08-27", "2026-11-24"),
        ("range=mtd", "2026-11-01", "2026-11-24"),
        ("range=yesterday", "2026-11-24", "2026-11-24"),
        ("range=last-week", "2026-11-16", "2026-11-22"),
        ("range=last-month", "2026-10-01", "2026-10-31"),
        ("range=2026-02", "2026-02-01", "2026-02-28"),
        ("range=2027-12", "2027-12-01", "2027-12-31"),
        ("from=2026-11-01&to=2026-11-03", "2026-11-01", "2026-11-03"),
        ("to=2026-11-03", "2026-10-05", "2026-11-03"),
        ("range=7d&from=2026-11-20", "2026-11-20", "2026-11-24"),
    ],
)
def test_a_range_is_counted_back_from_the_last_day_loaded_and_a_word_is_the_calendars(
    address: str, since: str, until: str
) -> None:
    selection = select(address)
    assert (str(selection.since), str(selection.until)) == (since, until)


@cases("preset", PRESETS)
@cases("stack", STACKS)
def test_an_address_round_trips_to_the_same_selection(preset: str, stack: str) -> None:
    names = f"application={quote('a, b&c')}&application=%F0%9F%92%A1&user=u&region=r&model=m%3A0"
    selection = select(f"range={preset}&by={stack}&{names}")
    assert selection.applications == ("a, b&c", "\N{ELECTRIC LIGHT BULB}")
    assert select(selection.query()) == selection


def test_defaults_are_not_in_the_address() -> None:
    assert select("").query() == ""
    assert select("by=application&range=30d&region=").query() == ""


def test_the_range_before_is_as_long_and_ends_the_day_before() -> None:
    before = select("from=2026-11-10&to=2026-11-12").before()
    assert (str(before.since), str(before.until)) == ("2026-11-07", "2026-11-09")
    # All of a month with all of the one before, and a part of it with the same days.
    february = select("range=2026-02")
    before = february.before()
    assert (str(before.since), str(before.until)) == ("2026-01-01", "2026-01-31")
    before = february.before(february.within(date(2026, 2, 1), date(2026, 2, 3)))
    assert (str(before.since), str(before.until)) == ("2026-01-01", "2026-01-03")


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("range=8d", "range=8d is not one of"),
        ("by=color", "by=color is not one of"),
        ("from=yesterday", "from=yesterday is not a day"),
        ("to=2026-02-30", "to=2026-02-30 is not a day"),
        ("from=0001-01-01", "is not a day"),
        ("from=2026-11-03&to=2026-11-01", "is after to="),
        ("from=2000-01-01&to=2026-11-01", "is more than"),
    ],
)
def test_an_invalid_selection_is_refused_with_the_reason(
    pages: Pages, address: str, complaint: str
) -> None:
    with pytest.raises(DataError, match=re.escape(complaint)):
        select(address)
    response = pages.open(f"/?{address}")
    assert response.status_code == 400
    assert complaint in response.text
    assert '<a href="/">open the dashboard</a>' in response.text


FILTERS = {
    "": [],
    "range=7d": ["--since", "2026-11-17"],
    "application=ChatbotApp&application=WebPortal": [
        *("--application", "ChatbotApp", "--application", "WebPortal"),
    ],
    "region=us-west-2&from=2026-11-10&to=2026-11-14": [
        *("--region", "us-west-2", "--since", "2026-11-10", "--until", "2026-11-14"),
    ],
    "user=alice%40example.com": ["--user", "alice@example.com"],
    "model=amazon.nova-pro-v1%3A0": ["--model", "amazon.nova-pro-v1:0"],
}


@pytest.mark.parametrize("address", FILTERS)
def test_the_figures_are_those_of_the_report(pages: Pages, demo_db: Path, address: str) -> None:
    since = [] if "--since" in FILTERS[address] else ["--since", "2026-10-26"]
    status, out, _ = run(
        *("report", "users", "--format", "json", "--db", demo_db, *FILTERS[address], *since)
    )
    assert status == 0
    report = json.loads(out)
    shown = page(pages, f"/?{address}")
    total = report["total"]
    assert f"Cost {numbers.cost(total, 2)}" in shown.text
    assert f"Calls {total['calls']:,} {total['failed_calls']:,} failed" in shown.text
    for row in report["rows"][:10]:
        assert f"{row['user_name']} {numbers.cost(row, 2)}" in shown.text


OWN_PAGES = {
    *("/", "/application", "/user", "/team", "/model", "/cost"),
    *("/errors", "/models", "/savings", "/hour", "/unusual"),
}


def test_every_link_of_our_pages_leads_to_a_page(pages: Pages) -> None:
    """Of each kind of page as many as of any other, as far as there are links."""
    opened = Counter[str]()
    seen, waiting = set[str](), ["/"]
    while waiting and len(seen) < rounds(60, 400):
        path = min(waiting, key=lambda link: opened[urlsplit(link).path])
        waiting.remove(path)
        kind = urlsplit(path).path
        opened[kind] += 1
        seen.add(path)
        response = pages.open(path)
        assert response.status_code == 200, path
        if kind in OWN_PAGES:
            links = Page(response.text).links
            assert all(link.startswith(("/", "#")) for link in links), path
            new = dict.fromkeys(link for link in links if not link.startswith("#"))
            waiting += [link for link in new if link not in seen and link not in waiting]
    assert set(opened) >= OWN_PAGES


def test_every_chart_has_its_rows_as_csv_and_json(pages: Pages) -> None:
    charts = page(pages, "/?application=ChatbotApp&by=user").figures
    assert len(charts) == 7
    for chart in charts:
        path = chart["data-json"] or ""
        rows = pages.open(path).json()["rows"]
        assert rows
        query = parse_qs(urlsplit(path).query)
        assert query["applications"] == ['["ChatbotApp"]']
        text = pages.open(
            path.replace(".json?", ".csv?").replace("_shape=objects", "_size=max")
        ).text
        assert len(list(csv.DictReader(io.StringIO(text)))) == len(rows)


def test_a_cost_leads_to_its_price_row_and_source(pages: Pages) -> None:
    shown = page(pages, "/")
    (cost,) = {
        link
        for link in shown.links
        if link.startswith("/cost?") and "application=ChatbotApp" in link
    }
    made = page(pages, cost)
    assert "Why part of it is an estimate" in made.text
    row = next(link for link in made.links if re.fullmatch(r"/bedrock_usage/prices/\d+", link))
    assert "litellm" in pages.open(row).text
    assert "litellm" in made.text


def test_what_is_measured_is_not_called_an_estimate(pages: Pages) -> None:
    made = page(pages, "/cost?application=DataAnalysisApp")
    assert "Why it is not an estimate" in made.text


def test_an_empty_range_says_what_to_do(pages: Pages) -> None:
    shown = page(pages, "/?from=2020-01-01&to=2020-01-31")
    assert "No calls in this range" in shown.text
    assert re.search(r"The last call was .+ ago, at 2026-11-2\dT", shown.text)
    assert "/" in shown.links
    assert "No such application" in page(pages, "/application?name=nobody").text
    of_bob = page(pages, "/user?name=bob%40example.com&from=2020-01-01&to=2020-01-31")
    assert re.search("The last call with them was .+ ago, at 2026-11", of_bob.text)
    assert "/user?name=bob%40example.com" in of_bob.links


def test_an_empty_warehouse_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing read; read without finding calls; loaded from files; history still to be read."""
    path = tmp_path / "w.db"
    monkeypatch.setattr("etl.web.pages.now", at("2026-11-05T12:00Z"))
    with open_warehouse(path, create=True):
        pass
    with open_pages(path) as pages:
        shown = page(pages, "/")
        assert "Nothing is loaded yet" in shown.text
        for what in ("Press Refresh , at the top, or run bedrock-usage sync", "load PATH", "demo"):
            assert what in shown.text
        assert "Regions: all" not in shown.text
    with open_warehouse(path) as db, db.conn:
        db.execute(
            "insert into sync_state (stream, source, account_id, region, covered_from, watermark,"
            " read_at, history_from, error) values ('s', 'cloudtrail', '1', 'r',"
            " '2026-11-04T00:00:00Z', '2026-11-04T23:59:59Z', '2026-11-05T11:00:00Z',"
            " '2026-10-01T00:00:00Z', 'denied')"
        )
    with open_pages(path) as pages:
        shown = page(pages, "/")
        assert "No calls found yet AWS was last read 1 h ago" in shown.text
        assert "(1 source; 1 could not be read: sources )" in shown.text
        assert "/bedrock_usage/sync_status" in shown.links
    with open_warehouse(path) as db:
        call_ = call(1, eventTime="2026-11-04T10:00:00Z", tokens=(1, 1))
        load(db, write_log(tmp_path / "log.json", [call_]))
    unread = "Days back to 2026-10-06 are not read from AWS yet: sync goes on there."
    with open_pages(path) as pages:
        assert unread in page(pages, "/").text
        assert "not read from AWS yet" not in page(pages, "/?range=yesterday").text
    with open_warehouse(path) as db, db.conn:
        db.execute("delete from sync_state")
    with open_pages(path) as pages:
        assert "All of it is from files: AWS was never read. Press Refresh" in page(pages, "/").text


def test_a_page_of_a_subject_needs_one_name(pages: Pages) -> None:
    assert pages.open("/application").status_code == 400
    assert pages.open("/application?name=a&name=b").status_code == 400
    assert pages.open("/colour?name=a").status_code == 404


def test_the_change_is_shown_if_the_days_before_are_loaded(tmp_path: Path) -> None:
    days = {1: "2026-11-01", 2: "2026-11-02", 3: "2026-11-03"}
    calls = [
        call(n, eventTime=f"{day}T10:00:00Z", tokens=(n * 1_000_000, 0)) for n, day in days.items()
    ]
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", calls))
    with open_pages(tmp_path / "w.db") as pages:
        assert "Change +50.0 % from $0.50" in page(pages, "/?from=2026-11-03&to=2026-11-03").text
        # The two days before the 2nd are not both loaded: half a range cannot be compared.
        assert "Change –" in page(pages, "/?from=2026-11-02&to=2026-11-03").text


def test_a_filter_is_named_on_every_page_and_can_be_removed(pages: Pages) -> None:
    filters = {"model": "amazon.nova-pro-v1:0", "team": "Analytics", "region": "us-east-1"}
    for path in ("/?", "/cost?", "/application?name=ChatbotApp&", "/user?name=nobody&"):
        address = f"{path}{urlencode(filters)}&range=90d"
        shown = page(pages, address)
        for kind, name in filters.items():
            assert f"only {kind} {short_name(name)}" in shown.text, address
            without = parse_qs(urlsplit(address).query)
            del without[kind]
            found = [parse_qs(urlsplit(link).query) for link in shown.links]
            assert without in found, (address, kind)
        # Another range keeps what was chosen.
        (week,) = [link for link in shown.links if "range=7d" in link]
        assert {*filters.items()} <= {*parse_qsl(urlsplit(week).query)}


def test_a_page_that_applies_no_filter_says_so(pages: Pages) -> None:
    assert "filters of the page before are not applied" in page(pages, "/bill?user=alice").text
    assert "filters" not in page(pages, "/bill").text


def covering(tmp_path: Path, days: Mapping[str, int]) -> Path:
    """Load a call on each of some days, of a cost of so many quarters."""
    calls = [
        call(number, eventTime=f"{day}T10:00:00Z", tokens=(quarters * 1_000_000, 0))
        for number, (day, quarters) in enumerate(days.items())
    ]
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        load(db, write_log(tmp_path / "log.json", calls))
    return path


def at(moment: str) -> Callable[[], datetime]:
    return lambda: datetime.fromisoformat(moment)


def test_a_range_says_how_much_of_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = covering(tmp_path, {"2026-11-01": 4, "2026-11-04": 8, "2026-11-05": 40})
    monkeypatch.setattr("etl.web.pages.now", at("2026-11-05T12:00Z"))
    with open_pages(path) as pages:
        shown = page(pages, "/?range=90d").text
        assert "Data covers 5 of these 90 days, from 2026-11-01 to 2026-11-05." in shown
        assert "2026-11-05 is still running." in shown
        assert "90 days, data covers 5;" in shown
        # $3 on four finished days, two of them without use; today would add $10.
        assert "$0.75 a day, the average of 4 finished days" in shown
        assert "2026-11-05 not over $10.00" in shown
        assert "2026-11-03 $0.00 0 no calls" in shown
        assert "2026-10-31" not in shown
        assert "None of these days is loaded" in page(pages, "/?range=last-month").text


def test_a_comparison_leaves_out_the_day_that_is_not_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = {f"2026-{month}-{day:02}": 4 for month in (10, 11) for day in range(1, 32)}
    del days["2026-11-31"]
    days = dict.fromkeys(days, 4) | {"2026-11-03": 8, "2026-11-05": 400}
    path = covering(tmp_path, {day: cost for day, cost in days.items() if day <= "2026-11-05"})
    monkeypatch.setattr("etl.web.pages.now", at("2026-11-05T12:00Z"))
    with open_pages(path) as pages:
        month = page(pages, "/?range=mtd").text
        assert (
            "Change +25.0 % from $4.00 from 2026-10-01 to 2026-10-04"
            " to $5.00 from 2026-11-01 to 2026-11-04" in month
        )
        week = page(pages, "/?range=7d").text
        assert "+16.7 % from $6.00 from 2026-10-23 to 2026-10-28 to $7.00" in week
        whole = page(pages, "/?range=last-month").text
        assert "Change – no earlier days to compare with" in whole
        last = page(pages, "/?range=yesterday").text
        assert "−50.0 % from $2.00 on 2026-11-03" in last
        assert "no day of this range is loaded and over" in page(pages, "/?from=2026-11-05").text
    with open_warehouse(path) as db, db.conn:
        db.execute(
            "insert into sync_gaps values"
            " ('s', '2026-11-02T01:00:00Z', '2026-11-02T02:00:00Z', 'denied')"
        )
    with open_pages(path) as pages:
        shown = page(pages, "/?range=mtd").text
        assert "Change – some of these days could not be read from AWS" in shown
        assert "Of 1 day a part could not be read from AWS." in shown
        assert "2026-11-02 partly not read" in shown


def drawn(pages: Pages, shown: Page, kind: str) -> list[dict[str, Any]]:
    """Return the rows of a chart."""
    (path,) = [chart["data-json"] for chart in shown.figures if chart["data-chart"] == kind]
    rows: list[dict[str, Any]] = pages.open(path or "").json()["rows"]
    return rows


def test_what_changed_is_of_the_days_that_the_change_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The days of the card, also those of months of unequal length, and the card's costs."""
    days = [date(2026, 9, 1) + timedelta(days=number) for number in range(66)]
    path = covering(tmp_path, {f"{day}": day.day for day in days})
    monkeypatch.setattr("etl.web.pages.now", at("2026-11-05T12:00Z"))
    with open_pages(path) as pages:
        for address, compared, mainly in (
            ("/?range=last-month", "2026-10-01 to 2026-10-31 against 2026-09-01 to 2026-09-30", "more calls"),
            ("/?range=mtd", "2026-11-01 to 2026-11-04 against 2026-10-01 to 2026-10-04", None),
            ("/?range=yesterday&by=user", "2026-11-04 against 2026-11-03", "more tokens a call"),
            ("/user?name=alice&range=7d", "2026-10-30 to 2026-11-04 against 2026-10-23 to 2026-10-28", "fewer tokens a call"),
        ):  # fmt: skip
            shown = page(pages, address)
            assert f"{compared}, UTC." in shown.text
            (row,) = drawn(pages, shown, "movers")
            before, after = (row[f"cost_{when}_usd"] for when in ("before", "after"))
            assert f"from ${before:.2f} " in shown.text
            assert f"${after:.2f}" in shown.text
            assert row["mainly"] == mainly
        # An earlier range is not loaded: the last finished week is compared, and that is said.
        year = page(pages, "/?from=2026-09-10")
        assert "2026-10-29 to 2026-11-04 against 2026-10-22 to 2026-10-28, UTC. The range itself cannot be compared: no earlier days to compare with." in year.text  # fmt: skip
        assert len(drawn(pages, year, "movers")) == 1
        first = page(pages, "/?from=2026-09-01&to=2026-09-10")
        assert "Nothing to compare: no earlier days to compare with." in first.text


def test_the_csv_of_a_table_is_all_of_it_under_a_name(pages: Pages) -> None:
    shown = page(pages, "/?user=alice%40example.com&user=bob%40example.com")
    (link,) = [link for link in shown.links if "usage.csv" in link and "by_day" not in link
               and "by_user=1" in link][:1]  # fmt: skip
    assert "top" not in parse_qs(urlsplit(link).query)
    named = pages.open(link).headers["content-disposition"]
    assert (
        'filename="usage-by-user_2026-10-25_2026-11-23_user-alice@example.com-bob@example.com.csv'
        in named
    )
    everyone = pages.get("usage.csv", by_user="1")
    assert everyone.headers["content-type"] == "text/csv; charset=utf-8"
    ((users,),) = pages.sql("select count(distinct user_name) from user_costs")
    assert users > 10
    assert everyone.text.count("\n") == users + 1
    # Columns depend on the question, not on the rows.
    nobody = pages.get("usage.csv", by_user="1", users="nobody").text
    assert nobody == everyone.text.splitlines(keepends=True)[0]
    assert nobody.startswith("user_name,calls,")
    assert 'filename="calls.csv"' in pages.get("calls.csv").headers["content-disposition"]


def test_a_csv_may_be_longer_than_a_page(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.datasette, "max_returned_rows", 3)
    assert len(pages.get("usage.csv", by_user="1").text.splitlines()) > 10
    monkeypatch.setattr("etl.web.tables_csv._MAX_BYTES", 100)
    refused = pages.get("usage.csv", by_user="1")
    assert (refused.status_code, "choose fewer days" in refused.text) == (400, True)


def test_the_last_call_is_that_of_what_is_shown(pages: Pages) -> None:
    for address, condition in {
        "/": "true",
        "/user?name=alice%40example.com": "user_name = 'alice@example.com'",
        "/application?name=WebPortal": "application = 'WebPortal'",
        "/?to=2026-11-10": "event_time < '2026-11-11'",
        "/?team=Analytics&to=2026-11-17": "team = 'Analytics' and event_time < '2026-11-18'",
    }.items():
        ((last,),) = pages.sql(f"select max(event_time) from calls where {condition}")
        assert re.search(f"Last call .+ ago {last}", page(pages, address).text), address


def test_names_are_shown_as_plain_text(tmp_path: Path) -> None:
    calls = [
        call(1, tokens=(10, 1), userAgent=f"{HOSTILE} app/{HOSTILE}",
             userIdentity=role_identity("AWSReservedSSO_x", session=HOSTILE),
             requestParameters={"modelId": HOSTILE, "requestMetadata": {"application": HOSTILE}}),
        call(2, tokens=(10, 1), requestParameters={"modelId": HAIKU}),
    ]  # fmt: skip
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", calls))
    name = quote(HOSTILE)
    with open_pages(tmp_path / "w.db") as pages:
        for path in (
            *("/", f"/?application={name}&user={name}&region={name}&model={name}"),
            *(f"/{kind}?name={name}" for kind in ("application", "user", "model")),
            *("/cost", f"/cost?application={name}"),
        ):
            response = pages.open(path)
            assert response.status_code == 200
            assert "<script>document" not in response.text
            shown = Page(response.text)
            assert HOSTILE in "".join(shown.words)
            scripts = [{"type", "src"}, {"type", "src", "data-vega"}, {"type", "src"}]
            assert [script.keys() for script in shown.scripts] == scripts
        assert "<script>" not in pages.open(f"/?range={name}").text.replace(HOSTILE, "")
        refused = Page(pages.open(f"/?range={name}").text)
        assert HOSTILE in "".join(refused.words)
        assert refused.scripts == []


def test_another_datasette_of_the_process_is_left_alone(pages: Pages, tmp_path: Path) -> None:
    from datasette.app import Datasette

    other = Datasette(memory=True)
    response = pages.run(other.client.get("/"))
    assert response.status_code == 200
    assert "Bedrock" not in response.text
    other.executor.shutdown()


def test_a_page_that_takes_too_long_says_what_to_do(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.web.pages._SECONDS", -1)
    monkeypatch.setattr("etl.warehouse.visitor_sql.limits._STEPS", 1)
    response = pages.open("/cost?from=2026-11-05&to=2026-11-06")
    assert response.status_code == 400
    assert "choose fewer days" in response.text
    monkeypatch.undo()
    assert pages.open("/cost").status_code == 200


def test_an_address_with_too_many_parameters_is_refused(pages: Pages) -> None:
    response = pages.open("/?" + "&".join(f"user=u{number}" for number in range(1_001)))
    assert response.status_code == 400
    assert "more than 1,000" in response.text


def test_mixed_is_not_called_an_estimate_where_nothing_is_one(tmp_path: Path) -> None:
    calls = [call(1, tokens=(1_000_000, 0)), call(2)]
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", calls))
    with open_pages(tmp_path / "w.db") as pages:
        shown = page(pages, "/").text
    assert "estimated; " not in shown
    assert "partly estimated" not in shown
    assert "2026-11-02 ≥ $0.250000 2 0 1.00M 0 mixed" in shown


def test_estimated_tokens_without_a_price_are_not_called_measured(tmp_path: Path) -> None:
    model = "acme.unheard-of-v1"
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", [call(1, requestParameters={"modelId": model})]))
        load(db, write_metrics(tmp_path / "t.csv", [(model, "InputTokenCount", 500)]))
    with open_pages(tmp_path / "w.db") as pages:
        made = page(pages, "/cost").text
    assert "estimated from CloudWatch's totals, but have no price" in made
    assert "Every token is measured" not in made


def test_the_list_cost_is_shown_where_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        load(db, write_log(tmp_path / "log.json", [call(tokens=(8_000_000, 0))]))
    for discounts, shown in (([], False), ([Discount(percent=25)], True)):
        with open_warehouse(path) as db:
            apply_discounts(db, discounts)
        with open_pages(path) as pages:
            texts = [
                pages.open(address).text
                for address in ("/", f"/model?name={quote(HAIKU)}", "/cost")
            ]
        for text in texts:
            assert ("$2.00 at list price; $0.50 saved" in text) == shown
        assert all(("List cost" in text) == shown for text in texts[:2])
        assert ("list 0.25, discount 1" in texts[2]) == shown
