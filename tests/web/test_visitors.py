"""Who may see what: every kind of address, for every kind of visitor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from datasette.utils.asgi import Request

from etl import resources
from etl.config import Config, Restriction, Serve
from etl.errors import ConfigError
from etl.sql_files import sql_names
from etl.web.app import build_datasette
from etl.web.site import DATABASE
from etl.web.visitors import allowed_usage, is_safe_query, magic_parameter
from tests.cases import cases
from tests.rounds import crossed, some
from tests.web.pages import QUERIES, Pages
from tests.web.visits import HASH, HTML, LOGIN, PROXY, SEARCH, VARIABLES, Visitor, bearer, serving

SAFE = (
    "bill_left_out",
    "bill_months",
    "bill_reasons",
    "billed",
    "budgets",
    "cache_savings_by_application",
    "callers",
    "capacity",
    "choices",
    "cost_lines",
    "errors",
    "evidence",
    "forecast",
    "found_calls",
    "freshness",
    "gap_days",
    "guardrails",
    "hour_calls",
    "hours",
    "hours_of_day",
    "hours_of_week",
    "kind_costs",
    "last_call",
    "latest_calls",
    "metadata",
    "movers",
    "other_models",
    "other_scopes",
    "other_tiers",
    "quotas",
    "throttled",
    "token_parts",
    "unusual_callers",
    "unusual_costs",
    "unusual_errors",
    "usage",
    "weights",
)

# Everything that could reveal another application, in every format that Datasette has.
ATTACKS = {
    "database": "/bedrock_usage",
    "database as JSON": "/bedrock_usage.json",
    "table": "/bedrock_usage/users",
    "table as JSON": "/bedrock_usage/users.json?_shape=array",
    "table as CSV": "/bedrock_usage/users.csv",
    "view": "/bedrock_usage/calls",
    "view as JSON": "/bedrock_usage/calls.json",
    "view as CSV": "/bedrock_usage/calls.csv",
    "capitals": "/bedrock_usage/CALLS.json",
    "stream": "/bedrock_usage/calls.csv?_stream=1&_size=max",
    "facet": "/bedrock_usage/calls.json?_facet=application&_size=0",
    "facet of a hidden table": "/bedrock_usage/applications.json?_facet=application",
    "where": "/bedrock_usage/calls.json?_where=1=1",
    "where with a subquery": "/bedrock_usage/choices.json/x?_where=application+in+(select+1)",
    "filter": "/bedrock_usage/calls.json?application__contains=a",
    "search through": "/bedrock_usage/calls.json?_through={}",
    "row": "/bedrock_usage/users/1",
    "row as JSON": "/bedrock_usage/users/1.json?_extras=foreign_key_tables",
    "blob of a row": "/bedrock_usage/users/1.blob?_blob_column=user_name",
    "blob of a table": "/bedrock_usage/users.blob?_blob_column=user_name",
    "blob of a page's query": "/bedrock_usage/usage.blob?_blob_column=application",
    "SQL": "/bedrock_usage?sql=select+*+from+calls",
    "SQL as JSON": "/bedrock_usage.json?sql=select+application+from+calls",
    "SQL as CSV": "/bedrock_usage.csv?sql=select+application+from+calls&_stream=1",
    "SQL with the other parameter": "/bedrock_usage.json?sql=select+:_visitor_teams",
    "SQL with the parameter": "/bedrock_usage.json?sql=select+:_visitor_applications",
    "query": "/bedrock_usage/cost_by_user",
    "query as JSON": "/bedrock_usage/cost_by_application.json",
    "query as CSV": "/bedrock_usage/cost_by_application.csv",
    "other form of a page's query": "/bedrock_usage/usage.jsono",
    "internal database": "/_internal",
    "internal table": "/_internal/tables.json",
    "download": "/bedrock_usage.db",
    "another name for a letter": "/bedrock%5Fusage/calls.json",
    "Datasette's name for a letter": "/bedrock~5Fusage/calls.json",
    "two slashes": "//bedrock_usage/calls",
    "a slash at the end": "/bedrock_usage/calls/",
    "front page as JSON": "/.json",
    "metadata": "/-/metadata",
    "metadata as JSON": "/-/metadata.json",
    "plugins": "/-/plugins.json",
    "databases": "/-/databases.json",
    "settings": "/-/settings.json",
    "versions": "/-/versions.json",
    "threads": "/-/threads.json",
    "allow-debug": "/-/allow-debug",
    "permissions": "/-/permissions",
    "messages": "/-/messages",
    "patterns": "/-/patterns",
    "token of root": "/-/auth-token?token=x",
    "unusual use": "/unusual",
    "refresh": "/-/refresh",
    "progress of a refresh": "/-/refresh.json",
    "no page at all": "/-/no-such-page",
}  # fmt: skip

BOTH = "json_each(:_visitor_applications), json_each(:_visitor_teams)"

# What no visitor may see, or what does not exist.
NEVER_SHOWN = {
    "internal database", "internal table", "download", "permissions", "token of root",
    "refresh", "no page at all", "other form of a page's query",
    "capitals", "another name for a letter", "two slashes", "a slash at the end",
    "row as JSON", "blob of a row", "blob of a table", "blob of a page's query",
    "where with a subquery", "search through",
}  # fmt: skip


@pytest.fixture(scope="module")
def login(demo_db: Path) -> Iterator[Pages]:
    with serving(demo_db, LOGIN) as pages:
        yield pages


@pytest.fixture(scope="module")
def proxy(demo_db: Path) -> Iterator[Pages]:
    with serving(demo_db, PROXY) as pages:
        yield pages


def with_password(login: Pages, _: Pages) -> Visitor:
    visitor = Visitor(login)
    assert visitor.log_in("alice").status_code == 302
    return visitor


def with_token(login: Pages, _: Pages) -> Visitor:
    return Visitor(login, **bearer("nightly"))


def by_proxy(_: Pages, proxy: Pages) -> Visitor:
    return Visitor(proxy, "10.0.0.5", **{"X-Forwarded-User": "ALICE"})


def not_named(_: Pages, proxy: Pages) -> Visitor:
    return Visitor(proxy, "10.0.0.5", **{"X-Forwarded-User": "other"})


RESTRICTED: dict[str, Callable[[Pages, Pages], Visitor]] = {
    "restricted, by password": with_password,
    "restricted, by token": with_token,
    "restricted, by a proxy": by_proxy,
    "restricted by default": not_named,
}
APPLICATIONS = {
    "restricted, by password": {SEARCH},
    "restricted, by token": {SEARCH, "WebPortal"},
    "restricted, by a proxy": {SEARCH},
    "restricted by default": {"MobileApp"},
}
ANONYMOUS: dict[str, Callable[[Pages, Pages], Visitor]] = {
    "not logged in": lambda login, _: Visitor(login),
    "a wrong token": lambda login, _: Visitor(login, Authorization="Bearer wrong"),
    "a token of other letters": lambda login, _: Visitor(login, Authorization=b"Bearer \xe4"),
    "a password in the header": lambda login, _: Visitor(
        login, Authorization=httpx.BasicAuth("carol", "x")._auth_header
    ),
    "a forged cookie": lambda login, _: Visitor(login, Cookie='ds_actor="eyJhIjp7ImlkIjoiYm9zcyJ9fQ.x"'),
    "a proxy's header from anywhere": lambda login, _: Visitor(login, **{"X-Forwarded-User": "boss"}),
    "not the proxy": lambda _, proxy: Visitor(proxy, "10.0.0.6", **{"X-Forwarded-User": "boss"}),
    "not the proxy, saying so": lambda _, proxy: Visitor(
        proxy, "10.0.0.6", **{"X-Forwarded-User": "boss", "X-Forwarded-For": "10.0.0.5"}
    ),
    "the proxy without a name": lambda _, proxy: Visitor(proxy, "10.0.0.5"),
    "the proxy with two names": lambda _, proxy: Visitor(
        proxy, "10.0.0.5", **{"X-Forwarded-User": "boss, alice"}
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def visitors(login: Pages, proxy: Pages) -> dict[str, Visitor]:
    return {name: make(login, proxy) for name, make in (RESTRICTED | ANONYMOUS).items()}


@cases("attack", ATTACKS)
def test_a_restricted_visitor_is_refused(visitors: dict[str, Visitor], attack: str) -> None:
    for method in ("GET", "HEAD"):
        answers = {who: visitors[who].request(method, ATTACKS[attack]) for who in RESTRICTED}
        assert {who: answer.status_code for who, answer in answers.items()} == dict.fromkeys(
            RESTRICTED, 403
        )


@cases("attack", [*ATTACKS, "dashboard", "page", "page's query"])
def test_a_visitor_who_has_not_logged_in_is_refused(
    visitors: dict[str, Visitor], attack: str
) -> None:
    pages = {"dashboard": "/", "page": "/cost", "page's query": "/bedrock_usage/usage.json"}
    for who in ANONYMOUS:
        answer = visitors[who].get((ATTACKS | pages)[attack])
        assert answer.status_code in (401, 403), who
        assert SEARCH not in answer.text


@cases(("attack", "make"), crossed(some((name for name in ATTACKS if name not in NEVER_SHOWN), 12), [
    lambda login, _: Visitor(login, **bearer("boss")),
    lambda _, proxy: Visitor(proxy, "10.0.0.5", **{"X-Forwarded-User": "boss"}),
]))  # fmt: skip
def test_an_unrestricted_visitor_may(
    login: Pages, proxy: Pages, make: Callable[[Pages, Pages], Visitor], attack: str
) -> None:
    answer = make(login, proxy).get(ATTACKS[attack])
    if attack in ("SQL with the parameter", "SQL with the other parameter"):
        assert answer.json()["rows"] == [] or answer.status_code == 400
    else:
        assert answer.status_code == 200


@cases("attack", sorted(NEVER_SHOWN))
def test_what_is_shown_to_no_visitor_is_no_page_for_unrestricted_visitors_either(
    login: Pages, attack: str
) -> None:
    answer = Visitor(login, **bearer("boss")).get(ATTACKS[attack])
    assert answer.status_code != 200 or "row" in attack or "blob" in attack


@cases(("make", "action"), crossed([
    lambda login, _: Visitor(login),
    lambda login, _: Visitor(login, **bearer("nightly")),
], [
    ("view-database", DATABASE), ("view-database-download", DATABASE), ("execute-sql", DATABASE),
    ("view-table", (DATABASE, "calls")), ("view-query", (DATABASE, "cost_by_user")),
    ("permissions-debug", None), ("debug-menu", None), ("of-some-plugin", None),
]))  # fmt: skip
def test_permissions_refuse_by_themselves(
    login: Pages, make: Callable[..., Visitor], action: tuple[str, Any]
) -> None:
    actor = {"id": "nightly"} if "authorization" in make(login, None).client.headers else None
    assert not login.run(login.datasette.permission_allowed(actor, *action, default=True))


def applications(rows: list[dict[str, Any]]) -> set[str]:
    return {row["application"] for row in rows}


@cases(
    ("query", "who"),
    crossed(
        [
            "",
            "?_visitor_applications=",
            '?_visitor_applications=["DataAnalysisApp"]',
            "?_visitor_applications=null",
            "?_visitor_applications=null&_visitor_teams=null&by_team=1",
            "?:_visitor_applications=x",
            "?sql=select+1",
            "?_size=max",
            '?applications=["DataAnalysisApp","ChatbotApp","WebPortal","MobileApp"]',
            "?_facet=application&_where=1=1&_stream=1&_trace=1&_extras=x",
        ],
        RESTRICTED,
    ),
)
def test_a_restricted_visitor_gets_only_allowed_applications_whatever_the_address_says(
    visitors: dict[str, Visitor], who: str, query: str
) -> None:
    address = (
        f"/bedrock_usage/usage.json{query}{'&' if query else '?'}_shape=objects&by_application=1"
    )
    answer = visitors[who].get(address)
    assert answer.status_code == 200
    assert applications(answer.json()["rows"]) == APPLICATIONS[who]
    others = {"DataAnalysisApp", "BackendAPI"}
    as_csv = visitors[who].get(address.replace(".json", ".csv").replace("_shape=objects&", ""))
    as_page = visitors[who].get(address.replace(".json", ""), headers=HTML)
    assert as_csv.status_code == as_page.status_code == 200
    assert not [name for name in others if name in as_csv.text]
    assert "BackendAPI" not in as_page.text


def test_the_parameter_is_always_the_visitors_own(login: Pages) -> None:
    boss = Visitor(login, **bearer("boss"))
    for query in ("", '&_visitor_applications=["none"]'):
        answer = boss.get(f"/bedrock_usage/usage.json?_shape=objects&by_application=1{query}")
        assert applications(answer.json()["rows"]) > {SEARCH, "WebPortal", "DataAnalysisApp"}


@cases("query", SAFE)
def test_every_query_of_the_pages_is_for_restricted_visitors(
    visitors: dict[str, Visitor], query: str
) -> None:
    text = visitors["restricted, by password"].get(f"/bedrock_usage/{query}.json").text
    assert "DataAnalysisApp" not in text
    assert "BackendAPI" not in text


@pytest.mark.parametrize(
    "page",
    [
        *("/", "/application?name=ChatbotApp", "/user?name=ChatbotApp-BedrockRole", "/cost"),
        *("/errors", "/models", "/search?q=ChatbotApp"),
    ],
)
def test_the_pages_show_a_restricted_visitor_only_allowed_applications(
    visitors: dict[str, Visitor], page: str
) -> None:
    answer = visitors["restricted, by password"].get(page, headers=HTML)
    assert answer.status_code == 200
    assert "ChatbotApp" in answer.text
    for other in ("DataAnalysisApp", "BackendAPI", "CustomerServiceApp"):
        assert other not in answer.text


def test_the_page_of_another_application_reveals_nothing(visitors: dict[str, Visitor]) -> None:
    page = "/application?name={}&preset=90d"
    real = visitors["restricted, by password"].get(page.format("DataAnalysisApp"), headers=HTML)
    made_up = visitors["restricted, by password"].get(page.format("NoSuchApplicatn"), headers=HTML)
    assert real.status_code == made_up.status_code
    assert real.text.replace("DataAnalysisApp", "NoSuchApplicatn") == made_up.text


def test_a_query_is_safe_by_its_sql_and_not_by_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("macros", "pages", "queries"):
        (tmp_path / folder).mkdir()
    (tmp_path / "macros" / "filters.sql").write_text(
        f"{{% macro visible() %}}\n{BOTH}\n{{% endmacro %}}"
        f"{{% macro said() %}}\n-- {BOTH}\n{{% endmacro %}}"
    )
    for name, sql in {
        "safe": f"select {BOTH}",
        "without_teams": "select json_each(:_visitor_applications)",
        "composed": "select {{ filters.visible() }}",
        "composed_comment": "{{ filters.said() }}\nselect 1",
        "not_composed": f"{{# {BOTH} #}}select 1",
        "comment": f"-- {BOTH}\nselect 1",
        "block": f"select 1 /* {BOTH}\n */",
        "longer": "select :_visitor_applications_, :_visitor_teams",
        "none": "select 1",
    }.items():
        (tmp_path / "pages" / f"{name}.sql").write_text(sql)
    # Plain Datasette has these too, but not the parameter.
    for outside in ("outside.sql", "queries/query.sql", "macros/macro.sql"):
        (tmp_path / outside).write_text(f"select {BOTH}")
    monkeypatch.setattr(resources, "SQL", tmp_path)
    names = [
        *("safe", "composed", "composed_comment", "not_composed", "comment", "block", "longer"),
        *(
            "without_teams",
            "none",
            "../outside",
            "outside",
            "query",
            "macro",
            "visible",
            "safe.sql",
            "",
            "SAFE",
        ),
    ]
    assert [name for name in names if is_safe_query(name)] == ["safe", "composed"]


def test_which_queries_are_safe() -> None:
    files = {*sql_names("pages"), *sql_names("queries")}
    assert {name for name in files if is_safe_query(name)} == {*SAFE}
    assert not [name for name in QUERIES if is_safe_query(name)]


@cases(
    ("actor", "allowed"),
    [
        (None, ()),
        ({}, ()),
        ({"id": 7}, ()),
        ({"id": "alice"}, (SEARCH,)),
        ({"id": "aLiCe"}, (SEARCH,)),
        ({"id": "boss"}, None),
        ({"id": "other"}, ("MobileApp",)),
    ],
)
def test_what_a_visitor_may_see(proxy: Pages, actor: Any, allowed: Any) -> None:
    seen = allowed_usage(proxy.datasette, actor)
    assert (seen and seen.applications) == allowed


def test_a_restricted_visitor_cannot_refresh(visitors: dict[str, Visitor]) -> None:
    for who in RESTRICTED:
        assert visitors[who].request("POST", "/-/refresh").status_code == 403


def test_two_proxy_headers_are_not_trusted(proxy: Pages) -> None:
    header = ("X-Forwarded-User", "boss")
    visitor = Visitor(proxy, "10.0.0.5")
    assert visitor.get("/-/actor.json", headers=[header]).json() == {"actor": {"id": "boss"}}
    assert visitor.get("/-/actor.json", headers=[header, header]).status_code == 403


def test_only_the_proxy_is_answered_at_all(proxy: Pages) -> None:
    for path in ("/-/static/app.css", "/-/login", "/favicon.ico"):
        assert Visitor(proxy, "10.0.0.6").get(path).status_code == 403
    assert Visitor(proxy, "10.0.0.5").get("/-/static/app.css").status_code == 200


def test_without_a_login_every_visitor_may_see_everything(pages: Pages) -> None:
    assert allowed_usage(pages.datasette, None) is None
    for attack in ("SQL", "view as CSV", "metadata", "query as JSON", "facet", "where"):
        assert pages.open(ATTACKS[attack]).status_code == 200
    rows = pages.rows("usage", by_application="1", _visitor_applications='["none"]')
    assert applications(rows) > {SEARCH}


def test_the_magic_parameter_has_one_name(login: Pages) -> None:
    request = Request({"actor": {"id": "alice"}}, None)
    assert json.loads(magic_parameter(login.datasette, "applications", request) or "") == [SEARCH]
    with pytest.raises(ValueError, match="unknown"):
        magic_parameter(login.datasette, "application", request)


@pytest.mark.parametrize("value", [None, "short", "not of ASCII \xe4\xf6\xfc \xe4\xf6\xfc"])
def test_a_missing_or_weak_token_is_reported_but_not_shown(
    demo_db: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setenv(VARIABLES["boss"], "a token that is long enough")
    if value is None:
        monkeypatch.delenv(VARIABLES["nightly"], raising=False)
    else:
        monkeypatch.setenv(VARIABLES["nightly"], value)
    with pytest.raises(ConfigError, match="TOKEN_NIGHTLY, the variable with the token of nightly") as caught:  # fmt: skip
        build_datasette(demo_db, Config(serve=LOGIN))
    assert value is None or value not in str(caught.value)


@pytest.mark.parametrize("key", ["passwords", "tokens"])
def test_an_extra_that_is_not_installed_is_reported(
    demo_db: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    serve = Serve(**{key: {"alice": HASH if key == "passwords" else "TOKEN"}})
    with pytest.raises(
        ConfigError, match=rf"serve\.{key}: run pip install 'bedrock-usage\[auth\]' first"
    ):
        build_datasette(demo_db, Config(serve=serve))


def test_secrets_are_on_no_page(login: Pages) -> None:
    boss = Visitor(login, **bearer("boss"))
    for page in ("metadata", "settings", "plugins", "databases", "versions", "threads", "actor"):
        text = boss.get(f"/-/{page}.json").text
        assert HASH[-40:] not in text
        assert "token-of-the" not in text


def test_no_visitor_is_restricted_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        Serve(restrictions=(Restriction(visitor="*", applications=("a",)),) * 2)
