"""Call AWS: check every response, retry, and fail with a message that helps.

Every operation goes through ``Place.call``. botocore's own retries are off, because they ignore the
limiter, a stop request, and a response without its list. botocore treats a truncated or non-JSON
200 response as an empty one, and a caller would read that as "nothing new". So each call names the
key that its response must have.

AWS's error messages are shown with the action, the region and the account. Content of a response
body that cannot be parsed is never shown.
"""

from __future__ import annotations

import functools
import random
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from etl.clock import Clock
from etl.errors import AccessError, RetriableError, SourceError, TokenError, TooOldError
from etl.sources.boto import boto3, botocore
from etl.sources.limiter import Limiter

MAX_ATTEMPTS = 8

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0

# A model takes time to answer.
_ANSWER_SECONDS = 120

THROTTLED = frozenset(
    {
        *("ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException"),
        *("RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown"),
        *("LimitExceededException", "LimitExceededFault", "ProvisionedThroughputExceededException"),
    }
)
DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
)
SIGNED_OUT = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
UNKNOWN_CALLER = frozenset(
    {
        *("UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure", "OptInRequired"),
        *("InvalidAccessKeyId", "SubscriptionRequiredException"),
    }
)
BAD_SIGNATURE = frozenset(
    {"SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed"}
)
NOT_FOUND = frozenset(
    {
        *("ResourceNotFoundException", "NoSuchEntity", "NotFound", "NotFoundException"),
        *("ResourceNotFound", "DashboardNotFoundError"),
    }
)
# The codes with which AWS rejects a time range, among other things.
_REFUSED_TIMES = frozenset(
    {
        *("InvalidTimeRangeException", "InvalidTimeRange", "ValidationException"),
        *("ValidationError", "InvalidParameterValue", "InvalidParameterCombination"),
    }
)
_TRANSIENT = frozenset({"RequestTimeout", "RequestTimeoutException"})
_BAD_TOKEN = frozenset({"InvalidNextTokenException", "InvalidNextToken", "ExpiredNextToken"})

# botocore's errors by name, because it is not imported yet.
_NO_CREDENTIALS = (
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("TokenRetrievalError", "SSOError", "RefreshWithMFAUnsupportedError"),
)
_NO_ANSWER = (
    *("HTTPClientError", "ConnectionError", "ResponseStreamingError", "IncompleteReadError"),
)
# The request was never sent: there was no connection.
_NOT_SENT = ("EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError")
_MISSING_ACTION = re.compile(r"not authorized to perform: ([\w-]+:\w+)")


# Operations with a differently named permission. Converse has no permission of its own.
PERMISSIONS = {
    "bedrock-runtime:InvokeModel": "bedrock:InvokeModel",
    "bedrock-runtime:Converse": "bedrock:InvokeModel",
    "bedrock-runtime:InvokeModelWithResponseStream": "bedrock:InvokeModelWithResponseStream",
    "bedrock-runtime:ConverseStream": "bedrock:InvokeModelWithResponseStream",
}


# The services that boto3 has under another name than permissions have.
_CLIENTS = {"servicequotas": "service-quotas"}


class NotFoundError(AccessError):
    """The requested resource does not exist. The only refusal that a source may expect."""


@functools.cache
def _client_config() -> botocore.config.Config:
    return botocore.config.Config(
        # ``Place.call`` tries again itself (DECISIONS 26).
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=10,
        read_timeout=30,
        tcp_keepalive=True,
        user_agent_appid="bedrock-usage",
    )


@dataclass(frozen=True)
class Account:
    """An AWS account and its session. Credentials renew themselves where possible.

    ``attempts``: how many times a request that fails for a transient reason is made. ``name``,
    ``unit``: its name and that of its unit in the organization, "" for the root; None if they were
    not read.
    """

    account_id: str
    session: boto3.Session
    attempts: int = MAX_ATTEMPTS
    name: str | None = None
    unit: str | None = None
    config: botocore.config.Config = field(default_factory=_client_config)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    def client(self, service: str, region: str) -> Any:
        """Return the account's client, shared by all threads: sessions are not thread-safe."""
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = self.session.client(
                    _CLIENTS.get(service, service), region_name=region, config=self.config
                )
            return self._clients[service, region]

    def calling_as(self, user_agent: str | None) -> Account:
        """Return the account for an application's calls, each made only once.

        Their user agent does not name this program. ``user_agent``: the ``NAME/VERSION`` that the
        application adds to its own. A Bedrock API key (AWS_BEARER_TOKEN_BEDROCK) is not used,
        because it would make every call another user's.
        """
        own = botocore.config.Config(
            read_timeout=_ANSWER_SECONDS,
            # Not None: None would take the id from the environment or the AWS configuration.
            user_agent_appid="",
            user_agent_extra=user_agent or "",
            signature_version="v4",
        )
        return Account(self.account_id, self.session, 1, config=_client_config().merge(own))


@dataclass(frozen=True)
class Place:
    """One account and region to read from."""

    account: Account
    region: str
    clock: Clock

    @property
    def account_id(self) -> str:
        return self.account.account_id

    def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        requires: str,
        limiter: Limiter | None = None,
        finish: Callable[[dict[str, Any]], None] | None = None,
        is_repeatable: bool = True,
    ) -> dict[str, Any]:
        """Return the response of an operation, which must have the key ``requires``.

        Retries transient failures. If the operation must not run twice (not ``is_repeatable``),
        retries only what AWS certainly did not do. ``finish`` gets the response, to read its body
        or to check it further. It is part of the attempt: its errors are handled like the call's.
        Raises the kinds of SourceError, and StoppedError.
        """
        for attempt in range(1, self.account.attempts + 1):
            if limiter:
                limiter.wait(self.clock)
            self.clock.check()
            try:
                return self._call_once(service, operation, requires, parameters, finish)
            except RetriableError as error:
                may_repeat = is_repeatable or error.is_undone
                if attempt == self.account.attempts or not may_repeat:
                    raise
                self.clock.sleep(pause(attempt))
        raise AssertionError("unreachable")

    def pages(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        requires: str,
        token: str = "NextToken",  # noqa: S107 (the name of a field)
    ) -> Iterator[dict[str, Any]]:
        """Yield an operation's responses, page by page. The arguments are those of ``call``."""
        query = dict(parameters)
        while True:
            answer = self.call(service, operation, query, requires=requires)
            yield answer
            if not answer.get(token):
                return
            query[token] = answer[token]

    def _call_once(
        self,
        service: str,
        operation: str,
        requires: str,
        parameters: Mapping[str, Any],
        finish: Callable[[dict[str, Any]], None] | None,
    ) -> dict[str, Any]:
        action = PERMISSIONS.get(f"{service}:{operation}", f"{service}:{operation}")
        try:
            client = self._client(service, action)
            answer: dict[str, Any] = getattr(client, botocore.xform_name(operation))(**parameters)
            if finish and requires in answer:
                finish(answer)
        except SourceError:
            raise
        except Exception as error:
            raise self._translate(error, action) from None
        if requires not in answer:
            raise RetriableError(f"{action} {self}: incomplete response, {requires} is missing")
        return answer

    def _client(self, service: str, action: str) -> Any:
        try:
            return self.account.client(service, self.region)
        except ValueError as error:
            # Its text is safe to show: nothing has been sent, so it holds nothing secret.
            raise AccessError(
                f"{action} {self}: {error}; check AWS_ENDPOINT_URL and the AWS configuration"
            ) from None

    def __str__(self) -> str:
        return f"in {self.region} (account {self.account_id})"

    def _translate(self, error: Exception, action: str) -> Exception:
        """Return one of our errors for an AWS error, and any other error unchanged."""
        if isinstance(error, botocore.exceptions.ClientError):
            refusal = self._refusal(error, action)
            problem = error.response.get("Error", {})
            refusal.code = problem.get("Code")
            if match := _MISSING_ACTION.search(str(problem.get("Message"))):
                refusal.action = match[1]
            elif error.operation_name == "AssumeRole":
                refusal.action = "sts:AssumeRole"
            refusal.date = date_of(error.response)
            refusal.request_id = error.response.get("ResponseMetadata", {}).get("RequestId")
            refusal.is_undone = _status(error) < 500 and refusal.code not in _TRANSIENT
            return refusal
        if _is_one_of(_NO_CREDENTIALS, error):
            return AccessError(
                f"no AWS credentials for {action} {self}: sign in (aws sso login), set"
                f" AWS_PROFILE, or name a profile with --profile ({type(error).__name__})"
            )
        if _is_one_of(_NO_ANSWER, error):
            no_response = RetriableError(
                f"{action} {self}: no response ({type(error).__name__}); if this persists, check"
                " the network, or leave the region out with --region"
            )
            no_response.is_undone = _is_one_of(_NOT_SENT, error)
            return no_response
        if _is_damage(error):
            return RetriableError(f"{action} {self}: unreadable response ({type(error).__name__})")
        if isinstance(error, botocore.exceptions.BotoCoreError) and not isinstance(
            error, botocore.exceptions.ParamValidationError
        ):
            return AccessError(f"{action} {self}: {error}; check the AWS configuration")
        return error

    def _refusal(self, error: Any, action: str) -> SourceError:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = _status(error)
        if error.operation_name == "AssumeRole":
            action = "sts:AssumeRole"
        where = f"{action} {self}"
        if code in THROTTLED or status == 429:
            return RetriableError(f"{where}: throttled by AWS ({code})")
        if status >= 500 or code in _TRANSIENT:
            return RetriableError(f"{where}: AWS is unavailable ({code})")
        if code in _BAD_TOKEN:
            return TokenError(f"{where}: the page token is no longer valid")
        return _fatal(code, action, where)


def _is_one_of(names: Iterable[str], error: Exception) -> bool:
    return isinstance(error, tuple(getattr(botocore.exceptions, name) for name in names))


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_damage(error: Exception) -> bool:
    """Say whether a response arrived but is unreadable, for example with a wrong checksum."""
    if isinstance(error, botocore.exceptions.BotoCoreError):
        return isinstance(error, botocore.exceptions.FlexibleChecksumError)
    # XML truncated before the element that holds the response, for example GetRoleResult.
    if isinstance(error, KeyError):
        return str(error.args[0]).endswith("Result")
    # ValueError covers UnicodeDecodeError: the body is not text.
    return isinstance(error, (botocore.parsers.ResponseParserError, ValueError))


def date_of(answer: Mapping[str, Any]) -> str | None:
    """Return the time of a response, by AWS's clock."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    date: str | None = headers.get("date")
    return date


def _fatal(code: str, action: str, where: str) -> SourceError:
    if code in DENIED and action == "sts:AssumeRole":
        return AccessError(
            f"AccessDenied on {where}: allow it in the caller's policy and in the role's trust"
            " policy; see docs/permissions.md"
        )
    if code in DENIED:
        needs_lab_policy = action.startswith("iam:") or action in PERMISSIONS.values()
        printer = f"bedrock-usage policy{' --lab' if needs_lab_policy else ''}"
        return AccessError(
            f"AccessDenied on {where}: add {action} to the policy of the role or user that runs"
            f" this (`{printer}` prints it); see docs/permissions.md"
        )
    if code in SIGNED_OUT:
        return AccessError(f"{where}: the credentials have expired; sign in again (aws sso login)")
    if code in UNKNOWN_CALLER:
        return AccessError(
            f"{where}: AWS does not accept these credentials there ({code}). Enable the region for"
            " the account, leave it out with --region, or check the credentials"
        )
    if code in BAD_SIGNATURE:
        return AccessError(f"{where}: {code}; check this machine's clock and the secret key")
    if code in NOT_FOUND:
        return NotFoundError(f"{where}: not found")
    if code in _REFUSED_TIMES:
        return TooOldError(f"{where}: AWS rejected the request ({code})")
    return AccessError(f"{where}: AWS rejected the request ({code})")


def pause(attempt: int) -> float:
    """Return how long to wait after a failed attempt: longer each time, with jitter."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 (no secret)
