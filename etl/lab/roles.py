"""The roles of the lab: create, repair, delete.

A role is ours if it carries ``TAG``, which it gets when it is created; any other role of its name
is left alone. First the roles are examined (``survey``), then a flat list of steps is planned, then
the steps are carried out role by role. A failure in one role does not stop the others. The next run
examines the roles again, so the same command finishes an interrupted run.

A role may call models and nothing else, and only callers of its own account may assume it. Its
policy names foundation models of every region, because a cross-region profile routes to others.

Sources: API reference of IAM; "Prerequisites for inference profiles" in the Bedrock user guide
(checked 2026-11-26).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from etl.clock import Clock
from etl.errors import AccessError, SourceError
from etl.lab.caller import LabCaller
from etl.policy import ASSUME_ROLE, LAB_CALLS, LAB_TAG, VERSION
from etl.sources.aws import DENIED, NotFoundError, Place

TAG, TAG_VALUE = LAB_TAG
POLICY = "bedrock-invoke"
SESSION_NAME = "bedrock-usage-lab"
DESCRIPTION = "Made by bedrock-usage lab: may call models, to be deleted with it"
LOOK_SECONDS = 5.0

MISSING, READY, INCOMPLETE, FOREIGN = "missing", "ready", "incomplete", "not ours"
_WRITTEN = "ResponseMetadata"


@dataclass(frozen=True)
class Role:
    """A role as found. ``lacks``: what has to be set; ``extra``: policies that are not ours."""

    name: str
    state: str
    arn: str | None = None
    lacks: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


class RoleStep(NamedTuple):
    """One thing to do to a role, or why nothing is done.

    ``leave``: the change cannot be made; ``keep``: the role is not the lab's.
    """

    role: str
    action: str
    detail: str


class Done(NamedTuple):
    """The result of a role's steps; ``problem`` None if all succeeded."""

    role: str
    problem: str | None


def trust_policy(caller: LabCaller) -> dict[str, Any]:
    """Return who may assume the roles: the caller's account, where a policy allows it."""
    principal = f"arn:{caller.partition}:iam::{caller.account_id}:root"
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": ASSUME_ROLE}
    return {"Version": VERSION, "Statement": [statement]}


def invoke_policy(caller: LabCaller) -> dict[str, Any]:
    """Return what the roles may do. Converse needs no separate action."""
    arn = f"arn:{caller.partition}:bedrock:*:"
    statement = {
        "Effect": "Allow",
        "Action": list(LAB_CALLS),
        "Resource": [
            f"{arn}:foundation-model/*",
            f"{arn}{caller.account_id}:inference-profile/*",
            f"{arn}{caller.account_id}:application-inference-profile/*",
        ],
    }
    return {"Version": VERSION, "Statement": [statement]}


def survey(place: Place, caller: LabCaller, names: Iterable[str]) -> list[Role]:
    """Return each role as it is. Raises the kinds of SourceError."""
    return [_look_at(place, caller, name) for name in names]


def _look_at(place: Place, caller: LabCaller, name: str) -> Role:
    try:
        found = place.call("iam", "GetRole", {"RoleName": name}, requires="Role")["Role"]
    except NotFoundError:
        return Role(name, MISSING)
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
    if tags.get(TAG) != TAG_VALUE:
        return Role(name, FOREIGN, found["Arn"])
    lacks = [] if found.get("AssumeRolePolicyDocument") == trust_policy(caller) else ["trust"]
    lacks += [] if _policy_of(place, name) == invoke_policy(caller) else ["policy"]
    state = INCOMPLETE if lacks else READY
    return Role(name, state, found["Arn"], tuple(lacks), tuple(_foreign_policies(place, name)))


def _policy_of(place: Place, name: str) -> Any:
    query = {"RoleName": name, "PolicyName": POLICY}
    try:
        answer = place.call("iam", "GetRolePolicy", query, requires="PolicyDocument")
    except NotFoundError:
        return None
    return answer["PolicyDocument"]


def _foreign_policies(place: Place, name: str) -> Iterator[str]:
    """Yield the policies of a role that the lab did not make."""
    query = {"RoleName": name}
    inline = place.call("iam", "ListRolePolicies", query, requires="PolicyNames")
    yield from (policy for policy in inline["PolicyNames"] if policy != POLICY)
    attached = place.call("iam", "ListAttachedRolePolicies", query, requires="AttachedPolicies")
    yield from (policy["PolicyArn"] for policy in attached["AttachedPolicies"])


def plan_creation(roles: Iterable[Role]) -> list[RoleStep]:
    """Return the steps that create or repair the roles; empty if there is nothing to do."""
    steps = []
    for role in roles:
        if role.state == MISSING:
            steps.append(RoleStep(role.name, "create role", f"trusts its account, tag {TAG}"))
        if role.state == FOREIGN:
            steps.append(
                RoleStep(role.name, "leave", f"exists without the tag {TAG}: not the lab's")
            )
        if "trust" in role.lacks:
            steps.append(RoleStep(role.name, "set trust", "its account only"))
        if role.state == MISSING or "policy" in role.lacks:
            steps.append(RoleStep(role.name, "put policy", f"{POLICY}: call models, nothing else"))
    return steps


def plan_deletion(roles: Iterable[Role]) -> list[RoleStep]:
    """Return the steps that delete the roles that are ours."""
    steps = []
    for role in roles:
        if role.state == FOREIGN:
            steps.append(RoleStep(role.name, "keep", f"has no tag {TAG}: not the lab's"))
        elif role.extra:
            detail = f"has policies that the lab did not make: {', '.join(role.extra)}"
            steps.append(RoleStep(role.name, "leave", f"{detail}; remove them first"))
        elif role.state != MISSING:
            steps.append(RoleStep(role.name, "delete policy", POLICY))
            steps.append(RoleStep(role.name, "delete role", role.arn or role.name))
    return steps


def carry_out(
    place: Place, caller: LabCaller, steps: Sequence[RoleStep], *, path: str
) -> Iterator[Done]:
    """Do the steps, and yield the result of each role. ``path``: the IAM path of new roles."""
    for role in dict.fromkeys(step.role for step in steps):
        problem = None
        try:
            for step in (step for step in steps if step.role == role):
                if step.action == "leave":
                    problem = f"left alone: {step.detail}"
                elif step.action != "keep":
                    _ACTIONS[step.action](place, caller, role, path)
        except SourceError as error:
            problem = str(error)
        yield Done(role, problem)


def _create(place: Place, caller: LabCaller, name: str, path: str) -> None:
    parameters = {
        "RoleName": name,
        "Path": path,
        "AssumeRolePolicyDocument": json.dumps(trust_policy(caller)),
        "Description": DESCRIPTION,
        "Tags": [{"Key": TAG, "Value": TAG_VALUE}],
    }
    try:
        place.call("iam", "CreateRole", parameters, requires="Role")
    except AccessError as error:
        # An attempt whose answer was lost may have made it, or someone else may have.
        if error.code != "EntityAlreadyExists" or _look_at(place, caller, name).state == FOREIGN:
            raise


def _set_trust(place: Place, caller: LabCaller, name: str, _: str) -> None:
    parameters = {"RoleName": name, "PolicyDocument": json.dumps(trust_policy(caller))}
    place.call("iam", "UpdateAssumeRolePolicy", parameters, requires=_WRITTEN)


def _put_policy(place: Place, caller: LabCaller, name: str, _: str) -> None:
    parameters = {
        "RoleName": name,
        "PolicyName": POLICY,
        "PolicyDocument": json.dumps(invoke_policy(caller)),
    }
    place.call("iam", "PutRolePolicy", parameters, requires=_WRITTEN)


def _delete_policy(place: Place, _: LabCaller, name: str, __: str) -> None:
    query = {"RoleName": name, "PolicyName": POLICY}
    _gone(lambda: place.call("iam", "DeleteRolePolicy", query, requires=_WRITTEN))


def _delete_role(place: Place, _: LabCaller, name: str, __: str) -> None:
    query = {"RoleName": name}
    _gone(lambda: place.call("iam", "DeleteRole", query, requires=_WRITTEN))


def _gone(delete: Callable[[], object]) -> None:
    try:
        delete()
    except NotFoundError:
        return  # an earlier run, or an attempt whose answer was lost, deleted it


_ACTIONS: Mapping[str, Callable[[Place, LabCaller, str, str], None]] = {
    "create role": _create,
    "set trust": _set_trust,
    "put policy": _put_policy,
    "delete policy": _delete_policy,
    "delete role": _delete_role,
}


def wait_until_assumable(
    place: Place,
    arns: Iterable[str],
    clock: Clock,
    longest: timedelta,
    report: Callable[[str], None] = lambda arn: None,
) -> list[str]:
    """Wait until each role can be assumed; return those that still cannot be.

    IAM knows a new role before STS does, usually by some seconds. ``report`` is called with a role
    before each wait for it. Raises the kinds of SourceError.
    """
    deadline = clock.monotonic() + longest.total_seconds()
    waiting = list(arns)
    while waiting := [arn for arn in waiting if not can_be_assumed(place, arn)]:
        if clock.monotonic() + LOOK_SECONDS > deadline:
            break
        report(waiting[0])
        clock.sleep(LOOK_SECONDS)
    return waiting


def can_be_assumed(place: Place, arn: str) -> bool:
    """Return whether the caller can assume a role now."""
    query = {"RoleArn": arn, "RoleSessionName": SESSION_NAME, "DurationSeconds": 900}
    try:
        place.call("sts", "AssumeRole", query, requires="Credentials")
    except AccessError as error:
        if error.code not in DENIED:
            raise
        return False
    return True
