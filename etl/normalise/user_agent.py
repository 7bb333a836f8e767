"""Which application a user agent names, if any.

The rule: the SDK's own application id, ``app/NAME``, wins wherever it is. Otherwise it is the last
``NAME/VERSION`` token that no SDK, runtime, operating system, HTTP client or library wrote about
itself: those come first, and an application's own addition comes after. Without either, the answer
is None, not a guess: a stock agent says what a call was made *with*, not what it was made *for*.

Software that is installed and run is an application (``claude-cli``, ``opencode``; Cline and
RooCode by their app ids). Software that programmers build on is not (LangChain, LiteLLM, the Vercel
AI SDK, Lambda Powertools, Spring AI). An unknown name counts as an application; extend
``TOKEN_FAMILIES``.

NAME ends where a version starts, so that releases of an application share a name.
``PREFIX/name#value`` is metadata. App ids carry versions too, and most SDKs replace characters that
they do not allow with ``-``: ``RooCode#3.25.0`` arrives as it is or as ``RooCode-3.25.0``. Both
endings and ``/3`` are cut off, and so is what Powertools and Spring AI append to the app id after a
slash.

Rejected whole, never repaired: browsers (each lists the others), comments in parentheses, names
longer than ``MAX_NAME_LENGTH``, names with a control, invisible or unpaired character. Markup is
returned unchanged: escaping is up to the display. Time is linear in the length of the text.

Sources (read 2026-11-24): botocore useragent.py; the user-agent code of aws-sdk-js-v3, java-v2 (app
id not escaped), go-v2, net, php (not escaped) and ruby, and of smithy-rs, which has the ABNF;
"Application ID" in the AWS SDKs and Tools Reference Guide; the agents in this module's tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

MAX_NAME_LENGTH = 100  # AWS advises 50 for an app id; some SDKs only warn beyond it

# The names that software uses for itself, in lower case (DECISIONS 12).
TOKEN_FAMILIES = {
    "AWS SDK or tool": (
        "boto boto3 botocore aiobotocore aioboto3 aws-cli aws-sdk aws-crt awscrt seahorse apn "
        "s3manager s3console s3transfermanager s3crypto resource waiter paginated powershell "
        "powershellcore windowspowershell cdk aws-cdk aws-cdk-lib aws-sam-cli aws-amplify amplify "
        "hadoop-aws hadoop-s3a l5mod sxmod zf2mod"
    ),
    "SDK metadata": (
        "app ua os lang md api exec-env cfg m ft lib io http hll vendor business-metrics internal "
        "exe prompt command source docker goos goarch appversion apiversion"
    ),
    "language or runtime": (
        "python cpython pypy jython ironpython java openjdk jvm graalvm dalvik kotlin scala groovy "
        "clojure jruby ruby php hhvm go rust swift node nodejs node.js bun deno runtime electron "
        "js javascript typescript perl c++ gcc clang msvc dart erlang elixir dotnet"
    ),
    "operating system": (
        "linux darwin windows macos mac_os_x mac osx ios ipados iphone-os tvos watchos android "
        "freebsd openbsd netbsd sunos aix win32 win64 ubuntu debian alpine"
    ),
    "HTTP client": (
        "python-requests httpx python-httpx python-urllib urllib3 python-urllib3 aiohttp axios "
        "python-httplib2 node-fetch undici got superagent node-superagent go-http-client go-resty "
        "fasthttp curl libcurl pycurl wget okhttp apache-httpclient java-http-client netty jersey "
        "reactornetty ktor-client guzzle guzzlehttp symfony faraday httparty rest-client typhoeus "
        "reqwest hyper ureq restsharp cfnetwork alamofire postmanruntime insomnia httpie k6"
    ),
    "model client": (
        "openai asyncopenai azureopenai asyncazureopenai anthropic asyncanthropic anthropicaws "
        "asyncanthropicaws anthropicbedrock asyncanthropicbedrock anthropicbedrockmantle "
        "asyncanthropicbedrockmantle anthropicvertex asyncanthropicvertex"
    ),
    "library": (
        "litellm langchain langchain-aws langchain-core langchainjs langchain4j langgraph haystack "
        "llama-index llama_index llamaindex semantic-kernel ai-sdk ai strands strands-agents "
        "bedrock-agentcore crewai autogen pydantic-ai dspy smolagents mastra genkit spring-ai "
        "spring-ai-agentcore powertools pt ptenv sagemaker aws-sagemaker-python-sdk"
    ),
    "browser": "mozilla opera applewebkit chrome headlesschrome safari firefox version",
}
SDK_TOKENS = frozenset(name for names in TOKEN_FAMILIES.values() for name in names.split())

# aws-sdk-go-v2, AWSPowerShell.Common, .NET_Core, Windows_10, x-client-framework:langchain-aws ...
_OWN_PREFIXES = (
    *("aws-sdk-", "aws-internal", "awspowershell", "com.amazonaws.", "software.amazon.awssdk"),
    *(".net", "windows_", "cygwin", "mingw", "msys", "x-client-framework"),
)
# Java virtual machines (OpenJDK_64-Bit_Server_VM) and the host names of AWS services.
_OWN_SUFFIXES = ("_vm", ".amazonaws.com", ".amazonaws.com.cn")

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
    tokens = list(_tokens(user_agent or ""))
    if app_id := next(filter(None, map(_app_id, tokens)), None):
        return app_id, "the SDK's application id, app/NAME"
    if any(token.casefold().startswith("mozilla/") for token in tokens):
        return None, "a browser's user agent, which names several products"
    name = next(filter(None, map(_product, reversed(tokens))), None)
    if name:
        return name, "the last NAME/VERSION that does not belong to an SDK, a runtime or a library"
    return None, "no app/NAME, and every NAME/VERSION belongs to an SDK, a runtime or a library"


def _tokens(user_agent: str) -> Iterator[str]:
    """Yield the words outside comments; CloudTrail puts some agents in square brackets."""
    text = user_agent.strip(" \t")
    if text.startswith("["):
        text = text[1:].removesuffix("]")
    depth = 0
    for word in re.split(r"[ \t]+", text):
        if depth == 0 and not word.startswith("("):
            yield word.rstrip(",;")
        depth = max(0, depth + word.count("(") - word.count(")"))


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
    return first in SDK_TOKENS or first.startswith(_OWN_PREFIXES) or first.endswith(_OWN_SUFFIXES)
