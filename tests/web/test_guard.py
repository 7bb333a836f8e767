"""The guard in front of Datasette: host names, logins, limits, headers, the secret."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from etl.config import Serve
from etl.errors import BedrockUsageError
from etl.warehouse.database import open_warehouse
from etl.web import guard, protocol
from etl.web.login_attempts import MAX_FAILURES, WINDOW_SECONDS, LoginAttempts
from etl.web.secret import signing_secret
from etl.web.site import site_of
from tests.cases import cases
from tests.rounds import crossed, some
from tests.support import call, load, write_log
from tests.web.pages import Pages, open_pages
from tests.web.visits import HASH, HTML, LOGIN, PASSWORD, Visitor, bearer, serving


@pytest.fixture(scope="module")
def served(demo_db: Path) -> Iterator[Pages]:
    with serving(demo_db, LOGIN) as pages:
        yield pages


@pytest.fixture
def login(served: Pages) -> Pages:
    """A server without failed logins."""
    site = site_of(served.datasette)
    assert site is not None
    site.attempts._failures.clear()
    return served


@pytest.mark.parametrize("host", some([
    "localhost", "localhost:8001", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8001", "[::1]", "[::1]:80",
    "localhost.", "localhost:",
], 3))  # fmt: skip
def test_this_machines_own_names_are_accepted(pages: Pages, host: str) -> None:
    answer = Visitor(pages, "127.0.0.1").get("/-/versions.json", headers={"Host": host})
    assert answer.status_code == 200


@cases("host", [
    "evil.example", "evil.example:8001", "localhost.evil.example", "evil.example#localhost",
    "127.0.0.1.nip.io", "192.0.2.7", "0.0.0.0", "[::2]", "::1", "localhost,evil.example", "",
    "127.0.0.1:8001:evil", "user@localhost", "usage.example.com",
])  # fmt: skip
def test_a_rebound_host_name_is_refused(pages: Pages, host: str) -> None:
    for path in ("/", "/bedrock_usage.json?sql=select+1", "/-/static/app.css", "/no-such-page"):
        answer = Visitor(pages, "127.0.0.1").get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert answer.headers["content-type"].startswith("text/plain")


def test_two_host_headers_are_refused(pages: Pages) -> None:
    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert pages.run(status(pages, headers)) == 421
    assert pages.run(status(pages, [])) == 421
    assert pages.run(status(pages, headers[:1])) == 200


def test_a_cookie_of_another_server_may_be_malformed(pages: Pages) -> None:
    headers = [(b"host", b"localhost"), (b"cookie", b"theirs=\xff\xfe; ds_messages=\xc3\xa9")]
    assert pages.run(status(pages, headers)) == 200


def test_no_login_is_offered_where_there_is_none(pages: Pages, login: Pages) -> None:
    assert "/-/login" not in pages.open("/bedrock_usage").text
    assert "/-/login" in login.run(menu(login))


async def menu(pages: Pages) -> str:
    """Return what the menu of Datasette's own pages offers a visitor who is not logged in."""
    await pages.datasette.invoke_startup()
    return str(await pages.datasette.render_template("base.html", {}))


async def status(pages: Pages, headers: list[tuple[bytes, bytes]]) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": "GET", "path": "/-/versions.json", "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await pages.datasette.app()(scope, receive, send)
    code: int = sent[0]["status"]
    return code


@pytest.mark.parametrize(
    ("host", "names", "asked", "code"),
    some(
        [
            ("0.0.0.0", ("usage.example.com",), "usage.example.com:8001", 200),
            ("0.0.0.0", ("Usage.Example.com",), "usage.example.COM", 200),
            ("0.0.0.0", ("usage.example.com",), "0.0.0.0", 421),
            ("0.0.0.0", ("usage.example.com",), "other.example.com", 421),
            ("192.0.2.1", (), "192.0.2.1:8001", 200),
            ("192.0.2.1", (), "192.0.2.2:8001", 421),
            ("2001:db8::1", (), "[2001:db8::1]:8001", 200),
            ("127.0.0.2", (), "127.0.0.2", 200),
        ],
        4,
    ),
)
def test_a_shared_server_accepts_only_its_configured_names(
    demo_db: Path, host: str, names: tuple[str, ...], asked: str, code: int
) -> None:
    serve = Serve(passwords={"alice": HASH}, host_names=names)
    with serving(demo_db, serve, host) as pages:
        answer = Visitor(pages).get("/-/login", headers={"Host": asked})
        assert answer.status_code == code


def test_without_logging_in_only_the_login_page_is_shown(login: Pages) -> None:
    visitor = Visitor(login)
    for path in ("/", "/cost?since=2026-11-01", "/bedrock_usage/calls", "/-/metadata"):
        answer = visitor.get(path, headers=HTML)
        # A link survives the login.
        after = "" if path in ("/", "/-/metadata") else f"?{urlencode({'next': path})}"
        assert (answer.status_code, answer.headers["location"]) == (302, f"/-/login{after}")
    assert visitor.get("/bedrock_usage/calls.json").headers["www-authenticate"] == "Bearer"
    page = visitor.get("/-/login", headers=HTML)
    assert page.status_code == 200
    assert 'type="password"' in page.text
    assert "ChatbotApp" not in page.text
    assert visitor.get("/-/static/app.css").status_code == 200


def test_the_login_leads_to_the_page_that_was_asked_for_and_nowhere_else(login: Pages) -> None:
    wanted = "/application?name=ChatbotApp&range=7d"
    visitor = Visitor(login)
    visitor.get("/-/login", headers=HTML)
    token = visitor.client.cookies["ds_csrftoken"]
    form = {"username": "carol", "password": PASSWORD, "csrftoken": token}
    shown = visitor.get(f"/-/login?{urlencode({'next': wanted})}", headers=HTML).text
    assert f'name="next" value="{wanted.replace("&", "&amp;")}"' in shown
    assert (
        visitor.request("POST", "/-/login", data=form | {"next": wanted}).headers["location"]
        == wanted
    )
    for elsewhere in (
        *("//evil.example", "/\\evil.example", "https://evil.example", "evil", "/-/logout", ""),
        *("/a b", "/\r\nSet-Cookie: a=b", "/\t/evil.example", "javascript:alert(1)", "/" * 5000),
    ):
        assert (
            "evil"
            not in visitor.get(f"/-/login?{urlencode({'next': elsewhere})}", headers=HTML).text
        )
        answer = visitor.request("POST", "/-/login", data=form | {"next": elsewhere})
        assert (answer.status_code, answer.headers["location"]) == (302, "/"), elsewhere


def test_a_refused_page_has_a_way_home(login: Pages) -> None:
    alice = Visitor(login)
    alice.log_in("alice")
    refused = alice.get("/bedrock_usage/calls", headers=HTML)
    assert refused.status_code == 403
    assert '<a href="/">open the dashboard</a>' in refused.text
    assert alice.get("/bedrock_usage/calls.json").text == "You may not see this page"


def test_a_password_logs_in_until_logout(login: Pages) -> None:
    visitor = Visitor(login)
    assert visitor.log_in("carol").status_code == 302
    assert visitor.get("/-/actor.json").json() == {"actor": {"id": "carol"}}
    assert visitor.get("/bedrock_usage.json?sql=select+1").status_code == 200
    token = visitor.client.cookies["ds_csrftoken"]
    assert visitor.request("POST", "/-/logout", data={"csrftoken": token}).status_code == 302
    assert visitor.get("/-/actor.json").status_code == 401


def test_the_cookie_of_a_login_ends_and_is_not_for_scripts(
    login: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = Visitor(login)
    (cookie,) = [c for c in set_cookies(visitor.log_in("carol")) if c.startswith("ds_actor=")]
    parts = cookie.split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} < {*parts}
    assert "Secure" not in parts
    assert f"Max-Age={7 * 24 * 3600}" in parts
    assert visitor.get("/-/actor.json").status_code == 200
    later = time.time() + 7 * 24 * 3600 + 2
    monkeypatch.setattr("datasette.actor_auth_cookie.time.time", lambda: later)
    assert visitor.get("/-/actor.json").status_code == 401


def set_cookies(answer: Any) -> list[str]:
    return [value for name, value in answer.headers.multi_items() if name == "set-cookie"]


def test_behind_https_the_cookie_stays_there(login: Pages) -> None:
    answer = Visitor(login).log_in("carol", **{"X-Forwarded-Proto": "https"})
    assert any(c.startswith("ds_actor=") and c.endswith("; Secure") for c in set_cookies(answer))


def test_a_changed_password_logs_out(demo_db: Path) -> None:
    with serving(demo_db, LOGIN) as pages:
        visitor = Visitor(pages)
        visitor.log_in("carol")
        cookie = {"Cookie": f"ds_actor={visitor.client.cookies['ds_actor']}"}
    with serving(demo_db, LOGIN) as pages:
        # A restart does not.
        assert Visitor(pages, **cookie).get("/-/actor.json").status_code == 200
    removed = Serve(host_names=LOGIN.host_names, passwords={"alice": HASH}, tokens=LOGIN.tokens)
    with serving(demo_db, removed) as pages:
        assert Visitor(pages, **cookie).get("/-/actor.json").status_code == 401


def test_too_many_wrong_passwords_are_not_even_checked(login: Pages) -> None:
    site = site_of(login.datasette)
    assert site is not None
    attacker = Visitor(login, "192.0.2.66")
    for _ in range(MAX_FAILURES):
        answer = attacker.log_in("carol", "wrong")
        assert (answer.status_code, "Invalid username" in answer.text) == (200, True)
    answer = attacker.log_in("carol")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS
    assert attacker.log_in("alice").status_code == 429, "another name from the same address"
    assert Visitor(login).log_in("CAROL").status_code == 429, "the same name from another address"
    assert Visitor(login).log_in("alice").status_code == 302
    assert attacker.get("/-/login").status_code == 200


def test_a_forged_address_does_not_help(login: Pages) -> None:
    for number in range(MAX_FAILURES):
        Visitor(login).log_in(f"user{number}", "wrong", **{"X-Forwarded-For": f"10.0.0.{number}"})
    assert Visitor(login).log_in("alice", **{"X-Forwarded-For": "10.1.1.1"}).status_code == 429


def test_visitors_behind_a_proxy_on_this_machine_are_told_apart(login: Pages) -> None:
    def proxied(address: str) -> dict[str, str]:
        return {"X-Forwarded-For": f"10.9.9.9, {address}"}

    for number in range(MAX_FAILURES):
        Visitor(login, "127.0.0.1").log_in(f"user{number}", "wrong", **proxied("192.0.2.66"))
    assert Visitor(login, "127.0.0.1").log_in("alice", **proxied("192.0.2.66")).status_code == 429
    assert Visitor(login, "127.0.0.1").log_in("alice", **proxied("192.0.2.67")).status_code == 302


def test_right_passwords_do_not_count(login: Pages) -> None:
    for _ in range(MAX_FAILURES + 2):
        assert Visitor(login).log_in("carol").status_code == 302


def test_attempts_are_forgotten_in_time() -> None:
    now = [0.0]
    attempts = LoginAttempts(lambda: now[0])
    for second in range(MAX_FAILURES):
        now[0] = float(second)
        assert attempts.begin(["a", "b"]) == 0
    assert attempts.begin(["b"]) == attempts.begin(["a", "c"]) == WINDOW_SECONDS - now[0]
    now[0] = WINDOW_SECONDS + 0.5
    assert attempts.begin(["a"]) == 0
    assert attempts.begin(["a"]) > 0
    attempts.take_back(["a"])
    assert attempts.begin(["a"]) == 0


def test_there_is_no_hashing_tool_and_no_password_in_a_header(login: Pages) -> None:
    assert Visitor(login).get("/-/password-tool").status_code == 404
    answer = Visitor(login).request("POST", "/-/password-tool", data={"password": "x"})
    assert answer.status_code == 404
    headers = {"Authorization": "Basic Y2Fyb2w6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ=="}
    assert Visitor(login, **headers).get("/-/actor.json").status_code == 401


@cases(
    ("headers", "code"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8001"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxied.example"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8001"}, 403),
    ],
)
def test_a_form_of_another_site_does_nothing_even_without_a_cookie(
    pages: Pages, headers: dict[str, str], code: int
) -> None:
    visitor = Visitor(pages, "127.0.0.1")
    answer = visitor.request("POST", "/-/messages", headers={"Host": "localhost:8001", **headers})
    assert answer.status_code == (403 if code == 403 else answer.status_code)
    assert ("pages of another site are refused" in answer.text) == (code == 403)


def test_with_a_cookie_a_form_needs_its_token(login: Pages) -> None:
    visitor = Visitor(login)
    visitor.log_in("carol")
    for path in ("/-/logout", "/-/login", "/bedrock_usage/usage"):
        assert visitor.request("POST", path, data={"csrftoken": "x"}).status_code == 403
    assert visitor.get("/-/actor.json").status_code == 200


@cases("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
def test_other_methods_are_refused(pages: Pages, method: str) -> None:
    visitor = Visitor(pages, "127.0.0.1")
    answer = visitor.request(method, "/", headers={"Host": "localhost"})
    assert answer.status_code == 405


@pytest.mark.parametrize(("form", "sql"), crossed(["", ".json", ".csv"], [
        "select zeroblob(100000000)",
        "select hex(zeroblob(1000000))",
        "with recursive n (n) as (select 1 union all select n + 1 from n) select hex(zeroblob(49000)) from n",
        "with recursive n (n) as (select 1 union all select n + 1 from n limit 9999) select group_concat(hex(zeroblob(1000))) from n",
    ]))  # fmt: skip
def test_an_endless_response_is_refused(pages: Pages, sql: str, form: str) -> None:
    answer = pages.run(pages.datasette.client.get(f"/bedrock_usage{form}", params={"sql": sql}))
    assert len(answer.content) < 100_000
    assert "too big" in answer.text or "larger than" in answer.text or form == ".csv"


def test_each_answer_is_measured_by_itself(pages: Pages) -> None:
    sql = "with recursive n (n) as (select 1 union all select n + 1 from n limit 100) select hex(zeroblob(49000)) from n"
    for _ in range(3):
        answer = pages.run(pages.datasette.client.get("/bedrock_usage.json", params={"sql": sql}))
        assert (answer.status_code, len(answer.json()["rows"])) == (200, 100)


@pytest.mark.parametrize("parts", [[1], [2], [1, 1]])
def test_a_response_that_grew_is_refused_or_cut_off(
    monkeypatch: pytest.MonkeyPatch, parts: list[int]
) -> None:
    monkeypatch.setattr(guard, "RESPONSE_BYTES", 1000)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def answer() -> None:
        limited = guard._limited(send)
        await limited({"type": "http.response.start", "status": 200, "headers": []})
        for part in parts:
            await limited(
                {"type": "http.response.body", "body": b"x" * 900 * part, "more_body": True}
            )

    if len(parts) == 2:
        with pytest.raises(ConnectionAbortedError):
            asyncio.run(answer())
    else:
        asyncio.run(answer())
    assert sent[0]["status"] == (400 if parts == [2] else 200)
    assert sum(len(message.get("body", b"")) for message in sent) <= 1000


def test_a_large_body_is_not_read(login: Pages) -> None:
    visitor = Visitor(login)
    body = b"x" * (protocol.BODY_BYTES + 1)
    assert visitor.request("POST", "/-/login", content=body).status_code == 413
    assert visitor.request("POST", "/-/logout", content=body).status_code in (401, 413)


OWN = ("/", "/application?name=ChatbotApp", "/user?name=x", "/model?name=x", "/cost")
THEIRS = (
    "/bedrock_usage", "/bedrock_usage/calls", "/bedrock_usage/usage", "/bedrock_usage/usage.json",
    "/bedrock_usage/calls.csv", "/-/metadata.json", "/-/static/app.css", "/no-such-page",
    "/bedrock_usage.json?sql=delete+from+users", "/bedrock_usage.db",
)  # fmt: skip


@cases("path", some(OWN + THEIRS, 6))
def test_every_answer_has_its_headers(pages: Pages, path: str) -> None:
    headers = pages.open(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    (policy,) = headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert not [word for word in ("http", "//", "*") if word in policy]
    assert ("unsafe" in policy) == (path in THEIRS)


def test_refusals_have_them_too(login: Pages) -> None:
    for answer in (
        Visitor(login).get("/", headers={"Host": "evil.example"}),
        Visitor(login).get("/"),
        Visitor(login).get("/-/login"),
        Visitor(login, **bearer("nightly")).get("/-/metadata.json"),
    ):
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_policy_of_the_pages_own_stays() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"Content-Security-Policy", b"default-src 'self'"), (b"X-Frame-Options", b"ALLOW")]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    asyncio.run(guard._send_with_headers("other", send, start))
    found = [(name.lower(), value) for name, value in sent[0]["headers"]]
    assert [v for n, v in found if n == b"content-security-policy"] == [b"default-src 'self'"]
    assert [v for n, v in found if n == b"x-frame-options"] == [b"DENY"]


def test_markup_in_any_name_stays_text_on_every_page(tmp_path: Path) -> None:
    script = "<script>alert(1)</script>"
    identity = {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_X_0123456789abcdef/{script}",
        "accountId": "111122223333",
        "principalId": f"AROAEXAMPLE:{script}",
    }
    log = write_log(tmp_path / "log.json", [
        call(1, tokens=(1, 1), userIdentity=identity, userAgent=f"app/{script}"),
        call(2, user=script, tokens=(1, 1), userAgent=script, requestParameters={"modelId": script}),
    ])  # fmt: skip
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, log)
    with open_pages(tmp_path / "w.db") as pages:
        seen = ""
        for path in (
            "/", "/cost", f"/user?name={script}", f"/model?name={script}",
            f"/application?name={script}", "/bedrock_usage/calls", "/bedrock_usage/calls/",
            "/bedrock_usage/latest_calls", "/bedrock_usage/usage?by_user=1&by_model=1",
            f"/bedrock_usage/calls?_facet=user_agent&user_agent={script}",
            f"/bedrock_usage?sql=select+'{script}'", f"/bedrock_usage/{script}", f"/-/{script}",
        ):  # fmt: skip
            page = pages.open(path)
            seen += page.text
            assert script not in page.text, path
        assert "&lt;script&gt;alert(1)" in seen


def test_the_secret_survives_a_restart_and_is_private(tmp_path: Path) -> None:
    db = tmp_path / "w.db"
    old = os.umask(0)
    try:
        secret = signing_secret(db, Serve())
    finally:
        os.umask(old)
    file = tmp_path / "w.db.secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) >= 64
    assert signing_secret(db, Serve()) == secret
    assert signing_secret(tmp_path / "other.db", Serve()) != secret
    assert signing_secret(db, Serve(passwords={"alice": HASH})) != secret
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.db.secret", "w.db.secret"]


def test_a_secret_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASETTE_SECRET", "x" * 32)
    secret = signing_secret(tmp_path / "w.db", Serve())
    assert secret == signing_secret(tmp_path / "other.db", Serve())
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("DATASETTE_SECRET", "short")
    with pytest.raises(BedrockUsageError, match="DATASETTE_SECRET is shorter than 32") as caught:
        signing_secret(tmp_path / "w.db", Serve())
    assert "'short'" not in str(caught.value)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.db.secret"
    file.write_text("x" * 64)
    file.chmod(0o640)
    with pytest.raises(
        BedrockUsageError, match=r"w\.db\.secret: other users can read it.*delete it"
    ):
        signing_secret(tmp_path / "w.db", Serve())
    file.write_text("")
    file.chmod(0o600)
    with pytest.raises(BedrockUsageError, match="it contains no secret"):
        signing_secret(tmp_path / "w.db", Serve())


def test_two_servers_that_start_at_once_have_one_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    make = tempfile.mkstemp

    def at_once(**options: Any) -> Any:
        both.wait(timeout=10)
        return make(**options)

    monkeypatch.setattr(tempfile, "mkstemp", at_once)
    secrets: list[str] = []
    threads = [
        threading.Thread(target=lambda: secrets.append(signing_secret(tmp_path / "w.db", Serve())))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(secrets) == 2
    assert len(set(secrets)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["w.db.secret"]
