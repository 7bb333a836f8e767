"""Which team a call belongs to: by each kind of evidence, whenever it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.cloudtrail import parse_event
from etl.normalise.rows import AccountName, PrincipalTags
from etl.normalise.rules import ApplicationRule, Rule, TeamRule, UserRule
from etl.normalise.team_shares import TeamShare
from etl.normalise.teams import TeamSettings
from etl.show.report import build_report
from etl.warehouse.read.reports import Filters, usage, usage_by_team
from etl.warehouse.scratch import open_trial
from etl.warehouse.upkeep.forget import forget
from etl.warehouse.upkeep.vacuum import drop_unused_names
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.team_shares import apply_team_shares
from tests.checks import failed_checks
from tests.rounds import rounds
from tests.support import ACCOUNT, call, load, rows, write_log
from tests.team_evidence import PROFILE, assumed, profile, session_call, tags

NewWarehouse = Callable[[], AbstractContextManager[Database]]

TEAMS = "select team, team_source from calls order by event_time, event_id"


def check(db: Database) -> None:
    assert failed_checks(db) == {}


def team_of_calls(db: Database) -> dict[str, str]:
    return dict(rows(db, "select event_id, team from calls"))


def teams(db: Database) -> list[tuple[str, str]]:
    return rows(db, TEAMS)


def test_each_kind_of_evidence_wins_over_the_next(db: Database, tmp_path: Path) -> None:
    """From the weakest to the strongest: each arrives after the call, and decides it again."""
    metadata = {"requestMetadata": {"team": "By metadata"}, "modelId": PROFILE}
    load(db, write_log(tmp_path / "log.json", [session_call(1, requestParameters=metadata)]))
    role = f"arn:aws:sts::{ACCOUNT}:assumed-role/gateway"
    off = TeamSettings(metadata=("none",))
    steps: list[tuple[Callable[[], object], tuple[str, str]]] = [
        (lambda: apply_config(db, [], {}, settings=off), ("(no team)", "none")),
        (
            lambda: Loader(db).write(
                Batch(renewed={"account_names": [AccountName(ACCOUNT, "By account", "By unit")]})
            ),
            ("By account", "account name"),
        ),
        (
            lambda: apply_config(db, [], {}, settings=off._replace(account="unit")),
            ("By unit", "organizational unit"),
        ),
        (
            lambda: Loader(db).write(
                Batch(renewed={"principal_tags": [PrincipalTags(role, '{"team": "By principal"}')]})
            ),
            ("By principal", "principal tag"),
        ),
        (
            lambda: load(
                db, _json(tmp_path, {"inferenceProfileSummaries": [profile(team="By p")]})
            ),
            ("By p", "inference profile"),
        ),
        (
            lambda: apply_config(db, [], {}, settings=TeamSettings()),
            ("By metadata", "request metadata"),
        ),
        (
            lambda: load(
                db,
                write_log(tmp_path / "sts.json", [assumed(1, "ASIAONE", tags=tags(team="By s"))]),
            ),
            ("By s", "session tag"),
        ),
        (
            lambda: apply_config(db, [TeamRule(team="By rule", role="gate*")], {}),
            ("By rule", "config rule"),
        ),
    ]
    calls = 1
    for change, expected in steps:
        change()
        assert teams(db) == [expected] * calls
        calls += 1
        load(
            db, write_log(tmp_path / "log.json", [session_call(calls, requestParameters=metadata)])
        )
        assert teams(db) == [expected] * calls
        check(db)
        assert rows(db, "select name from sqlite_temp_master where name like 'team_by%'") == []
    for before in (steps[6], steps[5]):
        if before is steps[5]:
            apply_config(db, [], {}, settings=TeamSettings(tags=("none",)))
        else:
            apply_config(db, [], {})
        assert teams(db) == [before[1]] * calls
    check(db)


def _json(folder: Path, value: object) -> Path:
    path = folder / "profiles.json"
    path.write_text(json.dumps(value))
    return path


RULES: Mapping[str, TeamRule] = {
    "user": TeamRule(team="T", user="gateway"),
    "application": TeamRule(team="T", application="Chat bot"),
    "account": TeamRule(team="T", account_id=ACCOUNT),
    "role": TeamRule(team="T", role="gate*"),
    "profile by name": TeamRule(team="T", profile="chat"),
    "profile by id": TeamRule(team="T", profile="a1b2c3"),
    "tag of the request": TeamRule(team="T", tag="team=7"),
    "tag of the session": TeamRule(team="T", tag="unit=u1"),
    "tag of the profile": TeamRule(team="T", tag="stage=live"),
    "a part of it": TeamRule(team="{who}", tag="unit={who}"),
}


def test_rules_match_what_is_known_of_a_call_and_change_with_it(
    db: Database, tmp_path: Path
) -> None:
    parameters = {"requestMetadata": {"team": "7"}, "modelId": PROFILE}
    records = [
        session_call(1, requestParameters=parameters),
        assumed(1, "ASIAONE", tags=tags(unit="u1")),
    ]
    load(
        db,
        _json(
            tmp_path, {"inferenceProfileSummaries": [profile(application="Chat bot", stage="live")]}
        ),
    )
    load(db, write_log(tmp_path / "a.json", records))
    load(db, write_log(tmp_path / "b.json", [call(2, tokens=(1, 1))]))
    only_rules = TeamSettings(metadata=("none",))
    for name, rule in RULES.items():
        apply_config(db, [rule], {}, settings=only_rules)
        ruled = ("u1" if rule.team == "{who}" else "T", "config rule")
        both = name == "account"
        assert teams(db)[:2] == [ruled, ruled if both else ("(no team)", "none")], name
        # A new call is decided alike.
        load(db, write_log(tmp_path / "c.json", [session_call(3, requestParameters=parameters)]))
        assert teams(db)[-1] == ruled, name
        check(db)
    # The application and the user that rules gave.
    given: list[Rule] = [
        UserRule(user="Kim", role="gateway"),
        ApplicationRule(application="Desk", user="Kim"),
        TeamRule(team="Both", user="Kim", application="Desk"),
    ]
    apply_config(db, given, {})
    assert teams(db)[0] == ("Both", "config rule")
    apply_config(db, [], {})
    assert set(teams(db)) == {("(no team)", "none")}
    check(db)


def mantle_call(number: int, project: str) -> dict[str, Any]:
    return call(
        number,
        eventSource="bedrock-mantle.amazonaws.com",
        eventName="CreateInference",
        eventCategory="Data",
        requestParameters={"model": "openai.gpt-oss-120b"},
        resources=[{"type": "AWS::BedrockMantle::Project", "ARN": project}],
    )


def test_a_project_that_is_named_after_its_calls_has_its_team(db: Database, tmp_path: Path) -> None:
    """Stored calls have it, and later ones of a connection that knew the project by its id."""
    apply_config(db, [TeamRule(team="T", application="Nice")], {})
    arn = f"arn:aws:bedrock-mantle:us-east-1:{ACCOUNT}:project/proj_a"
    created = call(
        2,
        eventName="CreateProject",
        requestParameters={"name": "Nice"},
        responseElements={"arn": arn},
    )
    records = [mantle_call(1, arn), created, mantle_call(3, arn)]
    batches = [Batch() for _ in records]
    for batch, record in zip(batches, records, strict=True):
        row = parse_event(record).row
        assert row is not None
        batch.add(row)
    Loader(db).write_all(batches)
    assert teams(db) == [("T", "config rule")] * 2
    check(db)


CHAINS = [
    session_call(1, "ASIAONE"),
    session_call(2, "ASIATWO"),
    session_call(3, "ASIATHREE"),
    session_call(4, "ASIAFOUR"),
    session_call(5, "ASIANEVER"),
    session_call(6, "AKIALONG"),
    assumed(1, "ASIAONE", tags=tags(team="Search"), transitiveTagKeys=["team"]),
    assumed(2, "ASIATWO", by="ASIAONE"),
    assumed(3, "ASIATHREE", by="ASIATWO", incomingTransitiveTags={"team": "Search"}),
    assumed(4, "ASIAFIVE", name="AssumeRoleWithSAML", principalTags={"team": "Ads"}),
    assumed(5, "ASIAFOUR", by="ASIAFIVE"),
    session_call(7, "ASIAFIVE"),
]  # fmt: skip


@given(order=st.permutations(range(len(CHAINS))), cut=st.integers(0, len(CHAINS)))
@settings(max_examples=rounds(8, 400))
def test_session_tags_follow_the_chain_whenever_they_arrive(
    new_warehouse: NewWarehouse,
    tmp_path_factory: pytest.TempPathFactory,
    order: list[int],
    cut: int,
) -> None:
    folder = tmp_path_factory.mktemp("chains")
    with new_warehouse() as db:
        for some in (order[:cut], order[cut:]):
            if some:
                before = team_of_calls(db)
                result = load(db, write_log(folder / "one.json", [CHAINS[n] for n in some]))
                # Calls that came with this load are none that it gave another team.
                changed = before.items() - team_of_calls(db).items()
                assert result.written.calls_reattributed == len(changed)
        tag, none = "session tag", ("(no team)", "none")
        assert teams(db) == [
            *[("Search", tag)] * 3,
            # What is not transitive stays with its session.
            none, none, none, ("Ads", tag),
        ]  # fmt: skip
        check(db)
        assert rows(db, "select distinct length(credential_hash) from credentials") == [(16,)]
        # `inspect` copies them into a trial.
        told = "select count(*) from credentials where told_at is not null"
        with open_trial(db) as trial:
            assert rows(trial, told) == rows(db, told)


def test_a_hash_goes_with_its_calls_or_its_user(db: Database, tmp_path: Path) -> None:
    load(db, write_log(tmp_path / "a.json", CHAINS))
    forget(db, ["gateway"])
    # Nothing finds the sessions of a forgotten user again.
    load(db, write_log(tmp_path / "b.json", [assumed(9, "ASIANEVER", tags=tags(team="Late"))]))
    assert "Late" not in {team for team, _ in teams(db)}
    count = "select count(*) from credentials"
    (before,) = rows(db, count)[0]
    # What was told and never used may still be, for two days.
    drop_unused_names(db)
    assert rows(db, count) == [(before - 1,)]
    check(db)


@given(
    count=st.integers(0, 10**18),
    shares=st.dictionaries(
        st.text("abcdef", min_size=1, max_size=2), st.integers(1, 90), min_size=1, max_size=9
    ),
)
@settings(max_examples=rounds(60, 5_000))
def test_parts_are_whole_and_add_up(count: int, shares: dict[str, int]) -> None:
    share = TeamShare(application="a", shares=shares)
    parts = share.parts(count)
    assert sum(parts.values()) == count
    for team, part in parts.items():
        assert abs(part * share.total - count * shares[team]) < share.total
    # As SQL looks it up.
    total = share.total
    rest = share.parts(count % total)
    assert parts == {team: count // total * one + rest[team] for team, one in shares.items()}


PARTS = "sum(calls), sum(calls_with_tokens), sum(calls_without_tokens), max(is_lower_bound)"


@pytest.mark.parametrize(
    ("shares", "parts"),
    [
        ({"A": 6, "B": 6, "C": 2}, [("A", 5, 4, 1, 1), ("B", 4, 4, 0, 1), ("C", 2, 2, 0, 1)]),
        ({"A": 1}, [("A", 11, 10, 1, 1)]),
    ],
)
def test_the_parts_of_a_shared_application_agree(
    db: Database,
    tmp_path: Path,
    shares: dict[str, int],
    parts: list[tuple[Any, ...]],
) -> None:
    """A part's calls are those with and without tokens; each is as incomplete as the whole."""
    apply_config(db, [ApplicationRule(application="Gateway", role="gateway")], {})
    records = [*map(session_call, range(1, 11))]
    records.append(session_call(11) | {"additionalEventData": None})
    unknown = {"requestParameters": {"modelId": "acme.unheard-of"}}
    load(db, write_log(tmp_path / "a.json", [*records, session_call(12, **unknown)]))
    apply_team_shares(db, [TeamShare(application="Gateway", shares=shares)])
    of_known = "from daily_costs_by_team where model_id <> 'acme.unheard-of' group by 1 order by 1"
    assert rows(db, f"select team, {PARTS} {of_known}") == parts
    assert rows(db, "select max(is_lower_bound), min(is_lower_bound) from team_costs") == [(1, 1)]
    wrong = (
        "calls <> calls_with_tokens + calls_without_tokens or unpriced_calls > calls"
        " or cost_picodollars is not list_cost_picodollars"
        " or cost_picodollars <> actual_cost_picodollars + coalesce(estimated_cost_picodollars, 0)"
    )
    assert rows(db, f"select * from daily_costs_by_team where {wrong}") == []
    check(db)


def test_a_shared_application_is_split_in_the_views_of_teams_alone(
    db: Database, tmp_path: Path
) -> None:
    rule = ApplicationRule(application="Gateway", role="gateway")
    apply_config(db, [rule, TeamRule(team="Own", user="carol")], {})
    others = [call(n, tokens=(7 * n, n)) for n in range(20, 25)]
    load(db, write_log(tmp_path / "a.json", [*map(session_call, range(1, 8)), *others]))
    columns = "sum(calls), sum(input_tokens), sum(output_tokens), sum(cost_picodollars)"
    whole = f"select {columns} from daily_costs_by_application"
    shared = TeamShare(application="Gateway", shares={"Search": 3, "Ads": 2, "Desk": 2})
    assert apply_team_shares(db, [shared]) and not apply_team_shares(db, [shared])
    assert rows(db, f"select {columns} from daily_costs_by_team") == rows(db, whole)
    split = f"{columns.replace('sum(calls), ', '')} from daily_costs_by_team where team in ('Search', 'Ads', 'Desk')"
    assert rows(db, f"select {split}") == rows(
        db, f"{whole.replace('sum(calls), ', '')} where application = 'Gateway'"
    )
    names = {team for (team,) in rows(db, "select team from team_costs")}
    assert {"Search", "Ads", "Desk"} <= names
    report = build_report(db, "teams", Filters(), breakdown=True)
    shown = [
        (row["team"], row["calls"], row["input_tokens"], row["cost_usd"]) for row in report.rows
    ]
    assert sorted(shown) == sorted(
        rows(db, "select team, calls, input_tokens, cost_usd from team_costs")
    )
    assert report.shared == "Split by fixed shares: Gateway."
    assert report.total == usage(db, Filters())[0]
    assert sum(row["calls"] for row in report.details) == 12
    of_ads = build_report(db, "teams", Filters(teams=("Ads",)))
    assert [of_ads.total["calls"]] == [calls for team, calls, *_ in shown if team == "Ads"]
    # A share is of all usage: some users' calls have the team of their evidence.
    of_some = build_report(db, "teams", Filters(users=("carol",)))
    assert not {row["team"] for row in of_some.rows} & {"Search", "Ads", "Desk"}
    assert of_some.shared.startswith("Not split by the shares of Gateway: ")
    # The evidence itself stays.
    assert not names & {"Search", "Ads", "Desk"} & {team for team, _ in teams(db)}
    check(db)
    apply_team_shares(db, [])
    assert "Ads" not in {team for (team,) in rows(db, "select team from team_costs")}
    for by in ((), ("team",), ("team", "region", "model_id")):
        assert list(map(list, map(dict.items, usage_by_team(db, Filters(), by=by)))) == list(
            map(list, map(dict.items, usage(db, Filters(), by=by)))
        )
