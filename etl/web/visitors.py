"""Who a visitor is, and what a visitor may see.

Without a login, every visitor who reaches the server may see everything. The server then listens
only on this machine (``etl.cli.shared.serving``), and ``guard`` keeps other sites in the browser
away from it. With a login, a visitor sees nothing before logging in. A visitor may be restricted to
some applications or teams, and then gets only pages that apply ``allowed_usage``. Such a visitor
never gets SQL: in Datasette, a permission on a table does not apply to a statement or a view that
reads the table.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from datasette.app import Datasette
from datasette.utils import await_me_maybe
from datasette.utils.asgi import Request

from etl.config import EVERY, Serve, is_visitor
from etl.errors import ConfigError
from etl.sql_files import sql_names, sql_text
from etl.web.site import DATABASE, site_of

Actor = dict[str, Any] | None

# Attempts with tokens are not limited: a shorter one could be guessed.
SHORTEST_TOKEN = 16

# The magic parameters that a query has to use, outside of its comments.
_PARAMETERS = {kind: re.compile(rf":_visitor_{kind}\b") for kind in ("applications", "teams")}
_QUERY_NAME = re.compile(r"[a-z][a-z0-9_]*")


def has_login(datasette: Datasette) -> bool:
    """Return whether visitors must identify themselves."""
    site = site_of(datasette)
    return site is not None and site.config.serve.has_login


def has_passwords(datasette: Datasette) -> bool:
    """Return whether visitors log in here with a password, and so can log out."""
    site = site_of(datasette)
    return site is not None and bool(site.config.serve.passwords)


async def without_login(links: Any) -> list[dict[str, str]]:
    """Return the links of a plugin's menu without those to the login page."""
    return [link for link in await await_me_maybe(links) or () if link["label"] != "Log in"]


class Allowed(NamedTuple):
    """What a visitor may see: usage of these applications and these teams; None for all."""

    applications: tuple[str, ...] | None
    teams: tuple[str, ...] | None

    @property
    def words(self) -> str:
        """The names, for the visitor. With both, usage is of one of each: teams in applications."""
        if self == NOTHING:
            return "their own usage"
        teams = f"team{'s' * (len(self.teams) > 1)} {', '.join(self.teams)}" if self.teams else ""
        return " in ".join(filter(None, (teams, ", ".join(self.applications or ()))))

    @property
    def parameters(self) -> dict[str, str | None]:
        """The values of the magic parameters: JSON arrays, or NULL for all."""
        return {
            f"_visitor_{kind}": None if names is None else json.dumps(names)
            for kind, names in self._asdict().items()
        }


EVERYTHING = Allowed(None, None)
# Of a visitor who only has a page of their own.
NOTHING = Allowed((), ())


def allowed_usage(datasette: Datasette, actor: Actor) -> Allowed | None:
    """Return what a visitor may see; None for everything."""
    site = site_of(datasette)
    if site is None or not site.config.serve.has_login:
        return None
    visitor = (actor or {}).get("id")
    return _allowed(site.config.serve, visitor) if isinstance(visitor, str) else NOTHING


def _allowed(serve: Serve, visitor: str) -> Allowed | None:
    # Ignore case: a proxy may pass on the name as the visitor typed it.
    restrictions = {entry.visitor.casefold(): entry for entry in serve.restrictions}
    entry = restrictions.get(visitor.casefold(), restrictions.get(EVERY))
    if entry is None:
        return None
    if entry.applications is None and entry.teams is None:
        return NOTHING
    allowed = Allowed(_names(entry.applications), _names(entry.teams))
    return None if allowed == EVERYTHING else allowed


def own_user(datasette: Datasette, actor: Actor) -> str | None:
    """Return the user that the configuration says a visitor is; None if it says none.

    Never by equal names: a visitor's name and a user's are given by different people.
    """
    site = site_of(datasette)
    visitor = (actor or {}).get("id")
    if site is None or not site.config.serve.has_login or not isinstance(visitor, str):
        return None
    for entry in site.config.serve.restrictions:
        if entry.visitor.casefold() == visitor.casefold():
            return entry.user
    return None


def _names(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if names in (None, (EVERY,)) else names


def is_safe_query(name: str) -> bool:
    """Return whether a canned query shows each visitor only what that visitor may see."""
    if _QUERY_NAME.fullmatch(name) is None or name not in sql_names("pages"):
        return False
    sql = _without_comments(sql_text(f"pages/{name}"))
    return all(parameter.search(sql) for parameter in _PARAMETERS.values())


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL)


def is_permitted(datasette: Datasette, actor: Actor, action: str, resource: Any) -> bool | None:
    """Return whether an action is permitted; None leaves it to Datasette."""
    if not has_login(datasette):
        return None
    if actor is None:
        return False
    if allowed_usage(datasette, actor) is None:
        return None
    if action == "view-query":
        return resource[0] == DATABASE and is_safe_query(resource[1])
    return bool(action == "view-instance")


def magic_parameter(datasette: Datasette, key: str, request: Request) -> str | None:
    """Return the value of ``:_visitor_applications`` or ``:_visitor_teams``: see ``Allowed``.

    ``:_visitor_user``: the user that the visitor is, NULL if the configuration does not say. Never
    raises KeyError: Datasette would then take the value from the page's address.
    """
    if key == "user":
        return own_user(datasette, request.actor)
    if key not in _PARAMETERS:
        raise ValueError(
            f":_visitor_{key} is unknown; use :_visitor_applications, :_visitor_teams or"
            " :_visitor_user"
        )
    allowed = allowed_usage(datasette, request.actor) or EVERYTHING
    return allowed.parameters[f"_visitor_{key}"]


def actor_from_proxy(datasette: Datasette, request: Request) -> Actor:
    """Return the visitor that the proxy names; None if it names none or is not the proxy.

    A repeated header is ignored: the visitor may have sent one of the two.
    """
    site = site_of(datasette)
    proxy = site.config.serve.behind_proxy if site else None
    if proxy is None or not proxy.trusts(client_address(request.scope)):
        return None
    wanted = proxy.header.lower().encode()
    values = [value for name, value in request.scope["headers"] if name.lower() == wanted]
    visitor = values[0].decode("latin-1").strip() if len(values) == 1 else ""
    return {"id": visitor} if is_visitor(visitor) else None


def client_address(scope: Mapping[str, Any]) -> str:
    """Return the address that a request comes from, empty if it is unknown."""
    return str((scope.get("client") or ("",))[0])


def plugin_settings(serve: Serve) -> dict[str, Any]:
    """Return the settings of the token plugin. They contain secrets.

    The password plugin gets no settings: ``login`` checks passwords.

    Raises ConfigError for a plugin that is not installed, or a token that is missing or too weak.
    """
    for key, module in (
        ("passwords", "datasette_auth_passwords"),
        ("tokens", "datasette_auth_tokens"),
    ):
        if getattr(serve, key) and importlib.util.find_spec(module) is None:
            raise ConfigError(f"serve.{key}: run pip install 'bedrock-usage[auth]' first")
    tokens = [
        {"token": _token(visitor, variable), "actor": {"id": visitor}}
        for visitor, variable in serve.tokens.items()
    ]
    return {"datasette-auth-passwords": {}, "datasette-auth-tokens": {"tokens": tokens}}


def _token(visitor: str, variable: str) -> str:
    token = os.environ.get(variable, "")
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"serve.tokens: set {variable}, the variable with the token of {visitor}, to at least"
            f" {SHORTEST_TOKEN} ASCII characters"
        )
    return token
