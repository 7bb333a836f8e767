"""Which application a user agent names, if any.

In this order:

1. the SDK's own application id, ``app/NAME``, wherever it is;
2. the first ``NAME/VERSION`` with a comment in parentheses behind it: the comment describes the
   host, and so does what follows it (``codex-tui/0.146.0 (Mac OS 26.5.0; arm64) iTerm.app/3.6``). A
   comment with an address (``(+https://...)``) describes the product alone and does not count;
3. the last ``NAME/VERSION``: SDKs and runtimes come first, an application's own addition after.

In 2 and 3, a name that an SDK, a runtime, an operating system, a library, an HTTP client or a
browser uses for itself does not count (table ``user_agent_names``): it says what a call was made
*with*, not what it was made *for*. So ``Mozilla/5.0 (...) Cursor/1.2 Chrome/132.0`` is Cursor. If
no name is left, the answer is None, not a guess.

Software that is installed and run is an application (``claude-cli``, ``opencode``; Cline and
RooCode by their app ids). Software that programmers build on is not (LangChain, LiteLLM, the Vercel
AI SDK, Lambda Powertools, Spring AI). An unknown name counts as an application; extend the table.

NAME ends where a version starts, so that releases of an application share a name.
``PREFIX/name#value`` is metadata. App ids carry versions too, and most SDKs replace characters that
they do not allow with ``-``: ``RooCode#3.25.0`` arrives as it is or as ``RooCode-3.25.0``. Both
endings and ``/3`` are cut off, and so is what Powertools and Spring AI append to the app id after a
slash.

Rejected whole, never repaired: comments in parentheses, names longer than ``MAX_NAME_LENGTH``,
names with a control, invisible or unpaired character. Markup is returned unchanged: escaping is up
to the display. Time is linear in the length of the text.

Sources (read 2026-11-24): botocore useragent.py; the user-agent code of aws-sdk-js-v3, java-v2 (app
id not escaped), go-v2, net, php (not escaped) and ruby, and of smithy-rs, which has the ABNF;
"Application ID" in the AWS SDKs and Tools Reference Guide; the agents in this module's tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from etl.normalise.seeds import any_of, seed_rows

MAX_NAME_LENGTH = 100  # AWS advises 50 for an app id; some SDKs only warn beyond it

# The names that software uses for itself, in lower case (DECISIONS 12).
SDK_TOKENS = frozenset(
    row["name"] for row in seed_rows("user_agent_names") if "*" not in row["name"]
)
# aws-sdk-go-v2, AWSPowerShell.Common, .NET_Core, the host names of AWS services ...
_OWN = any_of(row["name"] for row in seed_rows("user_agent_names") if "*" in row["name"]).match

_VERSION = re.compile(
    r"/(?=v?\d|(?:[0-9a-f]{7,40}|dev|development|local|latest|snapshot|unknown)(?:/|$))",
    re.IGNORECASE,
)
_APP_ID_TAIL = re.compile(
    r"(?:^|/)(?:PT|spring-ai(?:-agentcore)?)/.*$"
    r"|/v?\d.*$|#v?\d+\..*$|-v?\d+\.\d+\.\d+(?:[-+][\w.+-]*)?$"
)


# A few thousand agents make millions of calls.
@lru_cache(maxsize=4096)
def parse_application(user_agent: str | None) -> str | None:
    """Return the application that a user agent names, or None."""
    return find_name(user_agent)[0]


def find_name(user_agent: str | None) -> tuple[str | None, str]:
    """Return the application that a user agent names, if any, and the reason."""
    words = list(_words(user_agent or ""))
    tokens = [word for word, _ in words]
    if app_id := next(filter(None, map(_app_id, tokens)), None):
        return app_id, "the SDK's application id, app/NAME"
    before_comment = (word for word, is_commented in words if is_commented)
    if name := next(filter(None, map(_product, before_comment)), None):
        return name, "the first NAME/VERSION before a comment, which describes the host"
    name = next(filter(None, map(_product, reversed(tokens))), None)
    if name:
        return name, f"the last NAME/VERSION that does not belong to {_OTHERS}"
    return None, f"no app/NAME, and every NAME/VERSION belongs to {_OTHERS}"


# Words of SDKs about the machine and the request, which change without the software.
_DETAILS = ("api/", "cfg/", "exe/", "exec-env/", "ft/", "m/", "md/", "ua/", "uaopt/")
_MAX_PARTS = 6


def software(user_agent: str) -> str:
    """Return what a user agent is made with, without versions: ``Boto3 os/linux lang/python``.

    A new release leaves it the same; another tool, language or system does not.
    """
    parts: list[str] = []
    for word, _ in _words(user_agent):
        name = word.partition("(")[0].partition("#")[0]
        if not name.startswith(_DETAILS) and (version := _VERSION.search(name)):
            name = name[: version.start()]
        if name and not name.startswith(_DETAILS) and name not in parts:
            parts.append(name[:MAX_NAME_LENGTH])
    return " ".join(parts[:_MAX_PARTS])


_OTHERS = "an SDK, a runtime, a library or a browser"


def _words(user_agent: str) -> Iterator[tuple[str, bool]]:
    """Yield each word outside comments, and whether a comment on the host follows it.

    CloudTrail puts some agents in square brackets.
    """
    text = user_agent.strip(" \t")
    if text.startswith("["):
        text = text[1:].removesuffix("]")
    depth, last = 0, ""
    for word in re.split(r"[ \t]+", text):
        if depth == 0:
            if last:
                is_commented = word.startswith("(") and not word.startswith(_ADDRESS)
                yield last, is_commented or "(" in last
            last = "" if word.startswith("(") else word.rstrip(",;")
        depth = max(0, depth + word.count("(") - word.count(")"))
    if last:
        yield last, False


# The comment of a robot or a plugin: where to read about it.
_ADDRESS = ("(+http", "(http")


def _app_id(token: str) -> str | None:
    name = token.removeprefix("app/")
    if name == token or not _is_valid(name):
        return None
    return _APP_ID_TAIL.sub("", name) or None


def _product(token: str) -> str | None:
    # A comment may follow without a space: NAME/1.0(comment), Java_HotSpot(TM)_64-Bit_Server_VM/25.
    token = token.partition("(")[0]
    version = _VERSION.search(token)
    name = token[: version.start()] if version else ""
    is_name = _is_valid(name) and "://" not in name and any(map(str.isalpha, name))
    return name if is_name and not _is_own(name) else None


def _is_valid(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable()


def _is_own(name: str) -> bool:
    first = name.casefold().partition("/")[0]
    return first in SDK_TOKENS or _OWN(first) is not None
