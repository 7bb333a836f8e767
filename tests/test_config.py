"""``bedrock_usage.toml``: what it accepts, and its messages for what it does not."""

from __future__ import annotations

import contextlib
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.config import (
    ALL_REGIONS,
    Accounts,
    BehindProxy,
    Config,
    InvocationLogs,
    Monitor,
    Notify,
    Restriction,
    Serve,
    Sources,
    Sync,
    Target,
    TrailFiles,
    load_config,
    parse_duration,
    parse_since,
)
from etl.errors import ConfigError
from etl.normalise.budgets import Budget
from etl.normalise.rules import ApplicationRule, UserRule
from tests.cases import cases

EXAMPLE = Path(__file__).parents[1] / "docs" / "bedrock_usage.toml"

EVERYTHING = """
application_tag = "cost-center"
application_metadata_key = "team"
source_addresses = "whole"

[sync]
regions = ["us-east-1", "eu-west-1", "us-gov-west-1", "eusc-de-east-1"]
sources = ["cloudtrail", "catalogue", "trail", "invocation_logs"]
since = "2026-09-01"
settle = "90s"
archive = "s3://kept/raw events"

[accounts]
profile = "payer"
role_arns = [
    "arn:aws:iam::444455556666:role/BedrockUsageReader",
    "arn:aws-us-gov:iam::555566667777:role/path/BedrockUsageReader",
    "arn:aws-cn:iam::666677778888:role/Reader",
]

[sources.trail]
uri = "s3://org-trail/some prefix/AWSLogs"
role_arn = "arn:aws:iam::444455556666:role/LogReader"

[sources.invocation_logs]
uri = "logs/bedrock"
log_group = "/bedrock/calls_1.x#y"

[monitor]
publish_after_sync = true
accept_usd_a_month = 30
max_metrics = 50
metrics = ["CostUSD", "Calls"]
applications = ["Search"]
include_estimates = false
settle = "3m"
correct = "6h"
region = "eu-west-1"

[[application_rules]]
application = "Search"
role = "search-*"
[[application_rules]]
application = "Nights"
user = "u"
session = "s"
principal_arn = "p"
user_agent = "a"
account_id = "1*"
region = "eu-*"
model = "m"

[[user_rules]]
user = "{who}@corp.example"
session = "{who}-agent"
tag = "team=*"

[user_aliases]
"BedrockAPIKey-abcd" = "Nightly batch"
AIDAEXAMPLE = "alice"

[project_names]
proj_77 = "Tickets"
"""


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "bedrock_usage.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def complaint(tmp_path: Path, text: str) -> str:
    """Return the message for a refused file, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    name, _, message = str(caught.value).partition(": ")
    assert name == str(tmp_path / "bedrock_usage.toml")
    return message


def test_no_file_and_an_empty_file_are_all_defaults(tmp_path: Path) -> None:
    assert (
        load_config(None) == read(tmp_path, "") == read(tmp_path, "[sync]\n[accounts]") == Config()
    )
    assert (Config().application_tag, Config().application_metadata_key) == ("application",) * 2
    assert Config().sync == Sync(regions=ALL_REGIONS, sources=None, since=None, settle="60m")
    assert Config().sources == Sources(trail=None, invocation_logs=None)
    assert (Config().application_rules, Config().user_aliases) == ((), {})


def test_every_key_arrives_where_it_belongs(tmp_path: Path) -> None:
    config = read(tmp_path, EVERYTHING)
    assert (config.application_tag, config.application_metadata_key) == ("cost-center", "team")
    assert config.sync == Sync(
        regions=("us-east-1", "eu-west-1", "us-gov-west-1", "eusc-de-east-1"),
        sources=("cloudtrail", "catalogue", "trail", "invocation_logs"),
        since="2026-09-01",
        settle="90s",
        archive="s3://kept/raw events",
    )
    assert config.sources == Sources(
        trail=TrailFiles(
            uri="s3://org-trail/some prefix/AWSLogs",
            role_arn="arn:aws:iam::444455556666:role/LogReader",
        ),
        invocation_logs=InvocationLogs(uri="logs/bedrock", log_group="/bedrock/calls_1.x#y"),
    )
    assert config.monitor == Monitor(
        publish_after_sync=True,
        accept_usd_a_month=30.0,
        max_metrics=50,
        metrics=("CostUSD", "Calls"),
        applications=("Search",),
        include_estimates=False,
        settle="3m",
        correct="6h",
        region="eu-west-1",
    )
    assert config.accounts.profile == "payer"
    assert len(config.accounts.role_arns) == 3
    assert config.application_rules == (
        ApplicationRule(application="Search", role="search-*"),
        ApplicationRule(
            application="Nights", user="u", session="s", principal_arn="p", user_agent="a",
            account_id="1*", region="eu-*", model="m",
        ),
    )  # fmt: skip
    agents = UserRule(user="{who}@corp.example", session="{who}-agent", tag="team=*")
    assert config.user_rules == (agents,)
    assert config.rules == (agents, *config.application_rules)
    assert (config.source_addresses, config.project_names) == ("whole", {"proj_77": "Tickets"})
    assert config.user_aliases == {"BedrockAPIKey-abcd": "Nightly batch", "AIDAEXAMPLE": "alice"}


def test_an_organisation(tmp_path: Path) -> None:
    text = '[accounts]\norganization = true\nrole_name = "path/Reader"\nskip = ["999988887777"]'
    assert read(tmp_path, text).accounts == Accounts(
        organization=True, role_name="path/Reader", skip=("999988887777",)
    )


STANDARD = ("cloudtrail", "cloudwatch", "catalogue")
TRAIL = '[sources.trail]\nuri = "logs"\n'
GROUP = '[sources.invocation_logs]\nlog_group = "/bedrock"\n'


@cases(
    ("text", "chosen", "sources"),
    [
        ("", (), STANDARD),
        (TRAIL, (), (*STANDARD, "trail")),
        (GROUP, (), (*STANDARD, "invocation_logs")),
        (TRAIL + GROUP, (), (*STANDARD, "trail", "invocation_logs")),
        ('[sync]\nsources = ["cloudtrail"]\n' + TRAIL, (), ("cloudtrail",)),
        ('[sync]\nsources = ["trail"]\n' + TRAIL, (), ("trail",)),
        ('[sync]\nsources = ["cloudtrail"]\n' + TRAIL, ("trail",), ("trail",)),
        (TRAIL, ("cloudwatch", "trail"), ("cloudwatch", "trail")),
    ],
)
def test_the_sources_are_those_named_or_all_there_are(
    tmp_path: Path, text: str, chosen: tuple[str, ...], sources: tuple[str, ...]
) -> None:
    assert read(tmp_path, text).choose_sources(chosen) == sources


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("trail", "set uri under [sources.trail]"),
        ("invocation_logs", "set uri or log_group under [sources.invocation_logs]"),
    ],
)
def test_a_source_that_is_nowhere_says_what_to_set(
    tmp_path: Path, source: str, advice: str
) -> None:
    unconfigured = f"{source!r} is not configured; {advice}"
    assert complaint(tmp_path, f'[sync]\nsources = ["{source}"]') == f"sync.sources: {unconfigured}"
    with pytest.raises(ConfigError, match=f"^{re.escape(f'--source: {unconfigured}')}$"):
        Config().choose_sources([source])


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, '\ufeffapplication_tag = "x"').application_tag == "x"


UNKNOWN_KEYS = [
    ("[sync]\nregion = []", ["sync:", "unknown key region;", "did you mean regions?"]),
    (
        "[sync]\nxyz = 1",
        ["sync:", "unknown key xyz;", "Known keys: regions, sources, since, settle"],
    ),
    (
        'profile = "x"',
        ["unknown key profile;", "it belongs under [accounts] or under [[team_rules]]."],
    ),
    ('[sync]\napplication_tag = "x"', ["unknown key application_tag;", "above the first [table]"]),
    ('[sync]\nsession = "x"', ["unknown key session;", "it belongs under [[application_rules]]"]),
    (
        '[sources.trail]\nurl = "x"',
        ["sources.trail:", "unknown key url;", "did you mean uri?", "Known keys: uri, role_arn"],
    ),
    ('[sources.trail]\nlog_group = "x"', ["it belongs under [sources.invocation_logs]."]),
    ("[sources.trails]", ["sources:", "unknown key trails;", "did you mean trail?"]),
    ("[trail]", ["unknown key trail;", "it belongs under [sources]."]),
    ("[user_alias]", ["unknown key user_alias;", "did you mean user_aliases?"]),
    (
        '[[application_rules]]\napplication = "a"\nuser = "u"\n[[application_rules]]\nrol = "x"',
        ["application_rules #2:", "unknown key rol;", "did you mean role?"],
    ),
]


@cases(("text", "parts"), UNKNOWN_KEYS)
def test_an_unknown_key_is_refused_and_the_right_one_named(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    message = complaint(tmp_path, text)
    assert [part for part in parts if part not in message] == []
    assert "Known keys: " in message


def test_each_table_names_its_own_keys(tmp_path: Path) -> None:
    types = {name: type(getattr(Config(), name)) for name in Config.__struct_fields__}
    tables = {name: type_ for name, type_ in types.items() if hasattr(type_, "__struct_fields__")}
    assert len(tables) > 10
    for name, type_ in tables.items():
        message = complaint(tmp_path, f"[{name}]\nqwxz = 1")
        keys = ", ".join(type_.__struct_encode_fields__)
        assert message.endswith(f"{name}: unknown key qwxz; Known keys: {keys}")


WRONG_TYPES = [
    ("application_tag = 1", "application_tag must be text in quotes or a list, [...], not a number"),
    ("application_tag = [1]", "application_tag #1 must be text in quotes, not a number"),
    ("sync = 1", "sync must be a table, not a number"),
    ('[sync]\nregions = "us-east-1"', "sync.regions must be a list, [...], not text in quotes"),
    ('[sync]\nregions = ["us-east-1", 1]', "sync.regions #2 must be text in quotes, not a number"),
    ("[sync]\nsince = 2026-09-01", "sync.since must be text in quotes, not a bare date"),
    ("[accounts]\nskip = [999988887777]", "accounts.skip #1 must be text in quotes, not a number"),
    ('[accounts]\norganization = "yes"', "accounts.organization must be true or false, not text in quotes"),
    ("[accounts]\nprofile = true", "accounts.profile must be text in quotes, not true or false"),
    ("[sources.trail]\nuri = 1", "sources.trail.uri must be text in quotes, not a number"),
    ('[sources]\ntrail = "x"', "sources.trail must be a table, not text in quotes"),
    (
        '[application_rules]\nrole = "x"',
        "application_rules must be a list, [...], not a table; begin each with [[application_rules]]",
    ),
    (
        '[user_aliases]\nok = "fine"\nalice.smith = "x"',
        "user_aliases.alice must be text in quotes, not a table; a name with a dot",
    ),
    *(
        (
            f'[[team_shares]]\napplication = "G"\nshares = {{ a = 1, b = {value} }}',
            f"team_shares #1.shares.b must be a {wanted}",
        )
        for value, wanted in (('"60"', "number, not text"), ("0.5", "whole number, not a fraction"))
    ),
]  # fmt: skip


@cases(("text", "message"), WRONG_TYPES)
def test_a_wrong_type_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    assert complaint(tmp_path, text).startswith(message)


WRONG_VALUES = [
    ('application_tag = " "', "application_tag is empty"),
    ('application_metadata_key = ""', "application_metadata_key is empty"),
    ("application_metadata_key = []", "application_metadata_key is empty"),
    ('application_tag = ["a", ""]', "application_tag is empty"),
    ('application_tag = ["a", "a"]', "application_tag: 'a' is listed twice"),
    ('source_addresses = "half"', "source_addresses: 'half' is not one of network, whole, none"),
    ('[rollup]\nengine = "flink"', "rollup.engine: 'flink' is not one of local, spark"),
    ('team_from_account = "Name"', "team_from_account: 'Name' is not one of name, unit, off"),
    ('[[user_rules]]\nuser = "{x}"\nsession = "*"', "user_rules #1.user: {x} is in none of the conditions"),
    ('[[user_rules]]\nuser = "x"', "user_rules #1: no condition; give at least one of role, session,"),
    ('[user_rules]\nuser = "x"', "user_rules must be a list, [...], not a table; begin each with [[user_rules]]"),
    ('[user_aliases]\n"{a}@x" = "{b}"', "user_aliases: '{a}@x' = '{b}': {b} is not in the first"),
    ('[user_aliases]\n"{a}-{a}" = "{a}"', "user_aliases: '{a}-{a}' has the same {name} twice"),
    ('[project_names]\nproj_1 = " "', "project_names: 'proj_1' = ' ' has an empty name"),
    ("[sources.trail]", "sources.trail: uri is missing"),
    ('[sources.trail]\nuri = ""', "sources.trail.uri: '' is not a folder: neither like"),
    ('[sources.trail]\nuri = " "', "sources.trail.uri: ' ' is not a folder: neither like"),
    ('[sources.trail]\nuri = "s3://"', "sources.trail.uri: 's3://' is not a folder: neither like"),
    ('[sources.trail]\nuri = "s3://Bucket"', "sources.trail.uri: 's3://Bucket' is not a folder"),
    ('[sources.trail]\nuri = "S3://bucket"', "sources.trail.uri: 'S3://bucket' is not a folder"),
    ('[sources.trail]\nuri = "arn:aws:s3:::b"', "sources.trail.uri: 'arn:aws:s3:::b' is no"),
    ('[sources.trail]\nuri = "https://b.s3.amazonaws.com/"', "sources.trail.uri: 'https://b.s3"),
    (
        '[sources.trail]\nuri = "s3://bucket"\nrole_arn = "Reader"',
        "sources.trail.role_arn: 'Reader' is not the ARN of a role, like",
    ),
    (
        '[sources.trail]\nuri = "logs"\nrole_arn = "arn:aws:iam::444455556666:role/R"',
        "sources.trail.role_arn: a role is only assumed for s3:// addresses; leave it out",
    ),
    ("[sources.invocation_logs]", "sources.invocation_logs: uri or log_group is missing; `bedr"),
    (
        '[sources.invocation_logs]\nlog_group = "/b"\nrole_arn = "arn:aws:iam::444455556666:role/R"',
        "sources.invocation_logs.role_arn: a role is only assumed for s3:// addresses",
    ),
    (
        '[sources.invocation_logs]\nlog_group = "arn:aws:logs:us-east-1:444455556666:log-group:x"',
        "sources.invocation_logs.log_group: 'arn:aws:logs:us-east-1:444455556666:log-group:x' is not the name of a log group",
    ),
    ('[sync]\nregions = ["Virginia"]', "sync.regions: 'Virginia' is not a region; list regions like"),
    ('[sync]\nregions = ["all", "us-east-1"]', "sync.regions: 'all' is not a region; list regions like"),
    ("[sync]\nregions = []", "sync: regions is empty; leave it out for all"),
    ("[sync]\nsources = []", "sync: sources is empty; leave it out for all"),
    ('[sync]\nsources = ["s3"]', "sync.sources #1: 's3' is not one of cloudtrail, cloudwatch, catalogue"),
    ('[sync]\nsources = ["cloudtrail", "cloudtrail"]', "sync.sources: 'cloudtrail' is listed twice"),
    ('[sync]\nregions = ["us-east-1", "us-east-1"]', "sync.regions: 'us-east-1' is listed twice"),
    ('[sync]\nsince = "3 weeks"', "sync.since: '3 weeks' is neither a duration like 90d"),
    ('[sync]\nsince = "2026-02-30"', "sync.since: '2026-02-30' is neither"),
    ('[sync]\nsettle = "2026-09-01"', "sync.settle: '2026-09-01' is not a duration; write a number with"),
    ('[accounts]\nprofile = ""', "accounts: profile is empty"),
    ('[accounts]\nskip = ["12"]', "accounts.skip: '12' is not an account id: 12 digits"),
    ('[accounts]\nskip = ["1234567890123"]', "accounts.skip: '1234567890123' is not an account id"),
    (
        '[accounts]\nrole_arns = ["arn:aws:iam::444455556666:role/A", "arn:aws:iam::444455556666:role/B"]',
        "accounts.role_arns: two roles in one account; keep only the one",
    ),
    ('[accounts]\nrole_arns = ["Reader"]', "accounts.role_arns: 'Reader' is not the ARN of a role, like"),
    (
        '[accounts]\nrole_arns = ["arn:aws:sts::444455556666:assumed-role/R/s"]',
        "accounts.role_arns: 'arn:aws:sts::444455556666:assumed-role/R/s' is not the ARN of a role",
    ),
    ('[accounts]\nrole_name = "arn:aws:iam::444455556666:role/R"', "accounts.role_name: 'arn"),
    ("[accounts]\norganization = true", "accounts: organization needs role_name"),
    (
        '[accounts]\norganization = true\nrole_name = "R"\nrole_arns = ["arn:aws:iam::444455556666:role/R"]',
        "accounts: organization and role_arns cannot be combined",
    ),
    ('[monitor]\nmetrics = ["Tokens"]', "monitor.metrics: 'Tokens' is not one of InputTokens, Output"),
    ("[monitor]\nmetrics = []", "monitor: metrics is empty; choose from InputTokens"),
    ('[monitor]\nmetrics = ["Calls", "Calls"]', "monitor.metrics: 'Calls' is listed twice"),
    ('[monitor]\napplications = ["a", "a"]', "monitor.applications: 'a' is listed twice"),
    ('[monitor]\nby = "team"\napplications = ["a"]', 'monitor: applications has no effect with by = "team": remove it, or set by = "application"'),
    ('[monitor]\nteams = ["a"]', 'monitor: teams has no effect with by = "application": remove it, or set by = "team"'),
    ('[monitor]\nregion = "Ireland"', "monitor.region: 'Ireland' is not a region, like"),
    ("[monitor]\nmax_metrics = 0", "monitor: max_metrics must be at least 1"),
    ("[monitor]\naccept_usd_a_month = -1", "monitor: accept_usd_a_month must be a price in dollars"),
    ("[monitor]\naccept_usd_a_month = nan", "monitor: accept_usd_a_month must be a price in dollars"),
    ('[monitor]\nsettle = "soon"', "monitor.settle: 'soon' is not a duration"),
    ('[monitor]\ncorrect = "2 days"', "monitor.correct: '2 days' is not a duration"),
    ('[[application_rules]]\napplication = "a"', "application_rules #1: no condition; give at least one of role,"),
    ('[[application_rules]]\nrole = "a"', "application_rules #1: application is missing"),
    ('[[application_rules]]\napplication = ""\nrole = "a"', "application_rules #1: application is empty"),
    ('[[application_rules]]\napplication = "a"\nrole = ""', "application_rules #1: role is empty"),
    (
        '[[application_rules]]\napplication = "(unattributed)"\nrole = "a"',
        "application_rules #1: application (unattributed) is reserved",
    ),
    ('[user_aliases]\nalice = ""', "user_aliases: 'alice' = '' has an empty name"),
    ('[user_aliases]\n"" = "alice"', "user_aliases: '' = 'alice' has an empty name"),
    ('[user_aliases]\n"(unattributed)" = "nobody"', "user_aliases: (unattributed) means usage that no"),
    ('[user_aliases]\nalice = "(unattributed)"', "user_aliases: (unattributed) means usage that no"),
]  # fmt: skip


@cases(("text", "message"), WRONG_VALUES)
def test_a_value_that_cannot_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert complaint(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb =\nc = 2", 2), ("[sync\n", 1), ("[sync]\n\nregions", 3), ("[sync]\n[sync]\n", 2)],
)
def test_a_slip_in_the_syntax_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    assert re.search(rf"not TOML: .*at line {line}\b", complaint(tmp_path, text))


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: No such file .*--config"):
        load_config(tmp_path / "no.toml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'a = "\xff"')
    with pytest.raises(ConfigError, match=r"x\.toml: not UTF-8"):
        load_config(path)


@cases(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("60m", timedelta(hours=1)),
        ("36h", timedelta(days=1.5)),
        ("90d", timedelta(days=90)),
        ("0m", timedelta(0)),
        ("3660d", timedelta(days=3660)),
    ],
)
def test_durations(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == parse_since(text) == duration


NO_DURATIONS = ["", "90", "d", "-1d", "1.5h", "1 d", "1w", "1D", "1d ", "1d\n", "٣d", "3661d", "999999999d", "9" * 5000 + "s"]  # fmt: skip


@cases("text", NO_DURATIONS)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)
    with pytest.raises(ConfigError):
        parse_since(text)


def test_a_date_begins_at_midnight_utc() -> None:
    assert parse_since("2026-09-01") == datetime(2026, 9, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-9-1", "20260901", "2026-13-01", "2026-09-01T00:00:00Z", "yesterday"]
)
def test_what_is_no_date_is_told_both_forms(text: str) -> None:
    with pytest.raises(ConfigError, match=r"90d .*2026-09-01"):
        parse_since(text)


@given(st.text() | st.from_regex(r"[0-9]{1,12}[smhd]", fullmatch=True))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    for parse in (parse_duration, parse_since):
        with contextlib.suppress(ConfigError):
            duration = parse(text)
            assert isinstance(duration, timedelta)
            unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400}[text[-1]]
            assert duration.total_seconds() == int(text[:-1]) * unit


HASH = "pbkdf2_sha256$480000$547fd049b5dffc5c8da21143de7656d4$7xVs93pQ6PRatnNDnumVAHMm6EB8nhVK9WFX1cQHTXM="


def test_who_may_visit(tmp_path: Path) -> None:
    serve = read(tmp_path, f"""
        [serve]
        host_names = ["usage.example.com", "[2001:db8::1]"]
        [serve.passwords]
        "alice@example.com" = "{HASH}"
        [serve.tokens]
        nightly = "NIGHTLY_TOKEN"
        [[serve.restrictions]]
        visitor = "nightly"
        applications = ["Search", "(unattributed)"]
        [[serve.restrictions]]
        visitor = "*"
        applications = ["*"]
    """).serve  # fmt: skip
    assert serve.passwords == {"alice@example.com": HASH}
    assert serve.has_login
    assert serve.restrictions[0].applications == ("Search", "(unattributed)")
    # A traceback may print it.
    assert HASH not in repr(serve)
    assert HASH not in repr(Config(serve=serve))


@cases(
    ("addresses", "client", "trusted"),
    [
        (["10.0.0.5"], "10.0.0.5", True),
        (["10.0.0.5"], "::ffff:10.0.0.5", True),
        (["10.0.0.5"], "10.0.0.50", False),
        (["10.0.0.0/30", "::1"], "10.0.0.3", True),
        (["10.0.0.0/30", "::1"], "10.0.0.4", False),
        (["10.0.0.0/30", "::1"], "::1", True),
        (["10.0.0.5"], "", False),
        (["10.0.0.5"], "proxy", False),
    ],
)
def test_the_addresses_of_a_proxy(addresses: list[str], client: str, trusted: bool) -> None:
    proxy = BehindProxy(header="X-Forwarded-User", addresses=tuple(addresses))
    assert proxy.trusts(client) is trusted


PROXY = '[serve.behind_proxy]\nheader = "X-User"\n'
RESTRICTION = "[[serve.restrictions]]\n"
WRONG_VISITS = [
    ('[serve]\nhosts = []', "serve: unknown key hosts; did you mean host_names?"),
    ('passwords = 1', "unknown key passwords; it belongs under [serve]."),
    ('[serve]\nvisitor = "x"', "serve: unknown key visitor; it belongs under [[serve.restrictions]]."),
    ('[serve]\nhost_names = ["http://x"]', "serve.host_names: 'http://x' is not a host name, like"),
    ('[serve]\nhost_names = ["x:80"]', "serve.host_names: 'x:80' is not a host name, like"),
    ('[serve]\nhost_names = [""]', "serve.host_names: '' is not a host name"),
    ('[serve.passwords]\nalice = "secret"', "serve.passwords: the value for 'alice' is not the hash of a password; use the output of `datasette hash-password`"),
    (f'[serve.passwords]\nalice = "{HASH.replace("480000", "1000")}"', "serve.passwords: the value for 'alice' is not the hash"),
    (f'[serve.passwords]\n"a b" = "{HASH}"', "serve.passwords: 'a b' is not a visitor's name: letters, digits"),
    ('[serve.passwords]\nalice = 1', "serve.passwords.alice must be text in quotes, not a number"),
    ('[serve.passwords]\nalice.smith = "x"', "serve.passwords.alice must be text in quotes, not a table; a name with a dot"),
    ('[serve.tokens]\nnightly = "s3cret-token"', "serve.tokens: the value for 'nightly' is not the name of an environment variable"),
    ('[serve.tokens]\nnightly = ""', "serve.tokens: the value for 'nightly' is not the name of an environment variable"),
    (PROXY, "serve.behind_proxy: addresses is missing"),
    (PROXY + "addresses = []", "serve.behind_proxy: addresses is empty; list the addresses"),
    (PROXY + 'addresses = ["proxy"]', "serve.behind_proxy.addresses: 'proxy' is neither an address nor a network"),
    (PROXY + 'addresses = ["10.0.0.1/24"]', "serve.behind_proxy.addresses: '10.0.0.1/24' is neither an address nor"),
    (PROXY + 'addresses = ["0.0.0.0/0"]', "serve.behind_proxy.addresses: '0.0.0.0/0' is every address"),
    ('[serve.behind_proxy]\nheader = "X User"\naddresses = ["::1"]', "serve.behind_proxy.header: 'X User' is not a header"),
    (PROXY + f'addresses = ["::1"]\n[serve.passwords]\nalice = "{HASH}"', "serve: behind_proxy cannot be combined with passwords"),
    (RESTRICTION + 'visitor = "alice"', "serve.restrictions #1: applications is missing"),
    (RESTRICTION + 'visitor = "alice"\napplications = []', "serve.restrictions #1: applications is empty; list"),
    (RESTRICTION + 'visitor = "a b"\napplications = ["x"]', "serve.restrictions #1.visitor: 'a b' is not a visitor's name"),
    (RESTRICTION + 'visitor = "a"\napplications = ["*", "x"]', "serve.restrictions #1.applications: * means all"),
    (2 * (RESTRICTION + 'visitor = "Alice"\napplications = ["x"]\n'), "serve.restrictions: 'alice' is listed twice"),
    ('[serve.restrictions]\nvisitor = "alice"', "serve.restrictions must be a list, [...], not a table; begin each with [[serve.restrictions]]"),
]  # fmt: skip


@cases(("text", "message"), WRONG_VISITS)
def test_a_visit_that_cannot_be_is_refused_without_a_secret(
    tmp_path: Path, text: str, message: str
) -> None:
    told = complaint(tmp_path, text)
    assert told.startswith(message)
    assert not any(secret in told for secret in ("secret", "s3cret", HASH[-40:]))


def uncommented(*, without: tuple[str, ...]) -> str:
    """Return the example file with its commented keys enabled, except for some."""
    lines = (re.sub(r'^#(?=[\w\["])', "", line) for line in EXAMPLE.read_text().splitlines())
    return "\n".join(line for line in lines if not line.startswith(without))


def test_the_example_as_it_stands_is_the_default() -> None:
    assert load_config(EXAMPLE) == Config()


def test_the_example_shows_every_key_and_each_is_valid(tmp_path: Path) -> None:
    proxy = ("[serve.behind_proxy]", "header", "addresses")
    one = read(
        tmp_path, uncommented(without=("organization", "role_name", "skip", "teams", *proxy))
    )
    login = ("[serve.passwords]", "alice", "[serve.tokens]", "nightly")
    by_team = uncommented(without=("role_arns", "applications", *login))
    other = read(tmp_path, by_team.replace('by = "application"', 'by = "team"'))
    text = uncommented(without=())
    structs = (Config, Sync, Accounts, ApplicationRule, TrailFiles, InvocationLogs)
    for struct in (*structs, Serve, BehindProxy, Restriction, Budget, Notify, Target):
        for key in struct.__struct_fields__:
            form = rf"^(?:{key} = |\[\[?(?:serve\.|notify\.)?{key}(?:\.\w+)?\]\]?$)"
            assert re.search(form, text, re.MULTILINE), key
    for table in Sources.__struct_fields__:
        assert f"\n[sources.{table}]\n" in text, table
    assert one.accounts.role_arns
    assert other.accounts.organization
    assert {name for rule in one.application_rules for name in rule.conditions} == {
        *ApplicationRule.__struct_fields__
    } - {"application"}
    assert one.user_rules
    assert one.user_aliases
    assert one.project_names
    assert one.serve.passwords
    assert one.serve.tokens
    assert other.serve.behind_proxy
    assert one.serve.restrictions
    assert (one.monitor.names, other.monitor.names) == (("Search",), ("Search",))
    assert one.sources.trail == TrailFiles(
        uri="s3://my-trail/prefix", role_arn="arn:aws:iam::444455556666:role/LogReader"
    )
    assert one.sources.invocation_logs is not None
    assert None not in (one.sources.invocation_logs.uri, one.sources.invocation_logs.log_group)


def test_every_key_of_the_example_has_words_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    keys = ("application_tag", "application_metadata_key", "uri", "log_group", "role_arn", *Sync.__struct_fields__, "profile", "role_arns", "organization", "role", "session", "user", "principal_arn", "account_id", "user_agent", "model", "host_names", "header", "addresses", "visitor", "applications")  # fmt: skip
    for key in keys:
        places = [n for n, line in enumerate(lines) if re.match(rf"#?{key} = ", line)]
        assert places, key
        assert all(lines[place - 1].startswith("# ") for place in places), key


BOMBS = {
    "brackets": "a = " + "[" * 900_000,
    "tables in tables": "a = " + "{a = " * 200_000,
    "a name of many parts": ".".join("a" * 400_000) + " = 1",
    "a heading of many parts": "[" + ".".join("a" * 500_000) + "]",
    "a number of many digits": "a = " + "9" * 100_000,
    "more than a megabyte": "#" * (1 << 20) + "\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_file_that_would_take_minutes_is_refused_at_once(bomb: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(BOMBS[bomb])
    started = time.process_time()
    with pytest.raises(ConfigError, match=r"c\.toml"):
        load_config(file)
    assert time.process_time() - started < 2


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file in (Path("/dev/zero"), tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="not a regular file"):
            load_config(file)


def test_a_restriction_of_nobody_is_refused(tmp_path: Path) -> None:
    login = f'[serve.passwords]\nalice = "{HASH}"\n'
    other = '[[serve.restrictions]]\nvisitor = "alcie"\napplications = ["x"]\n'
    with pytest.raises(
        ConfigError, match="'alcie' has neither a password nor a token; known visitors are alice"
    ):
        read(tmp_path, login + other)
    proxy = '[serve.behind_proxy]\nheader = "X"\naddresses = ["10.0.0.5"]\n'
    assert read(tmp_path, proxy + other).serve.restrictions
    assert read(tmp_path, login + other.replace("alcie", "ALICE")).serve.restrictions


@cases("network", ["0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/0", "16.0.0.0/7", "::/0", "2000::/3", "::ffff:0:0/96", "::ffff:10.0.0.5"])  # fmt: skip
def test_a_proxy_is_no_half_of_the_internet(network: str) -> None:
    with pytest.raises(ValueError, match=re.escape(network)):
        BehindProxy(header="X", addresses=(network,))
    assert BehindProxy(header="X", addresses=("10.0.0.0/8", "fd00:1::/32")).trusts("10.255.0.1")


WRONG_DISCOUNTS = {
    "": "#1: percent is missing",
    'percent = "5"': "#1.percent must be a number, not text",
    "percent = true": "#1.percent must be a number, not true or false",
    "percent = 101": "#1.percent: 101 is not between 0 and 100",
    "percent = -1": "#1.percent: -1 is not between",
    "percent = nan": "#1.percent: nan is not between",
    "percent = 0.12345": "#1.percent: 0.12345 has more than four decimals",
    "percnt = 1": "#1: unknown key percnt; did you mean percent?",
    "percent = 1\nstart = 2026-01-01": "Known keys: percent, model, region, account, tier, kind, from",
    "percent = 1\nmodel = 5": "#1.model must be text in quotes or a list, [...], not a number",
    "percent = 1\nmodel = []": "#1: model is empty",
    'percent = 1\nmodel = ""': "#1.model: '' is neither",
    'percent = 1\nmodel = "a[bc]"': "#1.model: 'a[bc]' is neither",
    'percent = 1\nmodel = ["a", "a"]': "#1.model: 'a' is listed twice",
    'percent = 1\nregion = "Virginia"': "#1.region: 'Virginia' is neither a region",
    'percent = 1\nregion = "us-east"': "#1.region: 'us-east' is neither a region",
    'percent = 1\naccount = "1234"': "#1.account: '1234' is neither an account id",
    "percent = 1\naccount = 444455556666": "#1.account must be text in quotes",
    'percent = 1\ntier = "std*"': "#1.tier: 'std*' matches none of standard, batch",
    'percent = 1\nkind = "inputs"': "#1.kind: 'inputs' matches none of input, output",
    'percent = 1\nfrom = "soon"': "#1.from: not a date; write one like 2026-11-01",
    "percent = 1\nfrom = 2026-11-01T00:00:00Z": "#1.from must be a bare date, not a time",
    "percent = 1\nfrom = 1999-01-01": "#1.from: 1999-01-01 is not between",
    "percent = 1\nfrom = 2026-11-01\nto = 2026-11-01": "#1.to: 2026-11-01 must be after from",
    "percent = 1\n[[discounts]]\npercent = 2": "#1 matches everything, so those after it",
    'percent = 1\nkind = "input"\n[[discounts]]\npercent = 200': "#2.percent: 200",
}


def test_a_mistake_in_a_discount_is_refused_with_its_place(tmp_path: Path) -> None:
    for text, said in WRONG_DISCOUNTS.items():
        message = complaint(tmp_path, f"[[discounts]]\n{text}\n")
        assert message.startswith("discounts #"), text
        assert said in message, text
    assert "under [[discounts]]" in complaint(tmp_path, "percent = 5\n")


def test_a_discount_says_itself_in_a_line(tmp_path: Path) -> None:
    text = """
[[discounts]]
percent = 12.50
model = "anthropic.*"
kind = ["input", "cache_*"]
from = 2026-11-01
to = "2027-01-01"
"""
    (discount,) = read(tmp_path, text).discounts
    assert str(discount) == (
        "12.5 % for model = 'anthropic.*', kind = 'input' or 'cache_*', from 2026-11-01,"
        " to 2027-01-01"
    )
    assert discount.kept_millionths == 875_000


BUDGET = '[[budgets]]\nname = "B"\namount = 1\nper = "day"\n'
TARGET = '[[notify.targets]]\nname = "ops"\n'

WRONG_BUDGETS = {
    '[[budgets]]\nname = "B"\n': "budgets #1: amount is missing",
    BUDGET + BUDGET: "budgets #2.name: 'B' is the name of another one",
    BUDGET.replace('"B"', '"\\u001b[1m"'): "budgets #1.name: it must have 1 to 100 printable",
    BUDGET.replace("1\n", "0\n"): "budgets #1.amount: 0 is not above 0",
    BUDGET.replace("1\n", "nan\n"): "budgets #1.amount: nan is not above 0",
    BUDGET.replace("1\n", "inf\n"): "budgets #1.amount: inf is not above 0",
    BUDGET.replace("1\n", '"1"\n'): "budgets #1.amount must be a number, not text",
    BUDGET.replace("1\n", "0.0000001\n"): "budgets #1.amount: 1E-7 has more than six decimals",
    BUDGET.replace('"day"', '"daily"'): "budgets #1.per: 'daily' is none of day, week, month, nor",
    BUDGET.replace('"day"', '"0d"'): "budgets #1.per: '0d' is none of",
    BUDGET.replace('"day"', '"367d"'): "budgets #1.per: '367d' is none of",
    BUDGET + "each = 'region'": "budgets #1.each: 'region' is not one of application, user, team",
    BUDGET + "aplication = 'x'": "budgets #1: unknown key aplication; did you mean application?",
    BUDGET + "user = []": "budgets #1: user is empty",
    BUDGET + "user = ['a', 'a']": "budgets #1.user: 'a' is listed twice",
    BUDGET + "team = ' '": "budgets #1.team: a name is empty",
    BUDGET + "region = 'eu-*'": "budgets #1.region: 'eu-*' is not a region",
    BUDGET + "account = '12'": "budgets #1.account: '12' is not an account id",
    BUDGET + "team = 'a'\nuser = 'b'": "budgets #1: user and team cannot be combined",
    BUDGET + "team = 'a'\neach = 'user'": "budgets #1: user and team cannot be combined",
    BUDGET + "thresholds = [0]": "budgets #1.thresholds: 0 is not between 1 and 1000 percent",
    BUDGET + "thresholds = [50, 50]": "budgets #1.thresholds: 50 is listed twice",
    BUDGET + "thresholds = [99.5]": "budgets #1.thresholds #1 must be a whole number, not a fraction",
    BUDGET + "thresholds = []": "budgets #1: thresholds is empty, and so is forecast_thresholds",
    BUDGET.replace("day", "7d") + "forecast_thresholds = [100]": "a window of the last days has no end",
    BUDGET + "estimates = 'low'": "budgets #1.estimates: 'low' is not one of expected, upper",
    BUDGET + "unknown_percent = 101": "budgets #1.unknown_percent: 101 is not between 0 and 100",
    "[budgets]\nx = 1": "budgets must be a list, [...], not a table; begin each with [[budgets]]",
    TARGET: "notify.targets #1: give exactly one of variable, file, sns, not 0",
    TARGET + "variable = 'A'\nfile = 'b'": "give exactly one of variable, file, sns, not 2",
    TARGET + "variable = 'https://hooks/SECRET'": "it is not the name of an environment variable",
    TARGET + "file = 'mailto://u:SECRET@host'": "never write the address itself into this file",
    TARGET + "sns = 'SECRET'": "notify.targets #1.sns: it is not the ARN of a topic",
    TARGET + "variable = 'A'\ntopics = ['x']": "'x' is not one of budgets, anomalies, digest",
    TARGET + "variable = 'A'\ntopics = []": "notify.targets #1: topics is empty",
    TARGET * 2: "notify.targets #1: give exactly one",
    (TARGET + "variable = 'A'\n") * 2: "notify.targets: 'ops' is listed twice",
    "[notify]\nurl = 'javascript:x'": "notify.url: 'javascript:x' is not the address of the pages",
}  # fmt: skip


def test_a_mistake_in_a_budget_or_a_target_is_refused_with_its_place(tmp_path: Path) -> None:
    for text, said in WRONG_BUDGETS.items():
        message = complaint(tmp_path, text)
        assert said in message, (text, message)
        assert "SECRET" not in message
    assert "under [[budgets]]" in complaint(tmp_path, "thresholds = [5]\n")
