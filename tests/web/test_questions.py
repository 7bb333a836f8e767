"""Pages that answer one question each: errors, models, an hour's calls, unusual use, a search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl.config import Restriction, Serve
from etl.show.caches import cache_use
from etl.show.errors import KINDS, NOT_KNOWN
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.watch import renew_watch
from etl.web.questions import by_kind
from etl.web.search import found_names
from tests.cases import cases
from tests.support import SONNET, call, load, role_identity, rows, uuid_of, write_log
from tests.web.html_page import Page
from tests.web.pages import Pages, open_pages
from tests.web.visits import HTML, VARIABLES, Visitor, bearer, serving

CHAT, SHOP = role_identity("ChatbotApp-BedrockRole"), role_identity("Shop-BedrockRole")
# Monday 2 November 2026, two of three of whose calls failed, and Tuesday.
CALLS = [
    call(1, userIdentity=CHAT, tokens=(10, 1)),
    call(2, userIdentity=CHAT, eventTime="2026-11-02T10:20:00Z", errorCode="ThrottlingException"),
    call(3, userIdentity=CHAT, eventTime="2026-11-02T10:40:00Z", errorCode="AccessDeniedException"),
    call(4, userIdentity=SHOP, eventTime="2026-11-03T11:00:00Z", errorCode="ThrottlingException",
         awsRegion="us-west-2", requestParameters={"modelId": SONNET}),
    call(5, userIdentity=SHOP, eventTime="2026-11-03T11:30:00Z", tokens=(1_000_000, 10)),
    call(6, userIdentity=SHOP, eventTime="2026-11-03T12:00:00Z", errorCode="Weird<b>Exception"),
]  # fmt: skip
RANGE = "from=2026-11-02&to=2026-11-03"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    with open_warehouse(folder / "w.db", create=True) as warehouse:
        load(warehouse, write_log(folder / "log.json", CALLS))
        renew_watch(warehouse)
    return folder / "w.db"


@pytest.fixture(scope="module")
def few(db: Path) -> Iterator[Pages]:
    with open_pages(db) as pages:
        yield pages


@pytest.fixture(scope="module")
def chat(db: Path) -> Iterator[Visitor]:
    """A visitor who may see one application."""
    seen = Serve(
        host_names=("usage.example.com",),
        tokens=VARIABLES,
        restrictions=(Restriction(visitor="nightly", applications=("ChatbotApp",)),),
    )
    with serving(db, seen) as pages:
        yield Visitor(pages, **bearer("nightly"))


def text(pages: Pages, path: str) -> str:
    answer = pages.open(path)
    assert answer.status_code == 200, answer.text
    return Page(answer.text).text


def errors(pages: Pages, *by: str, **more: str) -> list[tuple[Any, ...]]:
    found = pages.rows("errors", **{f"by_{one}": "1" for one in by}, **more)
    columns = {"application": "application", "day": "day", "user": "user_name", "model": "model_id"}
    return [
        (*(row[columns[one]] for one in by), row["error_kind"], row["failed_calls"], row["all_calls"])
        for row in found
    ]  # fmt: skip


def test_errors_are_counted_by_kind_with_the_calls_that_they_are_of(few: Pages) -> None:
    assert errors(few) == [("throttled", 2, 6), ("denied", 1, 6), ("other", 1, 6)]
    assert sorted(errors(few, "application")) == [
        ("ChatbotApp", "denied", 1, 3),
        ("ChatbotApp", "throttled", 1, 3),
        ("Shop", "other", 1, 3),
        ("Shop", "throttled", 1, 3),
    ]
    assert sorted(errors(few, "day", applications="Shop")) == [
        ("2026-11-03", "other", 1, 3),
        ("2026-11-03", "throttled", 1, 3),
    ]
    assert errors(few, users="ChatbotApp-BedrockRole", until="2026-11-01") == []
    assert sorted(errors(few, "user", regions="us-east-1"))[0] == (
        *("ChatbotApp-BedrockRole", "denied", 1, 3),
    )


def test_the_page_of_errors_has_applications_models_and_escapes_codes(few: Pages) -> None:
    shown = text(few, f"/errors?{RANGE}")
    assert "Failed calls 4 66.7 % of 6" in shown
    assert "Throttled 2 33.3 % of all calls: more calls or tokens at once" in shown
    assert "ChatbotApp 2 66.7 % 1 1 0" in shown
    assert "Claude Sonnet 4.5 us-west-2 1 100.0 % 1 0 0" in shown
    assert "There is no usage" in text(few, f"/errors?{RANGE}&user=nobody")
    assert "<b>" not in few.open(f"/errors?{RANGE}").text


def test_what_is_not_counted_by_kind_yet_is_not_known(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.db", create=True) as warehouse:
        load(warehouse, write_log(tmp_path / "log.json", CALLS))
        before = errors_of(tmp_path)
        renew_watch(warehouse)
        assert rows(warehouse, "select sum(failed_calls) from failed_days") == [(4,)]
    assert before == [("not known", 4, 6)]
    assert errors_of(tmp_path)[0] == ("throttled", 2, 6)


def errors_of(folder: Path) -> list[tuple[Any, ...]]:
    with open_pages(folder / "w.db") as pages:
        return errors(pages)


def test_every_kind_of_error_has_its_words(tmp_path: Path) -> None:
    codes = {
        "ThrottlingException": "throttled",
        "ServiceQuotaExceededException": "throttled",
        "AccessDenied": "denied",
        "ValidationException": "not valid",
        "ResourceNotFoundException": "not found",
        "ModelTimeoutException": "timed out",
        "ServiceUnavailableException": "failed at AWS",
        "ModelNotReadyException": "failed at AWS",
        "InternalServerException": "failed at AWS",
        "SomethingElse": "other",
    }
    failed = [call(n, errorCode=code) for n, code in enumerate(codes, 1)]
    with open_warehouse(tmp_path / "w.db", create=True) as warehouse:
        load(warehouse, write_log(tmp_path / "log.json", failed))
        renew_watch(warehouse)
    with open_pages(tmp_path / "w.db") as pages:
        found = pages.rows("errors")
    assert {
        code: row["error_kind"] for row in found for code in row["error_codes"].split(",")
    } == codes
    assert {row["error_kind"] for row in found} | {NOT_KNOWN} == {*KINDS}


def test_an_hour_shows_its_calls_and_those_beside_it(few: Pages) -> None:
    shown = text(few, "/hour?hour=2026-11-02T10")
    assert "Calls of 2026-11-02, 10:00 to 10:59 UTC" in shown
    assert "Calls 1 2 failed (66.7 %)" in shown
    assert "ThrottlingException" in shown
    assert "11:30:00Z" not in shown
    assert "No calls in this hour" in text(few, "/hour?hour=2026-11-02T10&application=Shop")
    links = Page(few.open("/hour?hour=2026-11-02T10&application=ChatbotApp").text).links
    assert "/hour?hour=2026-11-02T09&application=ChatbotApp" in links
    assert (
        "/hour?hour=2026-11-03T11" in Page(few.open("/?from=2026-11-03&to=2026-11-03").text).links
    )
    for hour in ("", "2026", "2026-11-02T24", "2026-11-02T10:00", "1999-01-01T00", "%25"):
        answer = few.open(f"/hour?hour={hour}")
        assert (answer.status_code, "is not an hour" in answer.text) == (400, True)


def test_an_hour_with_thousands_of_callers_is_shown(tmp_path: Path) -> None:
    calls = [call(n, user=f"user-{n}", tokens=(10, 1)) for n in range(2_500)]
    with open_warehouse(tmp_path / "w.db", create=True) as warehouse:
        load(warehouse, write_log(tmp_path / "log.json", calls))
    with open_pages(tmp_path / "w.db") as pages:
        assert [row["calls"] for row in pages.rows("hours")] == [2_500]
        shown = text(pages, f"/hour?hour={calls[0]['eventTime'][:13]}")
    assert "The latest 500 of 2,500." in shown


def test_weekdays_and_hours_are_those_of_utc(few: Pages) -> None:
    week = [tuple(row.values()) for row in few.rows("hours_of_week")]
    assert week == [(1, 10, 1, 2), (2, 11, 1, 1), (2, 12, 0, 1)]
    assert [tuple(row.values()) for row in few.rows("hours_of_week", applications="Shop")] == week[
        1:
    ]
    day = {row["hour_of_day"]: row["calls"] for row in few.rows("hours_of_day")}
    assert (len(day), day[10], day[11]) == (24, 1, 1)


def test_the_dearest_model_is_first_with_its_users(pages: Pages) -> None:
    shown = text(pages, "/models")
    first = shown.partition("Token data")[2]
    assert first.split()[:3] == ["Claude", "Opus", "4.7"]
    assert "ops-automation" in shown.partition("Who uses the dearest models")[2]
    saved = cache_use(pages.rows("cache_savings_by_application"))
    for path in ("/", "/savings"):
        assert f"Saved by caching ${saved.saved_usd:.2f}" in text(pages, f"{path}?range=90d")
    (haiku,) = [row for row in pages.rows("usage", by_model="1") if "haiku-4-5" in row["model_id"]]
    own = cache_use(
        row for row in pages.rows("cache_savings_by_application") if "haiku-4-5" in row["model_id"]
    )
    read = haiku["cache_read_tokens"]
    whole = read + haiku["input_tokens"] + haiku["cache_write_tokens"]
    assert own.read_share == pytest.approx(read / whole)


def test_what_is_unusual_is_told_of_users_and_applications_as_a_whole(pages: Pages) -> None:
    (found,) = pages.rows("unusual_callers")
    user = found["user_name"]
    for path in ("/unusual", f"/unusual?user={user}", f"/unusual?user={user}&user=nobody"):
        assert "nobody used it before" in text(pages, path), path
        assert "<script>alert" not in pages.open(path).text
    for more in ("user=nobody", "application=Unknown", "region=us-east-1", "to=2026-11-20"):
        assert "nobody used it before" not in text(pages, f"/unusual?{more}"), more
    assert f'data-rows-of="/unusual?user={user}"' in pages.open(f"/user?name={user}").text


@cases(
    ("searched", "kind", "found"),
    [
        ("chatb", "application", ["ChatbotApp"]),
        ("CHATB", "user", ["ChatbotApp-BedrockRole"]),
        ("sonnet 4.5", "model", ["anthropic.claude-sonnet-4-5-20250929-v1:0"]),
        ("us-west", "region", ["us-west-2"]),
        ("%", "application", []),
        ("_", "application", []),
        ("", "application", []),
    ],
)
def test_a_name_is_found_by_a_part_of_it(
    few: Pages, searched: str, kind: str, found: list[str]
) -> None:
    assert found_names(few.rows("choices"), searched)[kind] == found


def test_the_most_alike_is_first() -> None:
    choices = [{"kind": "user", "name": name} for name in ("my-app", "app2", "App", "nothing")]
    assert found_names(choices, "app")["user"] == ["App", "app2", "my-app"]


def test_a_call_is_found_by_its_whole_id_in_the_chosen_days(few: Pages) -> None:
    ((event, request),) = few.sql(
        "select event_id, request_id from calls where event_time = '2026-11-02T10:20:00Z'"
    )
    for searched in (event, request, event.upper(), f" {event} "):
        shown = text(few, f"/search?q={searched}&{RANGE}")
        assert f"Event {event}" in shown
        assert "ThrottlingException" in shown
    for missed in (event[:-1], f"{event[:-1]}%25", f"{event}'--"):
        assert "No call has this id" in text(few, f"/search?q={missed}&{RANGE}"), missed
    shown = text(few, f"/search?q={event}&from=2026-11-03&to=2026-11-03")
    assert "No call has this id" in shown


def test_what_is_searched_for_is_text_on_the_page(few: Pages) -> None:
    answer = few.open("/search?q=%3Cscript%3Ealert(1)%3C/script%3E%22'%3B--")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "What to search for" in text(few, "/search")
    assert few.open(f"/search?q={'x' * 5000}").status_code == 200


def test_a_restricted_visitor_finds_and_sees_only_what_is_theirs(few: Pages, chat: Visitor) -> None:
    ids = dict(few.sql("select event_time, event_id from calls"))
    theirs, others = ids["2026-11-02T10:20:00Z"], ids["2026-11-03T11:30:00Z"]
    answer = chat.get(f"/search?q={theirs}&{RANGE}", headers=HTML)
    assert f"Event <code>{theirs}" in answer.text
    answers = [
        chat.get(f"/search?q={one}&{RANGE}", headers=HTML)
        .text.replace("<wbr>", "")
        .replace(one, "ID")
        for one in (others, uuid_of(987654))
    ]
    assert answers[0] == answers[1]
    assert "No call has this id" in answers[0]
    names = [chat.get(f"/search?q={one}", headers=HTML).text for one in ("Shop", "Nope")]
    assert names[0].replace("Shop", "Nope") == names[1]
    for path in ("/errors", "/models", "/hour?hour=2026-11-03T11", "/"):
        shown = chat.get(path, headers=HTML)
        assert shown.status_code == 200
        assert "Shop" not in shown.text
        assert "Unusual use" not in shown.text
    assert chat.get("/unusual", headers=HTML).status_code == 403
    found = chat.get("/bedrock_usage/found_calls.json", params={"id": others}).json()
    assert found["rows"] == []
    kinds = chat.get("/bedrock_usage/errors.json?_shape=objects").json()["rows"]
    assert {(row["error_kind"], row["all_calls"]) for row in kinds} == {
        ("denied", 3), ("throttled", 3),
    }  # fmt: skip


def test_rows_of_kinds_add_up() -> None:
    some = [
        {"application": "a", "error_kind": kind, "failed_calls": n, "all_calls": 9}
        for kind, n in (("throttled", 1), ("denied", 2))
    ]
    (one,) = by_kind(some, "application")
    assert (one.failed, one.all_calls, one.kinds["denied"]) == (3, 9, 2)
    assert json.dumps(dict(one.kinds)) == '{"throttled": 1, "denied": 2}'
