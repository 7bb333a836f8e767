"""What a survey found, section by section, each with a fix that can be pasted.

Names come from logs that callers can write to. In text to be pasted they are quoted for their
target (TOML, CSV), and special characters of globs are escaped.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from etl.inspect.statistics import STREAMS, Caller, CallTotals, Model, Survey
from etl.normalise.bodies import DELIVERED_BODIES
from etl.show.escaping import harmless, json_text
from etl.show.numbers import count, percent
from etl.warehouse.price_file import COLUMNS

MOST_ROWS, MOST_REGIONS = 10, 3

_REGION = re.compile(r"[a-z]{2,6}(?:-[a-z]+)+-[0-9]{1,2}")


# Before any call of Bedrock, as in the list prices.
_FIRST_DAY = "2023-01-01"

_Key = TypeVar("_Key")

Cell = str | int | None


@dataclass(frozen=True)
class Section:
    """A question, its answer as rows under ``columns``, and what to do (empty: nothing).

    ``left_out``: how many more rows, with fewer calls each, are not shown.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    fix: str = ""
    left_out: int = 0


def sections(found: Survey, today: date) -> list[Section]:
    """Return the sections of a survey that have something to say."""
    made = [
        _events(found),
        _operations(found),
        _paths(found),
        _nameless(found),
        _not_people(found),
        _unpriced(found, today),
        _unread(found),
    ]
    return [section for section in made if section.rows]


def _events(found: Survey) -> Section:
    rows = [
        (operation.name, events, operation.what) for operation, events in found.events.most_common()
    ]
    title = "What the events are (copies counted)"
    return Section("events", title, ("operation", "events", "what"), tuple(rows))


def _operations(found: Survey) -> Section:
    rows = [
        (name, one.calls, one.failed, one.with_tokens, _share(one))
        for name, one in _ranked(found.operations)
    ]
    columns = ("operation", "calls", "failed", "with tokens", "share of those that did not fail")
    return Section("tokens", "Calls with tokens", columns, tuple(rows), _token_fix(found))


def _share(one: CallTotals) -> str:
    return percent(one.with_tokens, one.calls - one.failed)


def _token_fix(found: Survey) -> str:
    streams = sum(one.lacking for name, one in found.operations.items() if name in STREAMS)
    others = found.total.lacking - streams
    covered = min(streams, found.service_events)
    if found.total.lacking - covered <= 0:
        return ""
    lines = []
    if others > 0:
        lines.append(
            f"{count(others, 'call')} without tokens in CloudTrail; no setting of CloudTrail adds"
            " them."
        )
    if streams > 0:
        here = f" ({found.service_events:,} here)" if found.has_events else ""
        lines.append(
            f"{count(streams, 'streamed call')} without tokens: their tokens arrive in a separate"
            f" service event{here}, if at all."
        )
    lines += [
        "`bedrock-usage sync` estimates them from CloudWatch's totals. For the exact counts of each"
        " call, cache included, switch on",
        "invocation logging with every body off, in each region (no prompt is stored):",
        "",
        *(f"    {logging_command(region)}" for region in _regions(found)),
        "",
        "(this replaces an existing logging configuration; `aws bedrock"
        " get-model-invocation-logging-configuration` shows it)",
        "Then set [sources.invocation_logs] uri in bedrock_usage.toml; `bedrock-usage doctor`"
        " checks it.",
    ]
    return "\n".join(lines)


def _regions(found: Survey) -> list[str]:
    known = [region for region, _ in found.regions.most_common() if _REGION.fullmatch(region)]
    return known[:MOST_REGIONS] or ["us-east-1"]


def logging_command(region: str) -> str:
    """Return the command that switches invocation logging on with every body off."""
    target = {"s3Config": {"bucketName": "YOUR-BUCKET", "keyPrefix": "bedrock"}}
    config = target | {f"{body}DataDeliveryEnabled": False for body in DELIVERED_BODIES}
    return (
        f"aws bedrock put-model-invocation-logging-configuration --region {shlex.quote(region)}"
        f" --logging-config {shlex.quote(json.dumps(config))}"
    )


def _paths(found: Survey) -> Section:
    rows = [
        (path, operation, "streamed" if operation in STREAMS else "", events)
        for (path, operation), events in found.paths.most_common()
    ]
    columns = ("path", "operation", "", "events")
    return Section("paths", "Where the tokens are", columns, tuple(rows))


def _nameless(found: Survey) -> Section:
    most = _most(found.nameless)
    rows = [(caller.role, caller.user, caller.user_agent, one.calls) for caller, one in most]
    fix = _application_fix([caller for caller, _ in most]) if most else ""
    columns = ("role", "user", "user agent", "calls")
    left_out = len(found.nameless) - len(most)
    title = "Calls of application Unknown"
    return Section("applications", title, columns, tuple(rows), fix, left_out)


def _application_fix(callers: Iterable[Caller]) -> str:
    rules = dict.fromkeys(map(_rule, callers))
    return "\n".join(
        [
            "Any of these names the application; the first needs no change in the application:",
            "- a rule in bedrock_usage.toml (write the name you want; it applies to loaded calls"
            " too):",
            "",
            *(f"    {line}" for rule in rules for line in rule.splitlines()),
            "",
            "- its own role, named NAME-BedrockRole",
            "- the SDK's application id: AWS_SDK_UA_APP_ID=NAME in its environment, or in Python",
            '  Config(user_agent_appid="NAME")',
            "- an application inference profile with the tag application=NAME, called instead of"
            " the model",
        ]
    )


def _rule(caller: Caller) -> str:
    # People who share an Identity Center role do not share an application.
    is_role = caller.role is not None and caller.role == caller.user
    condition, name = ("role", caller.role) if is_role else ("user", caller.user)
    return "\n".join(
        (
            "[[application_rules]]",
            f"application = {_toml(name or '')}",
            f"{condition} = {_toml(_no_glob(name or ''))}",
        )
    )


def _toml(text: str) -> str:
    # A JSON string is a TOML string unless an escape names half a surrogate pair; that is replaced
    # by "?", which matches any character.
    return json_text(text.encode(errors="replace").decode())


def _no_glob(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


def _not_people(found: Survey) -> Section:
    most = _most(found.not_people)
    rows = [(user, why, one.calls) for (user, why), one in most]
    lines = [
        "Set the names to show for them in bedrock_usage.toml (write the names you want):",
        "",
        "    [user_aliases]",
        *(f"    {_toml(user)} = {_toml(user)}" for user in dict.fromkeys(u for (u, _), _ in most)),
        "",
        "To tell apart people who share a role, use Identity Center, or let the role require"
        " sts:SourceIdentity.",
    ]
    columns = ("user", "what it is", "calls")
    title, left_out = "Users that are not people", len(found.not_people) - len(most)
    return Section("users", title, columns, tuple(rows), "\n".join(lines), left_out)


def _unpriced(found: Survey, today: date) -> Section:
    most = _most(found.unpriced)
    rows = [(*model, one.calls) for model, one in most]
    columns = ("model", "as sent", "region", "scope", "tier", "calls")
    fix = _price_fix([model for model, _ in most], today)
    left_out = len(found.unpriced) - len(most)
    return Section("prices", "Models without a price", columns, tuple(rows), fix, left_out)


def _price_fix(models: Iterable[Model], today: date) -> str:
    priced = dict.fromkeys(model for model in models if not _is_opaque(model))
    lines = []
    if priced:
        lines += [
            "Run `bedrock-usage prices sync`, which reads AWS's Price List. For what it lacks, save"
            " this as prices.csv. Replace RATE with micro-dollars per million tokens (3000000"
            " is $3) and SOURCE with the",
            "page that states it. Then run: bedrock-usage prices import prices.csv",
            "",
            f"    {','.join(COLUMNS)}",
            *(
                f"    {_price_row(model, kind, today)}"
                for model in priced
                for kind in ("input", "output")
            ),
        ]
    if any(map(_is_opaque, models)):
        lines += [
            *([""] if lines else []),
            "`bedrock-usage sync --source catalogue` reads the model behind an application"
            " inference profile from the account and",
            "region of the profile. Provisioned and custom models are priced by the hour, or by"
            " your contract.",
        ]
    return "\n".join(lines)


def _is_opaque(model: Model) -> bool:
    kinds = ("application-inference-profile", "provisioned-model", "custom-model", "imported-model")
    return any(f":{kind}/" in model.raw_model_id for kind in kinds)


def _price_row(model: Model, kind: str, today: date) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(
        (
            *map(harmless, (model.model_id, model.region, model.scope, model.tier, kind)),
            *(0, "RATE", _FIRST_DAY, "", "SOURCE", f"{today:%Y-%m-%d}"),
        )
    )
    return line.getvalue()


def _unread(found: Survey) -> Section:
    rows = tuple(found.unread.most_common(MOST_ROWS))
    fix = "These fields are new to this version; please report their names (not their values)."
    title, left_out = "Fields that nothing reads", len(found.unread) - len(rows)
    return Section("unread", title, ("path", "events"), rows, fix, left_out)


def _most(counted: Mapping[_Key, CallTotals]) -> list[tuple[_Key, CallTotals]]:
    return _ranked(counted)[:MOST_ROWS]


def _ranked(counted: Mapping[_Key, CallTotals]) -> list[tuple[_Key, CallTotals]]:
    """Return all, the most calls first."""
    return sorted(counted.items(), key=lambda item: (-item[1].calls, repr(item[0])))
