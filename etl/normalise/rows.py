"""The flat rows that every source is turned into, and that the warehouse stores.

Times are UTC text, ``YYYY-MM-DDTHH:MM:SSZ``. ``None`` means unknown, never zero.
"""

from __future__ import annotations

from typing import NamedTuple


class Tokens(NamedTuple):
    """What one call used: the counts of ``token_kinds``, each known or unknown by itself.

    The counts are those reported. Whether input contains the cache reads and writes depends on the
    model and the source, and is decided where the warehouse counts a call. A cache write
    without a stated lifetime is in ``cache_write_5m``, and ``cache_write_1h`` is None.

    ``input_sources``: the sources (``bit_of``) of the input and of the cache counts above zero,
    where they are not ``source`` alone. ``variant``: of the images, one of ``IMAGE_VARIANTS``, or
    of the video, one of ``VIDEO_VARIANTS``.
    """

    source: str
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    images: int | None = None
    search_units: int | None = None
    video_seconds: int | None = None
    service_tier: str | None = None
    input_sources: int | None = None
    variant: str | None = None

    @property
    def counts(self) -> tuple[int | None, ...]:
        """All counts, in the order of ``token_kinds.COUNTS``."""
        return self[1:-3]


# Who reported a call: the bits of ``events.reported_by``.
CLOUDTRAIL = 1
INVOCATION_LOG = 2


class Event(NamedTuple):
    """One Bedrock call, as CloudTrail or an invocation log reports it.

    Key: ``event_time``, ``event_id``. A log has no event id; one is derived from its request id.
    ``is_home_copy`` is false for the copy of an event that CloudTrail delivers to an account other
    than the caller's. ``request_metadata`` is a JSON object. ``guardrail_use``: the units that
    guardrails charged, as ``etl.normalise.guardrails`` has them. ``reported_by``: CLOUDTRAIL or
    INVOCATION_LOG.

    ``is_correction`` is true for an event that AWS sent later to correct another. It has the
    other's ``event_id`` (and ``request_id``), its own ``event_time``, which may be later, and its
    own id in ``correction_id``. It is also true for a stored call that was corrected, which keeps
    its original time and has no ``correction_id``.

    ``provider``: who vouched for a federated session. ``project``: the ARN of a project of the
    OpenAI-compatible endpoint. ``source_address``: see ``etl.normalise.addresses``.
    ``credential``: the access key of a session, by its id, or of a stored call by its key in the
    warehouse, which keeps no ids.
    """

    event_time: str
    event_id: str
    request_id: str | None
    shared_event_id: str | None
    account_id: str
    region: str
    event_source: str
    event_name: str
    model_id: str | None
    principal_arn: str
    principal_type: str
    session_name: str | None
    user_agent: str | None
    user_name: str
    application: str
    application_source: str
    error_code: str | None
    inference_region: str | None
    service_tier: str | None
    is_home_copy: bool
    is_correction: bool
    request_metadata: str | None = None
    guardrail_action: str | None = None
    guardrail_use: str | None = None
    provider: str | None = None
    project: str | None = None
    source_address: str | None = None
    reported_by: int = CLOUDTRAIL
    tokens: Tokens | None = None
    correction_id: str | None = None
    credential: str | int | None = None


# A call that says nothing: what is known of a caller alone is put into it.
NO_CALL = Event(
    *("", "", None, None, "", "", "", "", None, "", "", None, None, "", "", "", None, None, None),
    is_home_copy=True,
    is_correction=False,
)


class OtherOperation(NamedTuple):
    """An event of Bedrock that is no call and is kept. Key: ``event_time``, ``event_id``.

    ``is_known``: it is one of the control plane that matters for security; otherwise an operation
    that this version does not know. ``resource``: the ARN of the first resource that it names.
    ``project_name``, ``project_tags`` (a JSON object): of the project that it creates.
    """

    event_time: str
    event_id: str
    is_known: bool
    account_id: str
    region: str
    event_source: str
    event_name: str
    principal_arn: str
    principal_type: str
    session_name: str | None
    user_agent: str | None
    user_name: str
    provider: str | None
    source_address: str | None
    error_code: str | None
    resource: str | None
    project_name: str | None = None
    project_tags: str | None = None


class SkippedOperation(NamedTuple):
    """An event of Bedrock that is neither a call nor kept: only that it was there.

    Key: ``event_time``, ``event_id``.
    """

    event_time: str
    event_id: str
    account_id: str
    region: str
    event_source: str
    event_name: str


class RoleSession(NamedTuple):
    """Credentials that were made for a session, and what its calls are tagged with.

    Key: ``access_key_id``. ``parent``: the access key that made it, if that is a session's too.
    ``tags``: a JSON object; ``transitive_keys``: a JSON list of those that sessions made by this
    one inherit.
    """

    event_time: str
    access_key_id: str
    parent: str | None
    tags: str
    transitive_keys: str


class PrincipalTags(NamedTuple):
    """The tags of a role or a user, a JSON object, by its ARN as calls have it."""

    principal_arn: str
    tags: str


class AccountName(NamedTuple):
    """An account of an organization. ``unit_name``: its unit, None for the root or if unknown."""

    account_id: str
    account_name: str
    unit_name: str | None


class StartedJob(NamedTuple):
    """A job that a call started. No event reports its tokens. Key: the call's.

    ``kind``: batch or asynchronous. ``job_arn``: None if the call failed, or the event lacks it.
    """

    event_time: str
    event_id: str
    kind: str
    job_arn: str | None


class ServiceTokens(NamedTuple):
    """Tokens that CloudTrail reports separately from their call, in an ``AwsServiceEvent``.

    Belongs to the call of the same account and region with this ``request_id``. ``is_correction``:
    AWS sent it later to correct another service event of that call.
    """

    event_time: str
    event_id: str
    account_id: str
    region: str
    request_id: str
    inference_region: str | None
    tokens: Tokens
    is_correction: bool = False


class MetricValue(NamedTuple):
    """One CloudWatch sum: account x region x model x metric x period.

    ``is_provisional``: the period is so recent that CloudWatch may still change its sum.
    """

    account_id: str
    region: str
    model_id: str
    metric: str
    period_start: str
    period_seconds: int
    value: int
    is_provisional: bool = False


class FoundationModel(NamedTuple):
    """A model as named in Bedrock's catalogue. ``model_id`` has no context suffix."""

    model_id: str
    model_name: str | None
    provider_name: str | None


class ProvisionedThroughput(NamedTuple):
    """Capacity paid by the hour, with the values it had from ``seen_from`` to ``seen_to``.

    Key: ``provisioned_model_arn``, ``seen_from``. ``model_id``: the foundation model, canonical;
    ``served_model_arn`` may be a custom model made of it.
    """

    provisioned_model_arn: str
    seen_from: str
    seen_to: str
    account_id: str
    region: str
    model_id: str | None
    served_model_arn: str | None
    model_units: int
    commitment_duration: str | None
    status: str
    created_at: str
    modified_at: str


class Quota(NamedTuple):
    """A limit of Service Quotas on tokens or requests; see ``etl.normalise.quotas``.

    Key: ``account_id``, ``region``, ``quota_code``. ``route`` and ``model_id``: None if the name is
    not understood. ``seen_at``: when it was last listed.
    """

    account_id: str
    region: str
    quota_code: str
    quota_name: str
    quota_kind: str
    period: str
    route: str | None
    model_id: str | None
    is_long_context: int
    limit_value: int
    is_default: int
    is_adjustable: int
    seen_at: str


class QuotaPeak(NamedTuple):
    """The highest minute of a day, by CloudWatch's estimate of what requests take of a quota."""

    account_id: str
    region: str
    cloudwatch_model_id: str
    day: str
    model_id: str
    route: str
    tokens: int
    peak_at: str


class InferenceProfile(NamedTuple):
    """One inference profile: what an opaque ARN in ``modelId`` refers to."""

    profile_arn: str
    profile_id: str
    profile_name: str | None
    profile_type: str | None
    model_id: str | None
    inference_scope: str
    application: str | None
    tags: str | None


# What the files and streams of calls, totals and profiles give.
Row = (
    Event
    | StartedJob
    | ServiceTokens
    | OtherOperation
    | SkippedOperation
    | RoleSession
    | MetricValue
    | InferenceProfile
)
