"""Visits to a server with a login, as a browser or a program makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from etl.config import BehindProxy, Config, Restriction, Serve
from etl.web.app import build_datasette
from tests.web.pages import Pages, closing_pages

auth = pytest.importorskip("datasette_auth_passwords.utils", reason="an extra, auth")
pytest.importorskip("datasette_auth_tokens", reason="an extra, auth")

PASSWORD = "correct horse battery staple"
# Fewer rounds than a real hash should have, to keep the tests fast.
HASH = auth.hash_password(PASSWORD, iterations=100_000)
TOKENS = {"boss": "token-of-the-boss-0", "nightly": "token-of-the-night-1"}
VARIABLES = {visitor: f"TOKEN_{visitor.upper()}" for visitor in TOKENS}
SEARCH = "ChatbotApp"

RESTRICTIONS = (
    Restriction(visitor="alice", applications=(SEARCH,)),
    Restriction(visitor="Nightly", applications=("WebPortal", SEARCH)),
)
LOGIN = Serve(
    host_names=("usage.example.com",),
    passwords={"alice": HASH, "carol": HASH},
    tokens=VARIABLES,
    restrictions=RESTRICTIONS,
)
PROXY = Serve(
    host_names=("usage.example.com",),
    behind_proxy=BehindProxy(header="X-Forwarded-User", addresses=("10.0.0.5",)),
    restrictions=(*RESTRICTIONS, Restriction(visitor="*", applications=("MobileApp",)), Restriction(visitor="boss", applications=("*",))),
)  # fmt: skip

HTML = {"Accept": "text/html"}


class Visitor:
    """A client at some address: a browser or a program."""

    def __init__(self, pages: Pages, address: str = "192.0.2.7", **headers: str | bytes) -> None:
        self._pages = pages
        transport = httpx.ASGITransport(
            pages.datasette.app(), client=(address, 4711), raise_app_exceptions=False
        )
        self.client = httpx.AsyncClient(
            transport=transport, base_url="http://usage.example.com:8001", headers=headers
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer: httpx.Response = self._pages.run(self.client.request(method, path, **options))
        return answer

    def log_in(self, user: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
        """Fill in the form, as a browser does."""
        self.get("/-/login", headers=HTML)
        token = self.client.cookies.get("ds_csrftoken", "")
        form = {"username": user, "password": password, "csrftoken": token}
        return self.request("POST", "/-/login", data=form, headers=headers)


def bearer(visitor: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[visitor]}"}


@contextmanager
def serving(db: Path, serve: Serve, host: str = "0.0.0.0") -> Iterator[Pages]:
    """Open the warehouse as ``bedrock-usage serve`` does for other machines."""
    with pytest.MonkeyPatch.context() as patch:
        for visitor, variable in VARIABLES.items():
            patch.setenv(variable, TOKENS[visitor])
        datasette = build_datasette(db, Config(serve=serve), host=host)
    with closing_pages(datasette) as pages:
        yield pages
