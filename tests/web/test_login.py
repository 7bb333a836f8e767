"""Logging in and out: what an attacker learns, how long a session lasts, which requests wait."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from etl.config import Serve
from etl.web import passwords, sessions
from etl.web.login_attempts import MAX_FAILURES, SLOTS, WINDOW_SECONDS, LoginAttempts, attempt_keys
from etl.web.passwords import AT_ONCE, MAX_WAITING, Passwords, TooManyChecksError
from etl.web.sessions import LIFETIME_SECONDS, MAX_SESSIONS, Sessions
from tests.cases import cases
from tests.web.pages import Pages
from tests.web.visits import LOGIN, PASSWORD, Visitor, auth, serving

CHEAP = auth.hash_password(PASSWORD, iterations=1000)
DEAR = auth.hash_password(PASSWORD, iterations=3000)


@pytest.fixture(scope="module")
def login(demo_db: Path) -> Iterator[Pages]:
    with serving(demo_db, LOGIN) as pages:
        yield pages


@pytest.mark.parametrize("password", [PASSWORD, "wrong", "", "\ud800", "x" * 60_000])
@pytest.mark.parametrize("user", ["cheap", "dear", "nobody", "", "cheap_password_hash"])
def test_every_name_takes_the_same_work(
    monkeypatch: pytest.MonkeyPatch, user: str, password: str
) -> None:
    """Count rounds of hashing: the time itself depends on the machine's load."""
    work: list[int] = []
    derive = hashlib.pbkdf2_hmac

    def counting(name: str, key: bytes, salt: bytes, rounds: int) -> bytes:
        work.append(rounds)
        return derive(name, key, salt, 1)

    checks = Passwords({"cheap": CHEAP, "dear": DEAR})
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counting)
    asyncio.run(checks.check(user, password.encode("utf-8", "replace").decode()))
    assert sum(work) == 3000


def test_the_right_password_is_right_and_no_other() -> None:
    checks = Passwords({"cheap": CHEAP, "dear": DEAR})
    tries = [("cheap", PASSWORD), ("dear", PASSWORD), ("dear", "x"), ("nobody", PASSWORD)]
    found = [asyncio.run(checks.check(*words)) for words in tries]
    assert found == [True, True, False, False]
    assert CHEAP not in repr(checks)


def test_a_wrong_password_and_a_wrong_name_get_the_same_answer(login: Pages) -> None:
    answers = [Visitor(login).log_in(user, "wrong") for user in ("carol", "nobody")]
    shown = [
        (a.status_code, a.text.partition("csrftoken")[0], sorted(a.headers.keys())) for a in answers
    ]
    assert shown[0] == shown[1]


def test_others_are_answered_while_passwords_are_checked(
    login: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()
    monkeypatch.setattr(Passwords, "_check", lambda *_: going_on.wait(20))

    async def both() -> tuple[int, int]:
        visitor = Visitor(login)
        first = asyncio.create_task(_post(visitor, {"username": "carol", "password": "x"}))
        await asyncio.sleep(0)
        answer = await visitor.client.get("/-/login")
        assert not first.done()
        going_on.set()
        return answer.status_code, (await first).status_code

    assert login.run(both()) == (200, 302)


async def _post(visitor: Visitor, form: Any) -> httpx.Response:
    answer: httpx.Response = await visitor.client.post("/-/login", data=form)
    return answer


def test_only_as_many_checks_wait_as_can_finish_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()
    monkeypatch.setattr(Passwords, "_check", lambda *_: going_on.wait(20))

    async def many() -> list[Any]:
        checks = Passwords({})
        tasks = [asyncio.create_task(checks.check("a", "b")) for _ in range(100)]
        await asyncio.sleep(0.05)
        going_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(many())
    assert found.count(True) == AT_ONCE + MAX_WAITING
    assert {type(one) for one in found} == {bool, TooManyChecksError}


def test_no_number_of_other_names_evicts_a_lock() -> None:
    now = [0.0]
    attempts = LoginAttempts(lambda: now[0])
    for _ in range(MAX_FAILURES):
        assert attempts.begin(attempt_keys("victim", "192.0.2.1")) == 0
    refused = 0
    for number in range(10_000):
        address = f"2001:db8:{number >> 8:x}:{number & 255:x}::1"
        refused += attempts.begin(attempt_keys(f"name {number}", address)) > 0
        now[0] += 0.02
    assert attempts.begin(attempt_keys("victim", "198.51.100.1")) > 0
    # Others are not locked.
    assert refused <= 5
    assert len(attempts) <= SLOTS
    now[0] = WINDOW_SECONDS + 0.1
    assert attempts.begin(attempt_keys("victim", "198.51.100.1")) == 0


@cases(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("no address", "none", False),
    ],
)
def test_an_address_is_its_network(one: str, other: str, is_same: bool) -> None:
    assert (attempt_keys("a", one) == attempt_keys("a", other)) == is_same


def log_out(visitor: Visitor) -> None:
    token = visitor.client.cookies["ds_csrftoken"]
    assert visitor.request("POST", "/-/logout", data={"csrftoken": token}).status_code == 302


def test_logging_out_ends_the_session_everywhere_and_permanently(demo_db: Path) -> None:
    with serving(demo_db, LOGIN) as pages:
        mine, other = Visitor(pages), Visitor(pages)
        mine.log_in("carol")
        other.log_in("carol")
        copies = [
            {"Cookie": f"ds_actor={visitor.client.cookies['ds_actor']}"}
            for visitor in (mine, other)
        ]
        log_out(mine)
        assert codes(pages, copies) == [401, 200]
    with serving(demo_db, LOGIN) as pages:
        assert codes(pages, copies) == [401, 200]
    file = Path(f"{demo_db.resolve()}.sessions")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.unlink()
    with serving(demo_db, LOGIN) as pages:
        assert codes(pages, copies) == [401, 401], "what is forgotten is never open"


def codes(pages: Pages, cookies: list[dict[str, str]]) -> list[int]:
    return [Visitor(pages, **cookie).get("/-/actor.json").status_code for cookie in cookies]


def test_a_cookie_without_a_session_does_not_log_in(login: Pages) -> None:
    for signed in (
        {"a": {"id": "carol"}},
        {"a": {"id": "carol"}, "s": "made up"},
        {"s": 1},
        [],
        "x",
    ):
        cookie = login.datasette.sign(signed, "actor")
        assert codes(login, [{"Cookie": f"ds_actor={cookie}"}]) == [401]


def test_sessions_end_and_do_not_pile_up(tmp_path: Path) -> None:
    now = [0.0]
    file = tmp_path / "sessions"
    kept = Sessions(file, lambda: now[0])
    names = []
    for number in range(MAX_SESSIONS + 5):
        now[0] = float(number)
        names.append(kept.begin("carol"))
    assert [kept.is_open("carol", name) for name in names[:6]] == [False] * 5 + [True]
    assert not kept.is_open("alice", names[-1])
    assert Sessions(file, lambda: now[0]).is_open("carol", names[-1])
    assert not [name for name in names if name in file.read_text()]
    now[0] += LIFETIME_SECONDS
    assert not kept.is_open("carol", names[-1])
    kept.begin("alice")
    assert file.stat().st_size < 200


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"carol": 1}', b'{"carol": {"x": "y"}}', b"\xff", b"null"]
)
def test_a_malformed_sessions_file_opens_no_session(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "sessions"
    name = Sessions(file).begin("carol")
    file.write_bytes(text)
    kept = Sessions(file)
    assert not kept.is_open("carol", name)
    assert kept.is_open("carol", kept.begin("carol"))


def test_where_the_file_cannot_be_written_a_restart_ends_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sessions"
    kept = Sessions(file)
    ended, other = kept.begin("carol"), kept.begin("carol")

    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(sessions, "_replace", full)
    kept.end("carol", ended)
    assert (kept.is_open("carol", ended), kept.is_open("carol", other)) == (False, True)
    assert not Sessions(file).is_open("carol", ended)


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("application/x-www-form-urlencoded", b"username=\xff&password=x", 400),
        ("application/x-www-form-urlencoded", b"&&&===&username", 200),
        ("application/x-www-form-urlencoded", b"", 200),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=", b"--x", 400),
        ("application/json", b"{}", 400),
        ("", b"username=carol", 200),
    ],
)
@pytest.mark.parametrize("cookie", ["", "ds_csrftoken=x", "a/b=1; ds_messages=x"])
def test_a_malformed_form_is_a_400(
    login: Pages, kind: str, body: bytes, code: int, cookie: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    # An address that has not failed yet.
    address = f"198.51.100.{hash((kind, body, cookie)) % 250}"
    visitor = Visitor(login, address, **headers, **({"Cookie": cookie} if cookie else {}))
    answer = visitor.request("POST", "/-/login", content=body)
    # With a cookie, a valid form needs its token.
    assert answer.status_code == (403 if code == 200 and cookie else code)


def test_without_passwords_there_is_no_form(demo_db: Path) -> None:
    serve = Serve(host_names=LOGIN.host_names, tokens=LOGIN.tokens)
    with serving(demo_db, serve) as pages:
        assert Visitor(pages).get("/-/login").status_code == 401
    assert passwords.Passwords({})._rounds == 0
