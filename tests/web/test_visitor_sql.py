"""A visitor's SQL: where it runs, what other sites can do with it, and its limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from datasette.database import Database

from etl.warehouse.visitor_sql.processes import Statement, VisitorProcesses
from etl.web.addresses import MAX_FACET_SIZE, MAX_FACETS, MAX_FIELDS
from etl.web.app import build_datasette
from etl.web.site import DATABASE
from tests.cases import cases
from tests.web.pages import QUERIES, Pages, closing_pages, open_pages

STUCK = "with x (a) as (select hex(zeroblob(49000))) select " + " + ".join(
    f"instr(a, substr(a, 1, 40000) || {i})" for i in range(160)
)
STUCK_SQL = f"{STUCK} from x"
# A filter contains a visitor's text too.
STUCK_WHERE = f"({STUCK} from x) > 0"


@pytest.fixture(scope="module")
def hurried(demo_db: Path) -> Iterator[Pages]:
    """A server that allows a statement a third of a second."""
    datasette = build_datasette(demo_db)
    datasette.sql_time_limit_ms = 300
    database = datasette.get_database(DATABASE)
    database.processes.close()
    database.processes = VisitorProcesses(demo_db, count=2, margin_seconds=0.3)
    with closing_pages(datasette) as pages:
        yield pages


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The statements that ran here and in the processes."""
    asked: dict[str, list[str]] = {"here": [], "elsewhere": []}
    here, elsewhere = Database.execute, VisitorProcesses.run

    async def run_here(self: Database, sql: str, *words: Any, **options: Any) -> Any:
        if self.name == DATABASE:
            asked["here"].append(sql)
        return await here(self, sql, *words, **options)

    async def run_elsewhere(self: VisitorProcesses, statement: Statement) -> Any:
        asked["elsewhere"].append(statement.sql)
        return await elsewhere(self, statement)

    monkeypatch.setattr(Database, "execute", run_here)
    monkeypatch.setattr(VisitorProcesses, "run", run_elsewhere)
    return asked


@pytest.fixture(autouse=True)
def no_pictures_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasette would print each error with all variables, which takes seconds."""
    monkeypatch.setattr("datasette.handle_exception.rich", None)


MARK = "mark57"
OF_A_VISITOR = (
    f"?sql=select+'{MARK}'", f".json?sql=select+'{MARK}'", f".csv?sql=select+'{MARK}'&_stream=1",
    f"/calls?_where='{MARK}'<''", f"/calls.json?_where='{MARK}'<''&_facet=region",
    f"/calls.csv?_where='{MARK}'<''&_stream=1", f"/calls.json?_where='{MARK}'<''&_facet_date=event_time",
    f"/calls.json?_where='{MARK}'<''&_sort=region&_next=2", f"?sql=explain+select+'{MARK}'",
    f"/users?_where='{MARK}'<''&_labels=on", f"?sql=select+:a+as+{MARK}&a=1",
)  # fmt: skip


@pytest.mark.parametrize("address", OF_A_VISITOR)
def test_a_visitors_sql_never_runs_in_the_server(
    pages: Pages, asked: dict[str, list[str]], address: str
) -> None:
    assert pages.open(f"/{DATABASE}{address}").status_code == 200
    assert any(MARK in sql for sql in asked["elsewhere"])
    assert not any(MARK in sql for sql in asked["here"])


@pytest.mark.parametrize("filter", [
    "user_name__contains=a", "user_name__like=%25a%25", "user_name__glob=*a*", "_search=a",
    "user_name__in=a,b", "_facet_date=event_time", "_sort=user_name",
    "_col=region", "_size=3", "",
])  # fmt: skip
def test_a_table_and_its_filters_are_read_elsewhere(
    pages: Pages, asked: dict[str, list[str]], filter: str
) -> None:
    pages.open(f"/{DATABASE}/calls.json?{filter}")
    assert not any("from calls" in sql for sql in asked["here"])
    assert any("from calls" in sql for sql in asked["elsewhere"])


def test_the_pages_and_their_queries_need_no_process(
    pages: Pages, asked: dict[str, list[str]]
) -> None:
    name = next(iter(QUERIES))
    for path in ("/", "/cost", f"/{DATABASE}/{name}", f"/{DATABASE}/usage.json"):
        assert pages.open(path).status_code == 200
    assert pages.get(sql=QUERIES[name]["sql"]).status_code == 200
    assert asked["elsewhere"] == []
    assert QUERIES[name]["sql"] in asked["here"]


def test_rows_of_a_process_are_rows_to_datasette(pages: Pages) -> None:
    database = pages.datasette.get_database(DATABASE)
    (row,) = pages.run(database.execute("select 1 as b, 2 as a, 3 as a", truncate=True)).rows
    assert (row["b"], row["a"], row[2], [*row], row.keys()) == (1, 2, 3, [1, 2, 3], ["b", "a"])
    with pytest.raises(IndexError):
        row["c"]


def test_the_dashboard_does_not_wait_for_what_visitors_run(hurried: Pages) -> None:
    hurried.open("/")
    get = hurried.datasette.client.get

    async def both() -> tuple[list[httpx.Response], float]:
        stuck = [
            asyncio.ensure_future(get(f"/{DATABASE}{path}"))
            for path in (
                *[f".json?{urlencode({'sql': STUCK_SQL})}"] * 3,
                f"/users.json?{urlencode({'_where': STUCK_WHERE})}",
            )
        ]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        assert (await get("/")).status_code == 200
        taken = time.monotonic() - began
        assert not all(task.done() for task in stuck)
        return [await task for task in stuck], taken

    answers, taken = hurried.run(both())
    assert taken < 5
    assert all("took too long" in answer.json()["error"] for answer in answers)


def test_closing_the_connection_stops_the_statement(hurried: Pages) -> None:
    processes = hurried.datasette.get_database(DATABASE).processes
    hurried.datasette.sql_time_limit_ms = 60_000
    hurried.run(hurried.datasette.client.get(f"/{DATABASE}.json?sql=select+1"))
    before = set(processes.running())

    async def go_away() -> list[Any]:
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await asyncio.sleep(0.3)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": f"/{DATABASE}.json",
            "query_string": urlencode({"sql": STUCK_SQL}).encode(),
            "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        await hurried.datasette.app()(scope, receive, send)
        return sent

    try:
        began = time.monotonic()
        assert hurried.run(go_away()) == []
        assert time.monotonic() - began < 5
        while before <= set(processes.running()):
            time.sleep(0.01)
    finally:
        hurried.datasette.sql_time_limit_ms = 300


def test_closing_the_connection_stops_statements_in_the_server_too(pages: Pages) -> None:
    database = pages.datasette.get_database(DATABASE)
    ended: list[str] = []

    def endless(connection: Any) -> None:
        try:
            connection.execute(
                "with recursive n (i) as (select 1 union all select i + 1 from n)"
                " select count(*) from n"
            )
        except Exception as error:
            ended.append(str(error))

    async def go_away() -> None:
        task = asyncio.ensure_future(database.execute_fn(endless))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait((task,))

    pages.run(go_away())
    assert pages.sql("select 1") == [(1,)]
    while not ended:
        time.sleep(0.01)
    assert ended == ["interrupted"]


def test_a_server_that_is_busy_says_so(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.datasette.get_database(DATABASE).processes, "_most", 0)
    answer = pages.get(sql="select 1")
    assert (answer.status_code, "Too many statements" in answer.text) == (503, True)
    assert pages.open("/").status_code == 200


@cases("path", [
    "/-/metadata", "/-/versions", "/-/plugins", "/-/settings", "/-/databases", "/-/threads",
    "/-/actor", "/-/allow-debug", "/-/messages", "/-/patterns", f"/{DATABASE}/prices/1",
    f"/{DATABASE}/users/1.json", f"/{DATABASE}/models/1", f"/{DATABASE}/usage.csv",
    f"/{DATABASE}/prices?_labels=on&_next=3", f"/{DATABASE}/prices.json?_shape=array",
    f"/{DATABASE}/usage_cost.csv?_stream=1", f"/{DATABASE}/models?_sort_desc=model_id&_size=2",
    f"/{DATABASE}/models.json?_size=2&_col=endpoint&_sort=model_id",
])  # fmt: skip
def test_datasettes_own_pages_work_as_before(pages: Pages, path: str) -> None:
    answer = pages.open(path)
    assert answer.status_code == 200
    assert "not authorized" not in answer.text


def test_no_other_database_answers_sql(pages: Pages) -> None:
    for path in ("/_internal", "/_internal.json", "/_memory.json", "/bedrock~5Fusage2"):
        assert pages.open(f"{path}?sql=select+1").status_code in (403, 404)


@cases(
    ("query", "code"),
    [
        ("&".join(["_facet=region"] * MAX_FACETS), 200),
        ("&".join(["_facet=region"] * (MAX_FACETS + 1)), 400),
        ("&".join(["_facet=region", "_facet_array=region", "_facet_date=region"] * 4), 400),
        (f"_facet=region&_facet_size={MAX_FACET_SIZE}", 200),
        (f"_facet=region&_facet_size={MAX_FACET_SIZE + 1}", 400),
        ("_facet=region&_facet_size=max", 400),
        (f"_facet=region&_where='{'x' * 9000}'>''", 400),
        (f"_where='{'x' * 9000}'>''", 200),
        ("&".join(f"region__not={i}" for i in range(MAX_FIELDS + 1)), 400),
    ],
)
def test_an_address_has_limits(pages: Pages, query: str, code: int) -> None:
    assert pages.open(f"/{DATABASE}/calls.json?_size=1&{query}").status_code == code


def test_comments_without_an_end_do_not_stop_the_server(pages: Pages) -> None:
    pages.open("/cost")
    began = time.process_time()
    assert pages.get(sql="select 1 " + "/* " * 8000).status_code == 400
    assert time.process_time() - began < 2
    assert pages.get(sql="select 1 /* " + "/* */ " * 1000).status_code == 200


LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
KINDS = {
    "image": {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "script": {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    "fetch": {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "frame": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "object": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"},
    "nothing said": {},
}
SQL = f"/{DATABASE}?sql=select+'ran'||'-it'"
PAGES = ("/", "/cost", "/-/static/app.css", f"/{DATABASE}/calls", SQL)
DATA = (
    f"/{DATABASE}.json", f"/{DATABASE}.csv?sql=select+1", f"/{DATABASE}/calls.json",
    f"/{DATABASE}/usage.csv", "/-/versions.json", f"/{DATABASE}/calls.blob", "/.json",
)  # fmt: skip


def ask(pages: Pages, path: str, site: str, headers: dict[str, str]) -> httpx.Response:
    sent = {"Sec-Fetch-Site": site, **headers}
    answer: httpx.Response = pages.run(pages.datasette.client.get(path, headers=sent))
    return answer


@cases(("kind", "site"), [*((kind, "cross-site") for kind in KINDS), ("image", "same-site")])
def test_another_site_gets_nothing_through_a_visitor(pages: Pages, kind: str, site: str) -> None:
    for path in (*PAGES, *DATA):
        answer = ask(pages, path, site, KINDS[kind])
        assert (answer.status_code, "Refused to another site" in answer.text) == (403, True), path


@cases("path", DATA)
def test_a_link_of_another_site_opens_no_data(pages: Pages, path: str) -> None:
    assert ask(pages, path, "cross-site", LINK).status_code == 403


@pytest.mark.parametrize("path", [
    "/", "/cost?range=7d", f"/{DATABASE}/prices", f"/{DATABASE}/usage?by_day=1",
    f"/{DATABASE}/cost_by_user?regions=us-east-1",
])  # fmt: skip
def test_a_link_of_another_site_opens_a_page(pages: Pages, path: str) -> None:
    answer = ask(pages, path, "cross-site", LINK)
    assert (answer.status_code, "Not run yet" in answer.text) == (200, False)


@pytest.mark.parametrize("path", [
    f"/{DATABASE}?sql=select+'ran'||'-it'+as+<script>", "/bedrock~5Fusage?sql=select+'ran'||'-it'",
    f"/{DATABASE}/calls?_where=1=1+or+'<script>'>''", f"/{DATABASE}/calls?region__contains=<script>",
    f"/{DATABASE}/calls?_facet=region", f"/{DATABASE}/usage/1?sql=select+1",
])  # fmt: skip
def test_what_a_link_of_another_site_would_run_is_shown_first(
    pages: Pages, asked: dict[str, list[str]], path: str
) -> None:
    answer = ask(pages, path, "cross-site", LINK)
    assert (answer.status_code, "Not run yet" in answer.text) == (200, True)
    assert "<script>" not in answer.text
    assert asked == {"here": [], "elsewhere": []}
    assert 'href="/' in answer.text


def test_a_link_of_another_site_may_be_the_first_request(demo_db: Path) -> None:
    with open_pages(demo_db) as pages:
        assert "Not run yet" in ask(pages, SQL, "cross-site", LINK).text


def test_what_was_shown_runs_from_there_and_where_no_browser_says_anything(pages: Pages) -> None:
    assert "ran-it" in ask(pages, SQL, "same-origin", LINK).text
    assert "ran-it" in ask(pages, SQL, "none", LINK).text
    assert "ran-it" in pages.open(SQL).text
    assert "ran-it" not in ask(pages, SQL, "cross-site", LINK).text
