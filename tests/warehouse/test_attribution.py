"""The configuration's rules and aliases apply to old and new calls, and can be removed."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.cloudtrail import parse_event
from etl.normalise.profiles import parse_profile
from etl.normalise.rows import Event
from etl.normalise.rules import ApplicationRule, UserRule, conditions_of
from etl.warehouse.database import open_warehouse
from etl.warehouse.schema import migrations
from etl.warehouse.turns import Patience, Warehouse
from etl.warehouse.write.attribution import (
    _KEYS,
    Attribution,
    apply_application_tag,
    apply_config,
    stored_aliases,
    stored_rules,
)
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.rollup import hours_of
from tests.checks import failed_checks
from tests.rounds import rounds, some
from tests.support import (
    ACCOUNT,
    HAIKU,
    SONNET,
    call,
    dump,
    load,
    role_identity,
    rows,
    service_event,
    uuid_of,
    write_log,
    write_metrics,
)  # fmt: skip

NewWarehouse = Callable[[], AbstractContextManager[Database]]

APPLICATIONS = "select event_id, application, application_source from calls order by event_time, 1"
COSTS = "select application, sum(calls), sum(input_tokens) from usage_cost group by 1 order by 1"

SEARCH = ApplicationRule(application="Search", role="search-*")
ALICE = ApplicationRule(application="Alice's", user="alice")


def load_records(db: Database, tmp_path: Path, *records: object) -> None:
    load(db, write_log(tmp_path / "log.json", records))


def by_role(number: int, role: str, **fields: Any) -> dict[str, Any]:
    return call(number, userIdentity=role_identity(role), tokens=(5, 6), **fields)


def applications(db: Database) -> list[tuple[str, str]]:
    return [row[1:] for row in rows(db, APPLICATIONS)]


def check(db: Database) -> None:
    """Assert that every check holds, and that found_application_key is where it must be."""
    assert failed_checks(db) == {}
    wrong = (
        "select event_id from events join applications using (application_key)"
        " where (application_source = 'config rule') <> (found_application_key is not null)"
    )
    assert rows(db, wrong) == []


def test_stored_calls_are_attributed_when_the_rules_change_and_go_back(
    db: Database, tmp_path: Path
) -> None:
    load_records(
        db,
        tmp_path,
        by_role(1, "search-prod"),
        by_role(2, "Shop-BedrockRole"),
        call(3, tokens=(1, 1)),
    )
    before = rows(db, "select * from calls order by 1, 2"), rows(db, "select * from usage_cost")
    assert apply_config(db, [SEARCH], {}) == Attribution(calls_changed=1)
    assert applications(db) == [
        ("Search", "config rule"), ("Shop", "role name"), ("Unknown", "unknown")
    ]  # fmt: skip
    assert rows(db, COSTS) == [("Search", 1, 5), ("Shop", 1, 5), ("Unknown", 1, 1)]
    assert rows(db, "select application, calls from application_costs order by 1") == [
        ("Search", 1), ("Shop", 1), ("Unknown", 1)
    ]  # fmt: skip
    check(db)
    over_all = ApplicationRule(application="All", region="*")
    assert apply_config(db, [SEARCH, over_all], {}) == Attribution(calls_changed=2)
    assert applications(db) == [
        ("Search", "config rule"), ("All", "config rule"), ("All", "config rule")
    ]  # fmt: skip
    check(db)
    assert apply_config(db, [over_all, SEARCH], {}) == Attribution(calls_changed=1)
    assert applications(db) == [("All", "config rule")] * 3
    check(db)
    assert apply_config(db, [], {}) == Attribution(calls_changed=3)
    after = rows(db, "select * from calls order by 1, 2"), rows(db, "select * from usage_cost")
    assert after == before
    check(db)


def test_new_calls_obey_the_stored_rules(db: Database, tmp_path: Path) -> None:
    apply_config(db, [SEARCH], {})
    load_records(db, tmp_path, by_role(1, "search-prod"), by_role(2, "Shop-BedrockRole"))
    assert applications(db) == [("Search", "config rule"), ("Shop", "role name")]
    check(db)
    apply_config(db, [], {})
    assert applications(db) == [("Unknown", "unknown"), ("Shop", "role name")]
    check(db)


def test_a_writer_obeys_rules_that_another_process_changed(db: Database, tmp_path: Path) -> None:
    loader = Loader(db)
    for number, rules, name in (
        (1, [SEARCH], "Search"),
        (2, [], "Unknown"),
        (3, [SEARCH], "Search"),
    ):
        with open_warehouse(tmp_path / "warehouse.db") as other:
            apply_config(other, rules, {})
        event = parse_event(by_role(number, "search-prod")).row
        assert isinstance(event, Event)
        loader.write(Batch(events=[event]))
        assert {application for application, _ in applications(db)} == {name}
    check(db)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("rules_first", [True, False])
def test_rules_are_matched_against_the_names_of_a_correction(
    db: Database, tmp_path: Path, order: tuple[int, ...], rules_first: bool
) -> None:
    records = [
        by_role(1, "search-prod"),
        call(2, user="bob", addendum={"originalEventID": uuid_of(1)}, userAgent="Shop/1.0"),
    ]
    if rules_first:
        apply_config(db, [SEARCH], {})
    for position in order:
        load_records(db, tmp_path, records[position])
    apply_config(db, [SEARCH], {})
    assert rows(db, APPLICATIONS) == [(uuid_of(1), "Shop", "user agent")]
    check(db)


def test_a_late_service_event_leaves_the_application_alone(db: Database, tmp_path: Path) -> None:
    load_records(db, tmp_path, call(1))
    apply_config(db, [ALICE], {})
    load_records(db, tmp_path, service_event(2, 1, {"inputTokens": 7, "outputTokens": 8}))
    assert rows(db, COSTS) == [("Alice's", 1, 7)]
    check(db)


@pytest.mark.parametrize("condition", some(conditions_of(ApplicationRule), 4))
def test_every_condition_matches_stored_and_new_calls_alike(
    db: Database, tmp_path: Path, condition: str
) -> None:
    """Of two calls that differ in one field, a rule on it matches one, whether stored or new."""
    differences: dict[str, tuple[dict[str, Any], str]] = {
        "role": ({"userIdentity": role_identity("blue-role", "s")}, "blue-*"),
        "user": ({"user": "blue"}, "blue"),
        "session": ({"userIdentity": role_identity("r", "blue-session")}, "blue-*"),
        "principal_arn": ({"user": "blue"}, "arn:*:user/blue"),
        "user_agent": ({"userAgent": "Blue/1.0"}, "Blue*"),
        "account_id": ({"recipientAccountId": "444455556666"}, "4444*"),
        "region": ({"awsRegion": "eu-west-1"}, "eu-*"),
        "model": ({"requestParameters": {"modelId": SONNET}}, "anthropic.claude-sonnet-*"),
    }
    fields, glob = differences[condition]
    rule = ApplicationRule(application="Blue", **{condition: glob})
    load_records(db, tmp_path, call(1), call(2, **fields), call(3, requestParameters={}))
    assert apply_config(db, [rule], {}) == Attribution(calls_changed=1)
    load_records(db, tmp_path, call(11), call(12, **fields), call(13, requestParameters={}))
    hits = "select event_id from calls where application = 'Blue' order by 1"
    assert rows(db, hits) == [(uuid_of(2),), (uuid_of(12),)]
    check(db)


def test_a_call_that_states_no_model_has_none_for_a_rule(db: Database, tmp_path: Path) -> None:
    load_records(db, tmp_path, call(1, requestParameters={}), call(2))
    apply_config(db, [ApplicationRule(application="Any model", model="*")], {})
    load_records(db, tmp_path, call(3, requestParameters={}), call(4))
    assert [name for name, _ in applications(db)] == ["Unknown", "Any model"] * 2


def test_every_condition_has_a_key() -> None:
    assert list(_KEYS) == list(conditions_of(ApplicationRule))


def test_a_rule_on_a_session_leaves_calls_without_one_to_the_next(
    db: Database, tmp_path: Path
) -> None:
    load_records(db, tmp_path, call(1), by_role(2, "search-prod"), call(3, user="bob"))
    apply_config(db, [ApplicationRule(application="Sessions", session="*"), ALICE], {})
    assert [name for name, _ in applications(db)] == ["Alice's", "Sessions", "Unknown"]
    check(db)


def test_a_rule_wins_over_an_inference_profile_before_and_after_it_is_loaded(
    db: Database, tmp_path: Path
) -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc"
    profile = parse_profile(
        {
            "inferenceProfileArn": arn, "inferenceProfileName": "Profile", "type": "APPLICATION",
            "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
        }
    )  # fmt: skip
    sent = {"requestParameters": {"modelId": arn}, "tokens": (5, 6)}
    load_records(db, tmp_path, call(1, **sent), call(2, user="bob", **sent))
    Loader(db).write(Batch(profiles=[profile]))
    assert applications(db) == [("Profile", "inference profile")] * 2
    apply_config(db, [ALICE], {})
    expected = [("Alice's", "config rule"), ("Profile", "inference profile")]
    assert applications(db) == expected
    assert rows(db, COSTS) == [("Alice's", 1, 5), ("Profile", 1, 5)]
    check(db)
    apply_config(db, [], {})
    assert applications(db) == [("Profile", "inference profile")] * 2


def test_estimates_follow_the_application(db: Database, tmp_path: Path) -> None:
    load_records(db, tmp_path, call(1), call(2, user="bob"))
    load(db, write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 100)]))
    assert rows(db, COSTS) == [("Unknown", 2, 100)]
    apply_config(db, [ALICE], {})
    assert rows(db, COSTS) == [("Alice's", 1, 50), ("Unknown", 1, 50)]
    check(db)


def test_a_rule_may_call_something_unknown_or_give_the_name_it_has(
    db: Database, tmp_path: Path
) -> None:
    load_records(db, tmp_path, call(1, userAgent="Shop/1.0"))
    for name in ("Shop", "Unknown"):
        apply_config(db, [ApplicationRule(application=name, user="alice")], {})
        assert applications(db) == [(name, "config rule")]
        check(db)
    apply_config(db, [], {})
    assert applications(db) == [("Shop", "user agent")]


def test_the_same_configuration_again_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        load_records(db, tmp_path, call(1))
        assert apply_config(db, [ALICE, SEARCH], {"alice": "A."}) == Attribution(1, 1)
        before = db.conn.total_changes
        assert apply_config(db, [ALICE, SEARCH], {"alice": "A."}) == Attribution()
        assert db.conn.total_changes == before
        assert stored_rules(db) == (ALICE, SEARCH)
        assert stored_aliases(db) == {"alice": "A."}
        assert not db.conn.in_transaction


def test_the_same_configuration_again_waits_for_no_other_writer(
    db: Database, tmp_path: Path
) -> None:
    apply_config(db, [ALICE], {"alice": "A."})
    assert isinstance(db, Warehouse)
    db.patience = Patience(limit=0)
    with open_warehouse(tmp_path / "warehouse.db") as other:
        other.execute("begin immediate")
        assert apply_config(db, [ALICE], {"alice": "A."}) == Attribution()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            apply_config(db, [], {})


def test_a_change_that_fails_half_way_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.db"

    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    with open_warehouse(path, create=True) as db:
        load_records(db, tmp_path, call(1), call(2, eventTime="2026-11-03T10:00:00Z"))
        apply_config(db, [SEARCH], {"bob": "B."})
        before = dump(path)
        with monkeypatch.context() as patch:
            patch.setattr("etl.warehouse.write.attribution.renew", fail)
            with pytest.raises(RuntimeError):
                apply_config(db, [ALICE], {"alice": "A."})
        assert dump(path) == before
        assert apply_config(db, [ALICE], {"alice": "A."}).calls_changed == 2
        check(db)


def test_days_far_apart_are_all_attributed(db: Database, tmp_path: Path) -> None:
    times = ["2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z", "2026-11-02T10:00:00Z"]
    load_records(db, tmp_path, *[
        call(n, eventTime=time, errorCode="x" if n == 1 else None) for n, time in enumerate(times)
    ])  # fmt: skip
    assert apply_config(db, [ALICE], {}).calls_changed == 3
    assert {name for name, _ in applications(db)} == {"Alice's"}
    check(db)


def test_hits_and_changed_calls_are_looked_up_by_their_whole_key(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one second with many calls, or a rule that matches many sessions, takes forever."""
    load_records(db, tmp_path, call(1), by_role(2, "search-prod"))
    statements: list[str] = []
    plans: set[str] = set()

    def explain(*arguments: Any) -> set[str]:
        # The temporary tables exist now, and only now.
        for sql in [s for s in statements if re.match(r"\s*(update events|insert into attr)", s)]:
            plans.update(step for *_, step in rows(db, f"explain query plan {sql}"))
        return hours_of(*arguments)

    monkeypatch.setattr("etl.warehouse.write.attribution.hours_of", explain)
    db.conn.set_trace_callback(statements.append)
    apply_config(db, [ApplicationRule(application="S", session="*", user="*")], {})
    lookups = {re.sub(r" USING (COVERING )?INDEX \w+| LEFT-JOIN", "", plan) for plan in plans}
    assert lookups == {
        "SEARCH events USING PRIMARY KEY (event_time>? AND event_time<?)",
        "SEARCH application_hits (session_key=? AND user_key=?)",
        # The team that a call has so far.
        "SEARCH stored USING INTEGER PRIMARY KEY (rowid=?)",
        "SCAN calls",
        "SEARCH events USING PRIMARY KEY (event_time=? AND event_id=?)",
    }


def by_session(number: int, session: str, **fields: Any) -> dict[str, Any]:
    return call(number, userIdentity=role_identity("lab", session), tokens=(5, 6), **fields)


USERS = "select user_name, sum(calls), sum(input_tokens) from usage_cost group by 1 order by 1"
AGENTS = UserRule(user="{who}@corp.example", session="{who}-agent")


def test_a_rule_gives_stored_and_new_calls_their_user_and_can_go_again(
    db: Database, tmp_path: Path
) -> None:
    load_records(db, tmp_path, by_session(1, "vera-agent"), by_session(2, "i-0123456789abcdef0"))
    before = rows(db, "select * from calls"), rows(db, "select * from usage_cost")
    assert rows(db, USERS) == [("lab", 2, 10)]
    assert apply_config(db, [AGENTS], {}) == Attribution(calls_changed=1)
    load_records(db, tmp_path, by_session(3, "vera-agent"), by_session(4, "vera@corp.example"))
    assert rows(db, USERS) == [("lab", 1, 5), ("vera@corp.example", 3, 15)]
    check(db)
    # An application rule sees the user that the rule gave, whichever is listed first.
    vera = ApplicationRule(application="Vera's", user="vera@*")
    assert apply_config(db, [vera, AGENTS], {}) == Attribution(calls_changed=3)
    assert rows(db, COSTS) == [("Unknown", 1, 5), ("Vera's", 3, 15)]
    check(db)
    assert apply_config(db, [AGENTS], {"vera@corp.example": "Vera"}).users_renamed == 1
    assert rows(db, USERS) == [("Vera", 3, 15), ("lab", 1, 5)]
    apply_config(db, [], {})
    rest = "event_time || event_id not like '%-00000000000_'"
    assert rows(db, USERS) == [("lab", 3, 15), ("vera@corp.example", 1, 5)]
    assert rows(db, f"select * from calls where {rest} or input_tokens = 5 limit 2") == before[0]
    check(db)


def test_an_alias_may_be_a_pattern_for_users_now_and_later(db: Database, tmp_path: Path) -> None:
    aliases = {"{who}@old.example": "{who}@corp.example", "ada@old.example": "Ada", "*": "others"}
    load_records(db, tmp_path, by_session(1, "vera@old.example"), by_session(2, "ada@old.example"))
    assert apply_config(db, [], aliases).users_renamed == 2
    load_records(db, tmp_path, by_session(3, "kim@old.example"), by_session(4, "i-01234567"))
    assert rows(db, USERS) == [
        ("Ada", 1, 5), ("kim@corp.example", 1, 5), ("others", 1, 5), ("vera@corp.example", 1, 5)
    ]  # fmt: skip
    assert apply_config(db, [], aliases) == Attribution()
    assert apply_config(db, [], {"ada@old.example": "Ada"}).users_renamed == 3
    assert len(rows(db, "select 1 from users where alias is not null")) == 1


def test_a_project_is_named_by_the_configuration_by_its_tags_else_by_its_id(
    db: Database, tmp_path: Path
) -> None:
    arn = f"arn:aws:bedrock-mantle:us-east-1:{ACCOUNT}:project/"
    load_records(db, tmp_path, *[
        call(n, eventSource="bedrock-mantle.amazonaws.com", eventName="CreateInference",
             eventCategory="Data", userAgent="acme/1.0", tokens=(5, 6),
             requestParameters={"model": "openai.gpt-oss-120b"},
             resources=[{"type": "AWS::BedrockMantle::Project", "ARN": f"{arn}{project}"}])
        for n, project in enumerate(["proj_a", "proj_b", "default"])
    ])  # fmt: skip
    assert rows(db, COSTS) == [("acme", 1, 5), ("proj_a", 1, 5), ("proj_b", 1, 5)]
    apply_config(db, [], {}, {"proj_a": "Tickets"})
    tags = [{"key": "app", "value": "Catalogue"}, {"key": "cost-center", "value": "7"}]
    created = {"eventName": "CreateProject", "responseElements": {"arn": f"{arn}proj_b"}}
    load_records(db, tmp_path, call(8, requestParameters={"name": "B", "tags": tags}, **created))
    assert {name for name, *_ in rows(db, COSTS)} == {"Tickets", "B", "acme"}
    assert apply_application_tag(db, ("application", "app")) == 1
    load_records(db, tmp_path, call(9))
    rules = [ApplicationRule(application="Shared", project="*:project/default")]
    apply_config(db, rules, {}, {"proj_a": "Tickets"})
    assert rows(db, "select application, calls from application_costs order by 1") == [
        ("Catalogue", 1), ("Shared", 1), ("Tickets", 1), ("Unknown", 1)
    ]  # fmt: skip
    check(db)


def test_an_alias_is_shown_everywhere_and_the_raw_name_stays_in_calls(
    db: Database, tmp_path: Path
) -> None:
    load_records(
        db, tmp_path, call(1, user="key-1", tokens=(5, 6)), call(2, user="bob", tokens=(1, 1))
    )
    assert apply_config(db, [], {"key-1": "Nightly batch"}) == Attribution(users_renamed=1)
    assert rows(db, "select user_name, raw_user_name from calls order by 2") == [
        ("bob", "bob"), ("Nightly batch", "key-1")
    ]  # fmt: skip
    for view in ("usage_cost", "usage_cost_daily", "user_costs", "user_breakdown"):
        names = {name for (name,) in rows(db, f"select user_name from {view}")}
        assert names == {"Nightly batch", "bob"}, view
    check(db)
    assert apply_config(db, [], {}) == Attribution(users_renamed=1)
    assert {name for (name,) in rows(db, "select user_name from user_costs")} == {"key-1", "bob"}


def test_users_with_one_name_are_one_user(db: Database, tmp_path: Path) -> None:
    load_records(
        db,
        tmp_path,
        *[call(n, user=user, tokens=(5, 6)) for n, user in enumerate(("k-1", "k-2", "alice"))],
    )
    apply_config(db, [], {"k-1": "alice", "k-2": "alice"})
    assert rows(db, "select user_name, calls, input_tokens from user_costs") == [("alice", 3, 15)]
    assert rows(db, "select user_name, calls from usage_cost") == [("alice", 3)]
    check(db)


def test_a_user_may_have_an_alias_before_its_first_call(db: Database, tmp_path: Path) -> None:
    apply_config(db, [], {"alice": "A."})
    assert rows(db, "select * from user_costs") == []
    load_records(db, tmp_path, call(1))
    assert rows(db, "select user_name from user_costs") == [("A.",)]


def test_a_rule_knows_a_user_by_the_raw_name(db: Database, tmp_path: Path) -> None:
    load_records(db, tmp_path, call(1))
    apply_config(db, [ALICE], {"alice": "A."})
    load_records(db, tmp_path, call(2))
    assert applications(db) == [("Alice's", "config rule")] * 2


def test_usage_that_no_call_explains_keeps_its_name(db: Database, tmp_path: Path) -> None:
    load(db, write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 100)]))
    apply_config(db, [ApplicationRule(application="All", region="*")], {"alice": "A."})
    assert rows(db, "select user_name, application, input_tokens from usage_cost") == [
        ("(unattributed)", "(unattributed)", 100)
    ]
    assert rows(db, "select input_tokens from unattributed_usage") == [(100,)]
    check(db)


def test_events_stored_before_there_were_rules(tmp_path: Path) -> None:
    path, old_path = tmp_path / "new.db", tmp_path / "old.db"
    with open_warehouse(path, create=True) as db:
        load_records(db, tmp_path, by_role(1, "search-prod"), call(2, userAgent="Shop/1.0"))
        load(db, write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 1000)]))
    old = Database(sqlite3.connect(old_path, isolation_level=None))
    migrations.apply(old, stop_before="m009_create_attribution")
    old.execute("attach ? as new", [str(path)])
    for (table,) in rows(old, "select name from main.sqlite_master where type = 'table'"):
        # Opening the warehouse fills the others.
        if not table.startswith(("_sqlite", "sqlite", "token_sources", "prices", "seeds")):
            columns = ", ".join(old.table(table).columns_dict)
            old.execute(f"delete from main.{table}")
            old.execute(f"insert into main.{table} ({columns}) select {columns} from new.{table}")
    assert "alias" not in old.table("users").columns_dict
    old.close()
    with open_warehouse(old_path) as db:
        assert applications(db) == [("Unknown", "unknown"), ("Shop", "user agent")]
        check(db)
        assert apply_config(db, [SEARCH, ALICE], {"alice": "A."}) == Attribution(2, 1)
        load_records(db, tmp_path, by_role(3, "search-dev"))
        assert [name for name, _ in applications(db)] == ["Search", "Alice's", "Search"]
        assert {name for (name,) in rows(db, "select user_name from calls")} == {
            "search-prod", "search-dev", "A."
        }  # fmt: skip
        check(db)
        apply_config(db, [], {})
        assert [name for name, _ in applications(db)] == ["Unknown", "Shop", "Unknown"]
        check(db)


RULES = (
    SEARCH,
    ALICE,
    ApplicationRule(application="Nights", session="night-*"),
    ApplicationRule(application="Europe", region="eu-*", user="*"),
    ApplicationRule(application="Shop", user_agent="Shop/*"),
    ApplicationRule(application="Sonnet", model="anthropic.claude-sonnet-*", principal_arn="arn:*"),
    ApplicationRule(application="Other", account_id="4*"),
    ApplicationRule(application="Alice's", role="night-*"),
    ApplicationRule(application="Nobody's", user="nobody*"),
    UserRule(user="bob", role="search-*"),
    UserRule(user="nobody of {region}", region="{region}-1", session="*"),
    UserRule(user="the {app}", user_agent="{app}/1.0"),
)

# Divisible by any number of calls below, so that no share depends on the order of keys.
SHAREABLE = 27_720


def _record(number: int, kind: str) -> dict[str, Any]:
    tokens = (number * SHAREABLE, number) if number % 2 else None
    varied: dict[str, Any] = {
        "userAgent": ("Shop/1.0", "Boto3/1.42.97", None)[number % 3],
        "awsRegion": ("us-east-1", "eu-west-1")[number // 2 % 2],
        "requestParameters": ({"modelId": HAIKU}, {"modelId": SONNET}, {})[number // 3 % 3],
    }
    if number >= 4:
        varied["userIdentity"] = role_identity(
            ("search-prod", "night-job", "Shop-BedrockRole")[number % 3], f"night-{number}"
        )
    if kind == "service":
        return service_event(
            100 + number, number, {"inputTokens": SHAREABLE, "outputTokens": number},
            awsRegion=varied["awsRegion"],
        )  # fmt: skip
    if kind == "copy":
        copied = {"sharedEventID": uuid_of(number), "recipientAccountId": "444455556666"}
        return call(200 + number, tokens=tokens, **varied, **copied)
    if kind == "correction":
        varied["userIdentity"] = role_identity("search-corrected")
        return call(
            300 + number, tokens=tokens, addendum={"originalEventID": uuid_of(number)}, **varied
        )
    if kind == "failed":
        return call(400 + number, errorCode="ThrottlingException", **varied)
    user = ("alice", "bob")[number % 2]
    return call(number, user=user, tokens=tokens, sharedEventID=uuid_of(number), **varied)


RECORDS = st.lists(
    st.tuples(
        st.integers(0, 9), st.sampled_from(["call", "service", "copy", "correction", "failed"])
    ),
    min_size=1,
    max_size=6,
)
RULE_LISTS = st.lists(st.sampled_from(RULES), max_size=4, unique=True)
ALIASES = st.dictionaries(
    st.sampled_from(["alice", "bob", "search-prod", "nobody"]), st.sampled_from(["X", "bob", "Y"])
)
STEPS = st.lists(
    st.tuples(st.just("load"), RECORDS)
    | st.tuples(st.just("totals"), st.integers(1, 4))
    | st.tuples(st.just("configure"), st.tuples(RULE_LISTS, ALIASES)),
    max_size=8,
)


def _do(db: Database, step: str, value: Any) -> None:
    folder = Path(rows(db, "pragma database_list")[0][2]).parent
    if step == "load":
        load(db, write_log(folder / "log.json", [_record(*which) for which in value]))
    elif step == "totals":
        total = value * 100 * SHAREABLE
        load(db, write_metrics(folder / "m.csv", [(HAIKU, "InputTokenCount", total), (SONNET, "InputTokenCount", total)]))  # fmt: skip
    else:
        apply_config(db, *value)


def _shown(db: Database) -> list[list[tuple[Any, ...]]]:
    return [sorted(rows(db, f"select * from {view}"), key=repr) for view in ("calls", "usage_cost")]


@settings(max_examples=rounds(7, 300))
@given(STEPS)
def test_whatever_came_before_the_last_rules_decide(
    new_warehouse: NewWarehouse, steps: list[tuple[str, Any]]
) -> None:
    last = next((value for step, value in reversed(steps) if step == "configure"), ([], {}))
    with new_warehouse() as db, new_warehouse() as fresh:
        for step, value in steps:
            _do(db, step, value)
        check(db)
        apply_config(fresh, *last)
        for step, value in steps:
            if step != "configure":
                _do(fresh, step, value)
        assert _shown(db) == _shown(fresh)
