"""The guard in front of Datasette: it sees every request first and every response last.

It refuses a request under a foreign host name (DNS rebinding), from anywhere but the proxy, from a
form on another site, with a large body, with an ambiguous encoding (``protocol``), or for a page
that the visitor may not see. It adds the security headers to responses, cuts off responses that are
too large, and logs each failure in one line (``failures``).

Pages are checked against a list of what is allowed, not refused one by one: Datasette shows its
settings, metadata and databases to every visitor who may see anything at all. Its permissions
(``visitors``) are a second check.
"""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from urllib.parse import urlencode, urlsplit

from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils import await_me_maybe
from datasette.utils.asgi import Request, Response

from etl.web import addresses, agents, cross_site, failures, login, protocol
from etl.web.client_gone import answer_while_connected
from etl.web.protocol import App, Message, Receive, Scope, Send
from etl.web.site import DATABASE, SELECTING, Site, site_of
from etl.web.visitors import Actor, allowed_usage, client_address, is_safe_query

VALUE_BYTES = 1 << 20
ANSWER_BYTES = 16 << 20
# Rows grow when they are rendered as JSON or HTML.
RESPONSE_BYTES = 64 << 20

LOOPBACK_NAMES = {"localhost", "127.0.0.1", "[::1]"}
METHODS = {"GET", "HEAD", "POST"}
_NOT_FOR_YOU = "You may not see this page"

# What a login page needs.
_OPEN = re.compile(r"/favicon\.ico|/-/static/.*|/-/static-plugins/.*")
# Pages that apply `allowed_usage`, or show no usage data.
# A list of what is allowed, not of what is denied (DECISIONS 60).
_FOR_RESTRICTED = re.compile(
    rf"/|/(?:{SELECTING}|budgets|me|search)|/-/charts/.*|/-/actor(?:\.json)?|/-/logout"
    rf"|{re.escape(agents.PATH)}"
)
_QUERY = re.compile(rf"/{DATABASE}/([a-z0-9_]+)(?:\.json|\.csv)?")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_POLICY_END = "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
OWN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
) + _POLICY_END
# Datasette has inline scripts, metadata.yml has a style sheet in a data: URL, and datasette-vega
# compiles the expressions in its charts.
DATASETTE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval';"
    " style-src 'self' 'unsafe-inline' data:; img-src 'self' data: blob:; font-src 'self' data:; "
) + _POLICY_END


def wrap(datasette: Datasette, app: App) -> App:
    """Return the app to serve in place of Datasette."""
    site = site_of(datasette)
    if site is None:
        return app

    # It must be a function, not another callable: uvicorn checks for one.
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        await _handle(datasette, site, app, scope, receive, send)

    return guarded


async def _handle(
    datasette: Datasette, site: Site, app: App, scope: Scope, receive: Receive, send: Send
) -> None:
    if scope["type"] != "http":
        await app(scope, receive, send)
        return
    path = path_of(scope)
    send = partial(_send_with_headers, policy_for(datasette, path), send)
    await failures.catch(partial(_answer, datasette, site, app), scope, receive, send)


async def _answer(
    datasette: Datasette, site: Site, app: App, scope: Scope, receive: Receive, send: Send
) -> None:
    send = _limited(send)
    path = path_of(scope)
    is_logged_in = partial(login.is_logged_in, datasette, site)
    is_json = path == agents.PATH
    headers = [*protocol.trusted_headers(scope["headers"], is_logged_in)]
    if is_json:
        # A browser sends them by itself, whoever wrote the page; an agent has a token.
        headers = [(name, value) for name, value in headers if name.lower() != b"cookie"]
    scope = {**scope, "headers": headers}
    refusal = (
        _refuse_request(site, scope, is_json=is_json)
        or cross_site.refuse(scope, path)
        or addresses.refuse(scope, path)
        or await _refuse_page(datasette, site, scope, receive)
        or await cross_site.stop_for_consent(datasette, scope, path)
    )
    body = refusal or await protocol.read_body(scope, receive, is_json=is_json)
    if isinstance(body, Response):
        await body.asgi_send(send)
    else:
        if not (is_own(datasette, path) or _OPEN.fullmatch(path)):
            app = partial(site.datasette_thread.answer, app)
        await answer_while_connected(app, scope, protocol.replay(body), receive, send)


def path_of(scope: Scope) -> str:
    """Return the path as Datasette's router sees it: not decoded."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def _refuse_request(site: Site, scope: Scope, *, is_json: bool) -> Response | None:
    """Refuse a request for reasons that do not depend on the visitor."""
    refusal = protocol.refusal(scope, is_json=is_json)
    if refusal:
        return refusal
    headers = _Headers(scope)
    host = headers.only("host")
    if host is None or _name_of(host) not in host_names(site):
        return Response.text(
            "Unknown host name; add it to host_names under [serve] in bedrock_usage.toml,"
            " or use the address of --host",
            status=421,
        )
    proxy = site.config.serve.behind_proxy
    if proxy and not proxy.trusts(client_address(scope)):
        return Response.text("Only the proxy may send requests", status=403)
    if scope["method"] not in METHODS:
        return Response.text("Method not allowed", status=405, headers={"Allow": "GET, HEAD, POST"})
    if scope["method"] == "POST" and _is_cross_site(headers, host):
        return Response.text("Requests from pages of another site are refused", status=403)
    return None


class _Headers:
    def __init__(self, scope: Scope) -> None:
        self._headers = scope["headers"]

    def all(self, name: str) -> list[str]:
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self._headers if key.lower() == wanted]

    def only(self, name: str) -> str | None:
        """Return the header's value; None if it is missing or repeated."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None


def _name_of(host: str) -> str:
    """Return a Host header without the port."""
    return re.sub(r":[0-9]*$", "", host.strip().lower()).rstrip(".")


def host_names(site: Site) -> set[str]:
    """Return the host names that the server accepts.

    A foreign site can make its own name resolve to this machine. The browser then takes this
    server for that site and lets its scripts read everything, but it sends that site's name as the
    host.
    """
    names = {name.lower() for name in site.config.serve.host_names} | LOOPBACK_NAMES
    host = f"[{site.host}]" if ":" in site.host else site.host.lower()
    return names if _is_any_address(site.host) else names | {host}


def _is_any_address(host: str) -> bool:
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


# Datasette's own token is not enough (DECISIONS 62).
def _is_cross_site(headers: _Headers, host: str) -> bool:
    """Return whether a page of another site sent the request.

    Datasette checks its tokens only on requests with a cookie, and a visitor without a login has no
    cookie. Programs send neither header.
    """
    site = headers.all("sec-fetch-site")
    if site:
        return set(site) - {"same-origin", "none"} != set()
    return any(urlsplit(origin).netloc.lower() != host.lower() for origin in headers.all("origin"))


async def _refuse_page(
    datasette: Datasette, site: Site, scope: Scope, receive: Receive
) -> Response | None:
    """Refuse a page that this visitor may not see."""
    serve = site.config.serve
    path = path_of(scope)
    if path.startswith("/-/password-tool"):
        # It hashes passwords for any visitor, and each takes a third of a second.
        return Response.text("Not found", status=404)
    is_login = path == login.PATH and bool(serve.passwords)
    if not serve.has_login or is_login or _OPEN.fullmatch(path):
        return None
    actor = await _actor(datasette, Request(scope, receive))
    if actor is None:
        return _ask_to_log_in(site, scope, path)
    if allowed_usage(datasette, actor) is None or is_for_restricted(path):
        return None
    if _wants_page(scope):
        return await failures.page(datasette, 403, _NOT_FOR_YOU)
    return Response.text(_NOT_FOR_YOU, status=403)


def _wants_page(scope: Scope) -> bool:
    return "text/html" in ",".join(_Headers(scope).all("accept"))


async def _actor(datasette: Datasette, request: Request) -> Actor:
    """Return the visitor, as Datasette's router will find it again."""
    for found in pm.hook.actor_from_request(datasette=datasette, request=request):
        actor: Actor = await await_me_maybe(found)
        if actor:
            return actor
    return None


def is_for_restricted(path: str) -> bool:
    """Return whether a page shows each visitor only what that visitor may see."""
    query = _QUERY.fullmatch(path)
    return bool(_FOR_RESTRICTED.fullmatch(path) or (query and is_safe_query(query[1])))


def _ask_to_log_in(site: Site, scope: Scope, path: str) -> Response:
    serve = site.config.serve
    if serve.passwords and _wants_page(scope) and scope["method"] != "POST":
        query = (scope.get("query_string") or b"").decode("latin-1")
        wanted = login.page_to_open(f"{path}?{query}" if query else path)
        is_home = wanted in (None, "/")
        return Response.redirect(
            login.PATH if is_home else f"{login.PATH}?{urlencode({'next': wanted})}"
        )
    if serve.tokens:
        return Response.text("Log in first", 401, {"WWW-Authenticate": "Bearer"})
    return Response.text("Log in first", status=403)


def policy_for(datasette: Datasette, path: str) -> str:
    """Return the policy for a page; it is not applied to a response that has its own."""
    return OWN_POLICY if is_own(datasette, path) else DATASETTE_POLICY


def is_own(datasette: Datasette, path: str) -> bool:
    """Return whether this plugin's routes match: a separate list could get out of step."""
    own = pm.get_plugin("etl.web")
    for hook in pm.hook.register_routes.get_hookimpls():
        if hook.plugin is own:
            routes = hook.function(*(datasette for _ in hook.argnames))
            return any(re.match(regex, path) for regex, _ in routes)
    return False


async def _send_with_headers(policy: str, send: Send, message: Message) -> None:
    message = protocol.without_foreign_location(message)
    if message["type"] == "http.response.start":
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", [])]
        ours = {name.lower().encode(): value.encode() for name, value in HEADERS.items()}
        if not any(name.lower() == b"content-security-policy" for name, _ in headers):
            ours[b"content-security-policy"] = policy.encode()
        kept = [(name, value) for name, value in headers if name.lower() not in ours]
        message = {**message, "headers": [*kept, *ours.items()]}
    await send(message)


def _limited(send: Send) -> Send:
    """Replace a response that is too large, or cut it off if part of it has been sent."""
    start: list[Message] = []
    size = 0

    async def limited(message: Message) -> None:
        nonlocal size
        if message["type"] == "http.response.start":
            start.append(message)
            return
        size += len(message.get("body", b""))
        if size > RESPONSE_BYTES and not start:
            raise ConnectionAbortedError("a response was too large and was cut off")
        if size > RESPONSE_BYTES:
            start.clear()
            await Response.text("The response is too large; ask for less", 400).asgi_send(send)
            return
        if start:
            await send(start.pop())
        await send(message)

    return limited
