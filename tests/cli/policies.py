"""Compare what ``policy`` prints with the requests that a fake AWS received."""

from __future__ import annotations

import json
from typing import Any

from tests.aws import FakeAws
from tests.cli.running import run

# AWS allows it to everybody.
FREE = "sts:GetCallerIdentity"


def policy(*words: str) -> dict[str, Any]:
    status, out, err = run("policy", *words)
    assert status == 0, err
    document: dict[str, Any] = json.loads(out)
    assert document["Version"] == "2012-10-17"
    return document


def allowed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the resource of each action; each action occurs once."""
    pairs = [(action, one["Resource"]) for one in document["Statement"] for action in one["Action"]]
    assert all(one["Effect"] == "Allow" for one in document["Statement"])
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def requested(aws: FakeAws, account: str) -> set[str]:
    return {f"{one.service}:{one.operation}" for one in aws.requests if one.account == account}
