"""How each field of an event was understood, and by what.

Nothing is worked out here a second time. The functions of ``etl.normalise`` that interpret an event
also explain it here. The rest (rules, profiles, prices, cost) is read from a trial warehouse that
has loaded the event with the prices, rules and names of the real one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlite_utils import Database

from etl.errors import RejectError
from etl.inspect.costs import estimate_lines, input_form_lines, price_lines
from etl.inspect.find import RawEvent
from etl.inspect.lines import Line
from etl.inspect.redact import without_texts
from etl.inspect.unread import unread
from etl.load.decoder.content import Decoder, Keys, read_event
from etl.normalise.application import (
    APPLICATION_SOURCES,
    CONFIG_RULE,
    INFERENCE_PROFILE,
    MANTLE_PROJECT,
    REQUEST_METADATA,
    ROLE_NAME,
    ROLE_SUFFIX,
    USER_AGENT,
    application_evidence,
    find_metadata,
    key_names,
)
from etl.normalise.boundary import attempt
from etl.normalise.cloudtrail import (
    EventKind,
    Parsed,
    TokenReading,
    classify,
    find_model,
    find_service_tier,
    find_tokens,
    token_places,
    what_it_does,
)
from etl.normalise.fields import mapping, text
from etl.normalise.identity import find_identity, find_identity_of_arn
from etl.normalise.invocation_logs import (
    COUNT_PATHS,
    find_logged_tokens,
    identity_of,
    parse_logged_call,
)
from etl.normalise.model_ids import parse_model_id
from etl.normalise.packed import stored_id
from etl.normalise.rows import Event, OtherOperation, RoleSession, ServiceTokens
from etl.normalise.rules import (
    ApplicationRule,
    Evidence,
    Rule,
    TeamRule,
    UserRule,
    compile_rules,
    evidence_of,
    pairs_of,
)
from etl.normalise.teams import ACCOUNT_NAME, ACCOUNT_UNIT, PRINCIPAL_TAG, SESSION_TAG
from etl.normalise.token_kinds import COUNT_COLUMNS, KINDS, TokenKind
from etl.normalise.user_agent import find_name
from etl.show.numbers import count
from etl.sources.envelopes import LOGGED_CALL
from etl.warehouse.read.inspect import (
    locate_call,
    profile_arn_of,
    read_call,
    read_corrections,
)
from etl.warehouse.write.attribution import stored_rules
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.role_sessions import tags_of
from etl.warehouse.write.sessions import SessionUsers
from etl.warehouse.write.shown_names import project_label
from etl.warehouse.write.teams import completed, profile_of, stored_settings

# Columns in which the warehouse may differ from what the event alone gives.
_COMPARED = (
    *("raw_model_id", "model_id", "inference_scope", "inference_region", "service_tier"),
    *(
        "user_name",
        "application",
        "application_source",
        "team",
        "team_source",
        "principal_arn",
        "session_name",
    ),
    *("user_agent", "error_code", "token_source", *COUNT_COLUMNS),
    *("request_metadata", "guardrail_action", "reported_by", "cost_usd"),
)

SESSION = (
    "not a call: it makes the credentials of a session, whose tags may name the team of its calls"
)


@dataclass
class Explanation:
    """An event without texts, how it was understood, and what was not understood.

    ``peeled``: what it was wrapped in, from outside.
    """

    event_id: str
    where: str
    event: Mapping[str, Any] | None
    peeled: tuple[str, ...] = ()
    understood: list[Line] = field(default_factory=list)
    not_understood: list[Line] = field(default_factory=list)
    warehouse: list[Line] = field(default_factory=list)


def load_trial(trial: Database, events: Sequence[RawEvent], keys: Keys) -> None:
    """Load events into a trial as ``load`` does: CloudTrail's first, then the logs'."""
    records = list(_written(event for event in events if event.kind != LOGGED_CALL))
    logged = list(_written(event for event in events if event.kind == LOGGED_CALL))
    contents = [f'{{"Records":[{",".join(records)}]}}'] if records else []
    contents += ["\n".join(logged)] if logged else []
    decoder, loader = Decoder(keys), Loader(trial)
    for content in contents:
        decoded = decoder.decode(content.encode())
        batch = Batch(calls=decoded.calls, shapes=decoded.shapes)
        for row in decoded.rows:
            batch.add(row)
        loader.write(batch)


def _written(events: Iterable[RawEvent]) -> Iterator[str]:
    for event in events:
        with contextlib.suppress(RecursionError):  # the explanation of the event reports it
            yield json.dumps(event.record)


def explain(
    event: RawEvent, trial: Database, warehouse: Database | None, keys: Keys
) -> Explanation:
    """Explain an event that the trial has loaded; ``warehouse``: the real one, if there is one."""
    record = mapping(event.record)
    shown = without_texts(record, (*key_names(keys.metadata), *keys.stored))
    result = Explanation(event.event_id, event.where, shown, event.peeled)
    try:
        parsed = attempt(_parse, event, keys)
    except RejectError as error:
        result.understood.append(Line("call", "rejected", f"{error}: see the table rejects"))
        return result
    result.not_understood = [Line("field", None, complaint) for complaint in parsed.complaints]
    if isinstance(parsed.row, RoleSession):
        result.understood = list(_session(parsed.row, trial, keys))
        return result
    result.not_understood += unread(record, event)
    if isinstance(parsed.row, Event):
        result.understood = list(_call(event, record, parsed.row, trial, keys))
        result.warehouse = _compare(parsed.row, trial, warehouse)
    elif isinstance(parsed.row, ServiceTokens):
        result.understood = list(_service_event(record, parsed.row))
    else:
        result.understood = [Line("call", "no", _why_not_a_call(record))]
        if isinstance(parsed.row, OtherOperation):
            result.understood += _operation(record, parsed.row)
    return result


def stored_only(event_id: str, event_time: str, warehouse: Database) -> Explanation:
    """Explain a call from the warehouse alone, when its event cannot be found."""
    result = Explanation(event_id, "", None)
    row = read_call(warehouse, event_time, event_id) or {}
    result.warehouse = [Line(name, value) for name, value in row.items() if value is not None]
    result.warehouse += input_form_lines(row or None, warehouse)
    result.warehouse += price_lines(row or None, warehouse)
    result.warehouse += estimate_lines(event_time, event_id, warehouse)
    return result


def _parse(event: RawEvent, keys: Keys) -> Parsed:
    if event.kind == LOGGED_CALL:
        return parse_logged_call(json.dumps(event.record).encode(), metadata_key=keys.metadata)
    return read_event(event.record, keys)


def _operation(record: Mapping[str, Any], row: OtherOperation) -> Iterator[Line]:
    """Yield what is kept of an operation that is no call."""
    table = "control_events" if row.is_known else "unknown_operations"
    yield Line("operation", row.event_name, what_it_does(record) or f"from {row.event_source}")
    yield Line("kept in", table, "")
    yield Line("user", row.user_name, find_identity(record.get("userIdentity"))[1])


def _session(row: RoleSession, trial: Database, keys: Keys) -> Iterator[Line]:
    """Yield what is kept of a session. Of its tags, those that can name a team are shown."""
    tags, used = json.loads(row.tags), (*stored_settings(trial).tags, *keys.stored)
    shown = {key: tags[key] for key in dict.fromkeys(used) if key in tags}
    more = len(tags) - len(shown)
    how = f"those that can name a team; {count(more, 'other')} not shown"
    how += ", and the transitive ones of the session that made it" if row.parent else ""
    yield Line("call", "no", SESSION)
    yield Line("kept in", "credentials", "of the access key, only a keyed hash")
    yield Line("tags", ", ".join(pairs_of(shown)) or "none", how)


def _why_not_a_call(record: Mapping[str, Any]) -> str:
    kind = classify(record)
    why = str(kind.value)
    if kind is EventKind.SERVICE_EVENT:
        why += f", but it has none: looked at {', '.join(token_places(record))}"
    return why


def _service_event(record: Mapping[str, Any], row: ServiceTokens) -> Iterator[Line]:
    yield Line("call", "no", EventKind.SERVICE_EVENT.value)
    yield Line("time", row.event_time, "eventTime, whole seconds")
    yield Line("account", row.account_id, "recipientAccountId, else userIdentity.accountId")
    yield Line("region", row.region, "awsRegion")
    how = "serviceEventDetails.parentRequestId: the tokens belong to the call of this request"
    yield Line("request_id", row.request_id, how)
    yield from _tokens(find_tokens(record)[1], token_places(record))


def _call(
    event: RawEvent, record: Mapping[str, Any], call: Event, trial: Database, keys: Keys
) -> Iterator[Line]:
    row = _row_of(call, trial)
    is_log = event.kind == LOGGED_CALL
    yield Line("call", "yes", _why_call(call, row, is_log))
    yield Line("time", call.event_time, f"{'timestamp' if is_log else 'eventTime'}, whole seconds")
    yield Line("account", call.account_id, _account_path(record, is_log))
    yield Line("region", call.region, "region" if is_log else "awsRegion")
    yield Line("operation", call.event_name, f"from {call.event_source}")
    yield from _model(record, call, row, trial, is_log)
    yield from _user(record, call, row, trial, is_log)
    yield from _application(record, call, row, trial, keys, is_log)
    yield from _team(call, row, trial, keys)
    if is_log:
        readings = find_logged_tokens(json.dumps(event.record).encode())
        places = tuple(COUNT_PATHS.values())
    else:
        readings, places = find_tokens(record)[1], token_places(record)
    yield from _tokens(readings, places)
    yield from _stored_tokens(row, readings)
    yield from input_form_lines(row, trial)
    yield Line("error", call.error_code, "errorCode" if call.error_code else "no errorCode")
    yield from _tier(record, call, row, is_log)
    yield from price_lines(row, trial)


def _account_path(record: Mapping[str, Any], is_log: bool) -> str:
    if is_log:
        return "accountId"
    has_recipient = text(record.get("recipientAccountId")) is not None
    return "recipientAccountId" if has_recipient else "userIdentity: there is no recipientAccountId"


def _why_call(call: Event, row: Mapping[str, Any] | None, is_log: bool) -> str:
    why = "a record of an invocation log" if is_log else EventKind.CALL.value
    if call.is_correction:
        why += (
            "; a correction: its names, and the counts that it has, replace those of the event"
            " addendum.originalEventID, unless a later correction replaces them"
        )
    if not call.is_home_copy:
        why += "; another account's copy: it counts only until the caller's own copy is seen"
    if row and row["event_id"] != call.event_id:
        why += f"; it is the same call as event {row['event_id']}; what follows describes both"
    return why


def _row_of(call: Event, db: Database) -> dict[str, Any] | None:
    """Return the call as a warehouse holds it, under its own id or its request's.

    A log's record joins its event; one of the copies of an event is kept.
    """
    row = read_call(db, call.event_time, call.event_id)
    # A correction has its own time; its call has the time of the corrected event.
    name = call.event_id if call.is_correction else call.request_id
    if row is None and name:
        located = locate_call(db, name)
        if located and (located.account_id, located.region) == (call.account_id, call.region):
            row = read_call(db, located.event_time, located.event_id)
    return row


def _model(
    record: Mapping[str, Any],
    call: Event,
    row: Mapping[str, Any] | None,
    trial: Database,
    is_log: bool,
) -> Iterator[Line]:
    path = "modelId" if is_log else find_model(record)[1]
    places = "modelId" if is_log else "requestParameters.modelId, .model and resources[].ARN"
    nowhere = f"not found: looked at {places}"
    yield Line("model as sent", call.model_id, path if call.model_id and path else nowhere)
    names = parse_model_id(call.model_id)
    profile = profile_arn_of(trial, names.model_id)
    if profile:
        how = f"the model behind the application inference profile {profile}"
    elif ":application-inference-profile/" in names.model_id:
        how = "an application inference profile not in the catalogue, which sync reads"
    else:
        how = "without ARN, geo prefix and context suffix"
    model_id = row["model_id"] if row else names.canonical_model_id
    yield Line("model", model_id, how)
    scope = row["inference_scope"] if row else names.inference_scope
    yield Line("scope", scope, "global. routes anywhere; everything else has the regional price")
    yield Line("CloudWatch's name", names.cloudwatch_model_id, "estimates use its totals")
    where = "inferenceRegion" if is_log else "additionalEventData.inferenceRegion"
    if call.inference_region:
        yield Line("ran in", call.inference_region, f"{where}; the called region sets the price")


def _user(
    record: Mapping[str, Any],
    call: Event,
    row: Mapping[str, Any] | None,
    trial: Database,
    is_log: bool,
) -> Iterator[Line]:
    if is_log:
        arn = text(mapping(record.get("identity")).get("arn")) or ""
        why = f"identity.arn: {find_identity_of_arn(arn)[1]}"
    else:
        why = find_identity(record.get("userIdentity"))[1]
    user, shown = call.user_name, _session_user(call, trial)
    if shown:
        user, why = shown, "CloudTrail shows who is behind this session; its ARN does not"
    ruled, rule = _rule(UserRule, call._replace(user_name=user), trial)
    if ruled:
        yield Line("user", ruled, f"user {rule}")
        yield Line("  otherwise", user, why)
    else:
        yield Line("user", user, why)
    if row and row["user_name"] != (ruled or user):
        yield Line("shown as", row["user_name"], "its alias in the configuration")
    yield Line("caller", call.principal_arn or None, call.principal_type)
    yield Line("session", call.session_name, "" if call.session_name else "no session name")
    if call.provider:
        yield Line("provider", call.provider, "sessionContext.webIdFederationData")
    if call.source_address:
        yield Line("called from", call.source_address, "sourceIPAddress, as far as it is kept")


def _session_user(call: Event, trial: Database) -> str | None:
    """Return the user whom CloudTrail names for the session of a logged call, None if none."""
    named = SessionUsers(trial, Names(trial)).name_user(call).user_name
    return named if named != call.user_name else None


def _application(
    record: Mapping[str, Any],
    call: Event,
    row: Mapping[str, Any] | None,
    trial: Database,
    keys: Keys,
    is_log: bool,
) -> Iterator[Line]:
    application = row["application"] if row else call.application
    source = row["application_source"] if row else call.application_source
    rank = APPLICATION_SOURCES.index(source) + 1
    yield Line("application", application, f"{source}, rank {rank} of {len(APPLICATION_SOURCES)}")
    named = call._replace(user_name=row["raw_user_name"]) if row else call
    tries = _tries(record, named, trial, keys, is_log)
    for number, (name, (found, how)) in enumerate(tries.items(), 1):
        # Sources after the first hit were not tried; those before it found nothing.
        if number <= rank:
            yield Line(f"  {number}. {name}", found, how)


def _tries(
    record: Mapping[str, Any], call: Event, trial: Database, keys: Keys, is_log: bool
) -> dict[str, tuple[str | None, str]]:
    if is_log:
        role = identity_of(record.get("identity")).role_name
    else:
        role = find_identity(record.get("userIdentity"))[0].role_name
    parameters = (
        {"requestMetadata": record.get("requestMetadata")}
        if is_log
        else mapping(record.get("requestParameters"))
    )
    evidence = {
        source: name
        for name, source in application_evidence(
            role_name=role,
            request_parameters=parameters,
            user_agent=call.user_agent,
            project=call.project,
            metadata_key=keys.metadata,
        )
    }
    used = find_metadata(parameters, keys.metadata)[1]
    asked = f"the key {used or ' or '.join(key_names(keys.metadata))} of requestMetadata"
    role_how = f"the role {role} does not end in {ROLE_SUFFIX}" if role else "no role was assumed"
    agent_how = find_name(call.user_agent)[1] if call.user_agent else "there is no user agent"
    found = {
        CONFIG_RULE: _rule(ApplicationRule, call, trial),
        ROLE_NAME: (evidence[ROLE_NAME], f"the role {role}" if evidence[ROLE_NAME] else role_how),
        INFERENCE_PROFILE: _profile(call, trial, keys),
        MANTLE_PROJECT: _project(evidence[MANTLE_PROJECT], call, trial),
        REQUEST_METADATA: (
            evidence[REQUEST_METADATA],
            asked + ("" if evidence[REQUEST_METADATA] else ": not present"),
        ),
        USER_AGENT: (evidence[USER_AGENT], agent_how),
    }
    return {source: found[source] for source in APPLICATION_SOURCES if source in found}


def _rule(kind: type[Rule], call: Event, trial: Database) -> tuple[str | None, str]:
    """Return the name that a rule of a kind gives to a call, and which rule it is."""
    return _rule_for(kind, evidence_of(call), trial)


def _rule_for(kind: type[Rule], evidence: Evidence, trial: Database) -> tuple[str | None, str]:
    rules = [rule for rule in stored_rules(trial) if type(rule) is kind]
    for number, rule in enumerate(compile_rules(rules), 1):
        name = rule.name_for(evidence)
        if name is not None:
            conditions = rules[number - 1].conditions.items()
            given = ", ".join(f"{name} = {glob!r}" for name, glob in conditions)
            return name, f"rule {number} of {len(rules)}: {given}"
    return None, f"none of the {len(rules)} matches" if rules else "there are no rules"


def _team(
    call: Event, row: Mapping[str, Any] | None, trial: Database, keys: Keys
) -> Iterator[Line]:
    if row is None:
        return
    settings = stored_settings(trial)
    tags, tail = " or ".join(settings.tags), parse_model_id(call.model_id).model_tail
    profile, session = profile_of(trial, tail), _session_tags(row, trial)
    evidence = completed(evidence_of(call), row["application"], 0, profile, session)
    how = {
        SESSION_TAG: f"the tag {tags} of the session, from an event of STS",
        REQUEST_METADATA: f"the key {' or '.join(key_names(keys.team))} of requestMetadata",
        INFERENCE_PROFILE: f"the tag {tags} of the application inference profile",
        PRINCIPAL_TAG: f"the tag {tags} of the role or user",
        ACCOUNT_NAME: "the name of the account in the organization",
        ACCOUNT_UNIT: "the organizational unit of the account",
    }.get(row["team_source"], "no rule, no tag and no account name gives one")
    if row["team_source"] == CONFIG_RULE:
        evidence = evidence._replace(user_name=row["raw_user_name"])
        how = f"team {_rule_for(TeamRule, evidence, trial)[1]}"
    yield Line("team", row["team"], how)


def _session_tags(row: Mapping[str, Any], trial: Database) -> Mapping[str, str]:
    found = trial.conn.execute(
        "select credential_key from events where event_time = ? and event_id = ?",
        [row["event_time"], stored_id(row["event_id"])],
    ).fetchone()
    return tags_of(trial, found[0] if found else None)


def _project(found: str | None, call: Event, trial: Database) -> tuple[str | None, str]:
    if found is None:
        why = "the default project names nothing" if call.project else "no project is stated"
        return None, why
    label = project_label(trial, found)
    named = "named by the configuration or its tags" if label else "its id: nothing names it"
    return label or found, f"the project {call.project}, {named}"


def _profile(call: Event, trial: Database, keys: Keys) -> tuple[str | None, str]:
    profile = profile_arn_of(trial, parse_model_id(call.model_id).model_id)
    if profile is None:
        return None, "the model id names no known application inference profile"
    row = trial.conn.execute(
        "select application from inference_profiles where profile_arn = ?", [profile]
    ).fetchone()
    return row[0], f"its tag {' or '.join(key_names(keys.application_tag))}, else its name"


def _tokens(readings: Mapping[str, TokenReading], places: Sequence[str]) -> Iterator[Line]:
    for kind in KINDS:
        looked = [place for place in places if _is_of(kind, place)]
        if kind.name in readings:
            yield Line(f"{kind.name} tokens", readings[kind.name].value, readings[kind.name].path)
        elif looked:
            yield Line(f"{kind.name} tokens", None, f"not found: looked at {', '.join(looked)}")


def _is_of(kind: TokenKind, place: str) -> bool:
    return place == kind.log or place.rpartition(".")[2] in kind.cloudtrail


def _stored_tokens(
    row: Mapping[str, Any] | None, readings: Mapping[str, TokenReading]
) -> Iterator[Line]:
    """Yield the counts that the call has from another of these events."""
    if row is None:
        return
    columns = {"input": "reported_input_tokens", "output": "output_tokens"}
    for kind, column in columns.items():
        own = readings[kind].value if kind in readings else None
        if row[column] != own:
            yield Line(f"{kind} tokens, stored", row[column], f"from the {row['token_source']}")


def _tier(
    record: Mapping[str, Any], call: Event, row: Mapping[str, Any] | None, is_log: bool
) -> Iterator[Line]:
    if is_log:
        path = None
    else:
        parameters = mapping(record.get("requestParameters"))
        path = find_service_tier(parameters, mapping(record.get("additionalEventData")))[1]
    tier = row["service_tier"] if row else call.service_tier or "standard"
    yield Line("service tier", tier, path or ("" if call.service_tier else "none is stated"))


def _compare(call: Event, trial: Database, warehouse: Database | None) -> list[Line]:
    if warehouse is None:
        return [Line("warehouse", None, "there is none")]
    stored = _row_of(call, warehouse)
    if stored is None:
        return [Line("warehouse", None, "does not hold this call")]
    own = _row_of(call, trial) or {}
    differing = [
        Line(name, stored[name], f"this event alone gives {_or_dash(own.get(name))}")
        for name in _COMPARED
        if own and stored[name] != own.get(name)
    ]
    how = "differs in the fields below" if differing else "with the same values"
    corrections = [
        Line("corrected", time, f"by event {event_id}, except where a later event corrects it")
        for time, event_id in read_corrections(warehouse, stored["event_time"], stored["event_id"])
    ]
    found = f"holds it, reported by {stored['reported_by']}"
    estimates = estimate_lines(stored["event_time"], stored["event_id"], warehouse)
    return [Line("warehouse", found, how), *corrections, *differing, *estimates]


def _or_dash(value: object) -> str:
    return "–" if value is None else str(value)
