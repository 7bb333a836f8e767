"""A user's own rules: which call each matches, and which rule wins."""

from __future__ import annotations

import fnmatch
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.normalise.cloudtrail import parse_event
from etl.normalise.rows import Event
from etl.normalise.rules import (
    ApplicationRule,
    Evidence,
    Glob,
    Rule,
    UserRule,
    compile_rules,
    conditions_of,
    evidence_of,
    find_rule,
    make_evidence,
    role_name_of,
)
from tests.cases import cases
from tests.support import ACCOUNT, HAIKU, SONNET, call, role_identity, user_identity

AGENT = "Boto3/1.42.97 md/Botocore#1.42.97 exec-env/AWS_Lambda_python3.12"


def evidence(**fields: Any) -> Evidence:
    record = (
        call(userIdentity=role_identity("search-prod", "i-0123456789abcdef0"), userAgent=AGENT)
        | fields
    )
    event = parse_event(record).row
    assert isinstance(event, Event)
    return evidence_of(event)


def found(evidence: Evidence, **conditions: str) -> bool:
    rules = compile_rules([ApplicationRule(application="hit", **conditions)])
    return find_rule(rules, evidence) == "hit"


# Every text is different, so a condition that reads the wrong one is caught.
DISTINCT = {
    "role": "role_name",
    "user": "user_name",
    "session": "session_name",
    "principal_arn": "principal_arn",
    "user_agent": "user_agent",
    "account_id": "account_id",
    "region": "region",
    "model": "model_id",
    "provider": "provider",
    "project": "project",
    "tag": "request_metadata",
}


@cases("condition", conditions_of(ApplicationRule))
def test_each_condition_looks_at_its_own_text(condition: str) -> None:
    each_its_name = Evidence(*(f"the {field}" for field in Evidence._fields))
    each_its_name = each_its_name._replace(request_metadata='{"the request_metadata": "x"}')
    tail = "=x" if condition == "tag" else ""
    hits = [
        field
        for field in Evidence._fields
        if found(each_its_name, **{condition: f"the {field}{tail}"})
    ]
    assert hits == [DISTINCT[condition]]


@cases(
    ("condition", "hit", "miss"),
    [
        ("role", "search-*", "search"),
        ("user", "search-pro?", "alice"),
        ("session", "i-[0-9]*", "i-[!0]*"),
        ("principal_arn", f"arn:aws:sts::{ACCOUNT}:assumed-role/search-prod", "*search-prod/*"),
        ("user_agent", "*exec-env/AWS_Lambda*", "AWS_Lambda"),
        ("account_id", "1111*", "2222*"),
        ("region", "us-*", "eu-*"),
        ("model", HAIKU, "anthropic.claude-3-opus*"),
    ],
)
def test_conditions_on_a_real_call(condition: str, hit: str, miss: str) -> None:
    assert found(evidence(), **{condition: hit})
    assert not found(evidence(), **{condition: miss})


def test_all_conditions_of_a_rule_must_match() -> None:
    assert found(evidence(), role="search-*", region="us-east-1")
    assert not found(evidence(), role="search-*", region="us-east-2")
    assert not found(evidence(), role="other", region="us-east-1")


def test_the_first_rule_that_matches_wins() -> None:
    rules = [
        ApplicationRule(application="other", role="other"),
        ApplicationRule(application="first", role="search-*"),
        ApplicationRule(application="second", role="*"),
    ]
    assert find_rule(compile_rules(rules), evidence()) == "first"
    assert find_rule(compile_rules(reversed(rules)), evidence()) == "second"
    assert find_rule(compile_rules(rules[:1]), evidence()) is None
    assert find_rule((), evidence()) is None


@pytest.mark.parametrize("glob", ["SEARCH-*", "search", "prod", "earch-prod", "search-prod?"])
def test_globs_are_case_sensitive_and_match_the_whole_text(glob: str) -> None:
    assert not found(evidence(), role=glob)


def test_globs_are_no_regular_expressions() -> None:
    assert found(evidence(userAgent="a+b (c) x.y"), user_agent="a+b (c) x.y")
    assert not found(evidence(userAgent="a+b (c) xzy"), user_agent="a+b (c) x.y")


@pytest.mark.parametrize("condition", ["role", "session", "user_agent", "model", "principal_arn"])
def test_what_a_call_does_not_have_matches_nothing(condition: str) -> None:
    nothing = evidence(
        userIdentity={"type": "AWSService", "invokedBy": "x.amazonaws.com"},
        userAgent=None,
        requestParameters={},
    )
    assert not found(nothing, **{condition: "*"})
    assert found(evidence(), **{condition: "*"})


@cases(
    ("sent", "glob"),
    [
        (SONNET, SONNET),
        (SONNET, "us.anthropic.*"),
        (SONNET, "anthropic.claude-sonnet-4-5-*"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", "arn:aws:bedrock:*"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", HAIKU),
        (f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{SONNET}", SONNET[3:]),
        (f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc", "abc"),
    ],
)
def test_a_model_matches_by_any_of_its_names(sent: str, glob: str) -> None:
    assert found(evidence(requestParameters={"modelId": sent}), model=glob)


@cases(
    ("arn", "role"),
    [
        ("arn:aws:sts::111122223333:assumed-role/App", "App"),
        ("arn:aws:iam::111122223333:role/App", "App"),
        ("arn:aws:iam::111122223333:role/some/path/App", "App"),
        ("arn:aws:iam::111122223333:user/role/App", None),
        ("arn:aws:iam::111122223333:root", None),
        ("", None),
    ],
)
def test_the_role_in_a_principals_arn(arn: str, role: str | None) -> None:
    assert role_name_of(arn) == role


def test_a_person_is_no_role() -> None:
    person = evidence(userIdentity=user_identity("search-prod"))
    assert found(person, user="search-prod")
    assert not found(person, role="*")


def test_what_is_stored_of_a_call_is_the_same_evidence() -> None:
    event = parse_event(call(requestParameters={})).row
    assert isinstance(event, Event)
    stored = make_evidence(
        account_id=event.account_id, region=event.region, principal_arn=event.principal_arn,
        session_name=None, user_name=event.user_name, user_agent=event.user_agent,
        model_id="(not stated)",
    )  # fmt: skip
    assert stored == evidence_of(event)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"application": "a"}, "no condition"),
        ({"application": " ", "role": "r"}, "application is empty"),
        ({"application": "a", "role": ""}, "role is empty"),
        ({"application": "(unattributed)", "role": "r"}, "no call explains"),
        ({"application": "{who}", "role": "r-*"}, "{who} is in none of the conditions"),
        ({"application": "a", "role": "{x}-{x}"}, "{x} is in the conditions twice"),
        ({"application": "a", "role": "{x}", "session": "{x}"}, "{x} is in the conditions twice"),
    ],
)
def test_rules_that_make_no_sense(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ApplicationRule(**fields)


def named(rule: Rule, **fields: Any) -> str | None:
    return find_rule(compile_rules([rule]), evidence(**fields))


def by(session: str, provider: str = "id.corp.example") -> dict[str, Any]:
    context = {"webIdFederationData": {"federatedProvider": provider}}
    return {"userIdentity": role_identity("data-lab", session, **context)}


@pytest.mark.parametrize(
    ("conditions", "user", "fields", "expected"),
    [
        ({"session": "{who}-agent"}, "{who}@corp.example", by("vera-agent"), "vera@corp.example"),
        ({"session": "{first}.{last}"}, "{last}, {first}", by("vera.van.dam"), "van.dam, vera"),
        ({"role": "{team}-lab", "session": "{who}"}, "{who} ({team})", by("vera"), "vera (data)"),
        ({"provider": "id.corp.*"}, "somebody of corp", by("vera"), "somebody of corp"),
        ({"user_agent": "*exec-env/{env}_python*"}, "{env}", {}, "AWS_Lambda"),
        ({"session": "{who}-agent"}, "{who}", by("-agent"), None),
        ({"session": "{who}"}, "{who}", by("x", "id.other.example") | {"userIdentity": None}, None),
    ],
)  # fmt: skip
def test_a_rule_gives_parts_of_what_it_matched(
    conditions: dict[str, str], user: str, fields: dict[str, Any], expected: str | None
) -> None:
    assert named(UserRule(user=user, **conditions), **fields) == expected


def test_a_tag_is_a_pair_of_the_requests_metadata() -> None:
    tagged = evidence()._replace(request_metadata='{"team":"search","user":"vera=v"}')
    rules = [UserRule(user="{who}", tag="user={who}"), UserRule(user="none", tag="*")]
    assert find_rule(compile_rules(rules), tagged) == "vera=v"
    assert find_rule(compile_rules(rules), evidence()) is None


@pytest.mark.parametrize("project", ["*:project/proj_77", "proj_77", "{p}_77"])
def test_a_project_matches_by_its_arn_and_its_id(project: str) -> None:
    arn = f"arn:aws:bedrock-mantle:us-east-1:{ACCOUNT}:project/proj_77"
    rules = compile_rules([ApplicationRule(application="hit", project=project)])
    assert find_rule(rules, evidence()._replace(project=arn)) == "hit"
    assert find_rule(rules, evidence()) is None


def test_what_a_caller_wrote_cannot_be_the_reserved_name() -> None:
    hostile = evidence()._replace(request_metadata='{"user":"(unattributed)"}')
    assert find_rule(compile_rules([UserRule(user="{u}", tag="user={u}")]), hostile) is None


@given(st.text("ab*?[]!-.{}", max_size=8), st.text("ab-.[]!*x", max_size=8))
def test_a_glob_without_names_matches_as_everywhere_else(glob: str, text: str) -> None:
    if not re.search(r"\{[a-z]", glob):
        assert (Glob(glob).captures(text) is not None) == fnmatch.fnmatchcase(text, glob)


def test_no_text_makes_a_glob_slow() -> None:
    glob = Glob("".join(f"{{a{n}}}-" for n in range(30)) + "*?*[ab]*{z}!")
    started = time.process_time()
    for text in ("-" * 2048, "a-" * 1024, "ab" * 1024):
        assert glob.captures(text) is None
    assert time.process_time() - started < 0.5
