"""The tables, as append-only migrations, and the reasons for their design.

Sized for ten million events on one machine; the figures are in docs/performance.md.

- **Events are keyed by** (``event_time``, ``event_id``), WITHOUT ROWID. CloudTrail's event ids are
  random, and a B-tree with random keys touches a different page for every row. With the time first,
  new rows are stored together at the end of the table. The id still identifies the event, because a
  redelivered event keeps its time.
- **There is no index on** ``request_id`` **or** ``shared_event_id``, which are random too. What
  they join (a call and its service event, two copies of one call) is close in time, so the loader
  only searches that range of the key.
- **Ids are stored as 16-byte blobs** if they are lower-case UUIDs, which nearly all are, and as
  text otherwise; that saves 20 bytes per column and row. The view ``calls`` shows them as text.
- **Text that repeats is interned**: a small table for each kind of name, an integer in the event.
- **Tokens have a separate table**, because they may arrive separately from their call and later,
  and because half of the calls have none.
- ``usage_hourly`` **sums events and tokens** and changes in the same transaction, by the difference
  that the new rows make. Its sums are whole numbers, so differences are exact. It has the known
  tokens and, for each kind of token, the number of successful calls without it. Estimates, which
  follow from these and from ``metric_hourly``, are in separate columns and are renewed for every
  hour that changed.
- **Foreign keys name their column**, because Datasette cannot follow one without.
- ``usage_daily`` **sums the hours**, because most questions are about days and a busy hour has
  nearly as many rows as calls. ``priced_daily`` and its sums by user, application and model are the
  costs of those days: the views that people open read them.
- **Rates are looked up by** ``rate_keys``, the few combinations of model, region, service tier and
  context size that occur. A price change rebuilds no sums, only the priced days of the rate keys
  that it affects.
- **No table stores the current time** except ``sync_runs``, ``dropped_calls``,
  ``price_list_reads`` and ``bill_months``: loading the same input twice, or half of it twice,
  results in the same rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from sqlite_utils import Database, Migrations

from etl.normalise.fields import NUL, SHOWN_NUL

migrations = Migrations("bedrock_usage")


class Effort(NamedTuple):
    """What a migration may take for each million rows of a table, on a slow machine.

    ``megabytes``: how much the file and its log may grow meanwhile. ``per``: the table; ``events``
    means calls. Zero for a migration that only creates or alters tables, which takes a moment
    however large the warehouse is.
    """

    seconds: float
    megabytes: float
    per: str


NO_EFFORT = Effort(0, 0, "events")

# By name of the migration.
EFFORTS: dict[str, Effort] = {}

_Migration = Callable[[Database], None]


def takes(
    *, seconds: float = 0, megabytes: float = 0, per: str = "events"
) -> Callable[[_Migration], _Migration]:
    """Declare a migration's effort, including the work it leaves for opening the warehouse."""

    def declare(migration: _Migration) -> _Migration:
        EFFORTS[migration.__name__] = Effort(seconds, megabytes, per)
        return migration

    return declare


def _execute(db: Database, script: str) -> None:
    """Run the statements of a script; ``executescript`` would commit a partial migration."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    if statement.strip():
        raise ValueError("the last statement of a migration has no semicolon")


@migrations()
@takes()
def m001_create_names(db: Database) -> None:
    """Names that repeat, one table for each kind. An empty string never means "unknown"."""
    for table, key, name in (
        ("accounts", "account_key", "account_id"),
        ("regions", "region_key", "region"),
        ("principals", "principal_key", "principal_arn"),
        ("sessions", "session_key", "session_name"),
        ("user_agents", "user_agent_key", "user_agent"),
        ("users", "user_key", "user_name"),
        ("error_codes", "error_code_key", "error_code"),
    ):
        extra = ", principal_type text not null" if table == "principals" else ""
        unique = f"{name}, principal_type" if extra else name
        db.execute(
            f"create table {table} ({key} integer primary key, {name} text not null{extra},"
            f" unique ({unique})) strict"
        )
    _execute(
        db,
        """
        create table operations (
            operation_key integer primary key,
            event_source text not null,
            event_name text not null,
            unique (event_source, event_name)
        ) strict;

        -- source_rank: the precedence of the evidence, 1 the strongest.
        create table applications (
            application_key integer primary key,
            application text not null,
            application_source text not null,
            source_rank integer not null,
            unique (application, application_source)
        ) strict;

        -- One row a model id as sent (or as CloudWatch names it) and endpoint, because the two
        -- endpoints report to CloudWatch apart. model_tail: the id without its ARN.
        create table models (
            model_key integer primary key,
            endpoint text not null check (endpoint in ('runtime', 'mantle')),
            model_id text not null,
            model_tail text not null,
            cloudwatch_model_id text not null,
            canonical_model_id text not null,
            inference_scope text not null check (inference_scope in ('regional', 'global')),
            unique (endpoint, model_id)
        ) strict;

        -- The ids that a model's price may stand under; match_rank 1 is tried first.
        create table model_price_ids (
            model_key integer not null references models (model_key),
            match_rank integer not null,
            price_model_id text not null,
            primary key (model_key, match_rank)
        ) strict, without rowid;

        -- How a call's tokens became known. Key 0, 'none', stands for calls without tokens.
        create table token_sources (
            token_source_key integer primary key,
            token_source text not null unique,
            data_source text not null
        ) strict;

        insert into token_sources values
            (0, 'none', 'No token data'),
            (1, 'invocation log', 'Actual Tokens from invocation log'),
            (2, 'additionalEventData', 'Actual Tokens from CloudTrail'),
            (3, 'AwsServiceEvent', 'Actual Tokens from CloudTrail'),
            (4, 'responseElements.usage', 'Actual Tokens from CloudTrail'),
            (5, 'responseElements', 'Actual Tokens from CloudTrail');
    """,
    )


@migrations()
@takes()
def m002_create_events(db: Database) -> None:
    """Calls, their tokens, and tokens of calls not seen yet."""
    _execute(
        db,
        """
        -- reported_by: 1 = CloudTrail, 2 = invocation log, 3 = both.
        -- is_home_copy: 0 for the copy that CloudTrail gave to another account than the caller's.
        -- is_correction: 1 where AWS sent the event again to correct it.
        -- service_tier: the tier asked for; NULL = none named, which is the standard tier.
        create table events (
            event_time text not null,
            event_id any not null,
            request_id any,
            shared_event_id any,
            account_key integer not null references accounts (account_key),
            region_key integer not null references regions (region_key),
            operation_key integer not null references operations (operation_key),
            model_key integer not null references models (model_key),
            principal_key integer not null references principals (principal_key),
            session_key integer references sessions (session_key),
            user_agent_key integer references user_agents (user_agent_key),
            user_key integer not null references users (user_key),
            application_key integer not null references applications (application_key),
            error_code_key integer references error_codes (error_code_key),
            inference_region_key integer references regions (region_key),
            service_tier text,
            reported_by integer not null,
            is_home_copy integer not null,
            is_correction integer not null,
            primary key (event_time, event_id)
        ) strict, without rowid;

        -- NULL = unknown, 0 = none. service_tier: the tier that served the call, where known.
        create table tokens (
            event_time text not null,
            event_id any not null,
            token_source_key integer not null references token_sources (token_source_key),
            input_tokens integer,
            output_tokens integer,
            cache_read_tokens integer,
            cache_write_5m_tokens integer,
            cache_write_1h_tokens integer,
            image_count integer,
            service_tier text,
            primary key (event_time, event_id),
            foreign key (event_time, event_id) references events (event_time, event_id)
                on delete cascade
        ) strict, without rowid;

        -- Tokens of a service event (event_time, event_id) that wait for the call request_id.
        create table pending_tokens (
            request_id any not null,
            event_time text not null,
            event_id any not null,
            account_key integer not null references accounts (account_key),
            region_key integer not null references regions (region_key),
            inference_region_key integer references regions (region_key),
            token_source_key integer not null references token_sources (token_source_key),
            input_tokens integer,
            output_tokens integer,
            cache_read_tokens integer,
            cache_write_5m_tokens integer,
            cache_write_1h_tokens integer,
            image_count integer,
            service_tier text,
            primary key (request_id, event_time, event_id)
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m003_create_prices(db: Database) -> None:
    """Dated rates, and the combinations by which rates are looked up."""
    _execute(
        db,
        """
        -- usd_per_mtok: micro-dollars per million tokens = pico-dollars per token (or per image).
        -- min_input_tokens: the rate of requests with more input than this (0: of all).
        -- effective_from, effective_to: UTC days, half open; NULL = still in force.
        -- is_override: 1 for a rate that a user imported; it wins over list prices.
        create table prices (
            price_id integer primary key,
            model_id text not null,
            region text not null,
            scope text not null check (scope in ('regional', 'global')),
            service_tier text not null,
            token_kind text not null,
            min_input_tokens integer not null check (min_input_tokens >= 0),
            usd_per_mtok integer not null check (usd_per_mtok >= 0),
            effective_from text not null,
            effective_to text check (effective_to > effective_from),
            source text not null,
            checked_on text not null,
            is_override integer not null default 0 check (is_override in (0, 1)),
            unique (model_id, region, scope, service_tier, token_kind, min_input_tokens,
                effective_from, is_override)
        ) strict;

        -- min_input_tokens: the largest threshold of any price that the request's input exceeds.
        create table rate_keys (
            rate_key integer primary key,
            model_key integer not null references models (model_key),
            region_key integer not null references regions (region_key),
            service_tier text not null,
            min_input_tokens integer not null,
            unique (model_key, region_key, service_tier, min_input_tokens)
        ) strict;

        -- Every distinct prices.min_input_tokens: where the price of a long request may change.
        create table context_bands (
            min_input_tokens integer primary key
        ) strict;

        insert into context_bands values (0);

        -- Which seed file the list prices came from, so that a new release reloads them.
        create table seeds (
            seed text primary key,
            sha256 text not null
        ) strict, without rowid;
    """,
    )


_USAGE_COLUMNS = """
    account_key integer not null references accounts (account_key),
    rate_key integer not null references rate_keys (rate_key),
    user_key integer not null references users (user_key),
    application_key integer not null references applications (application_key),
    token_source_key integer not null references token_sources (token_source_key),
    calls integer not null default 0,
    failed_calls integer not null default 0,
    input_tokens integer not null default 0,
    output_tokens integer not null default 0,
    cache_read_tokens integer not null default 0,
    cache_write_5m_tokens integer not null default 0,
    cache_write_1h_tokens integer not null default 0,
    image_count integer not null default 0,
    input_unknown_calls integer not null default 0,
    output_unknown_calls integer not null default 0,
    cache_read_unknown_calls integer not null default 0,
    cache_write_unknown_calls integer not null default 0,
    image_unknown_calls integer not null default 0,
    estimated_calls integer not null default 0,
    estimated_input_tokens integer,
    estimated_output_tokens integer,
    estimated_cache_read_tokens integer,
    estimated_cache_write_tokens integer,
    estimated_image_count integer
"""


@migrations()
@takes()
def m004_create_usage(db: Database) -> None:
    """The rollups, by hour and, summed from those, by day.

    ``*_unknown_calls``: successful calls with an unknown count of that kind. ``estimated_*``: their
    share of CloudWatch's totals, NULL if CloudWatch has none; ``estimated_calls``: the calls
    without tokens of their own that have an estimate. Rows of the user ``(unattributed)`` have the
    tokens that belong to no call.
    """
    for table, period in (("usage_hourly", "hour"), ("usage_daily", "day")):
        db.execute(
            f"create table {table} ({period} text not null, {_USAGE_COLUMNS}, primary key"
            f" ({period}, account_key, rate_key, user_key, application_key, token_source_key)"
            ") strict, without rowid"
        )


@migrations()
@takes()
def m005_create_metric_totals(db: Database) -> None:
    """CloudWatch totals: account x region x model x metric (a series) x period, and by hour."""
    _execute(
        db,
        """
        create table metric_series (
            series_key integer primary key,
            account_key integer not null references accounts (account_key),
            region_key integer not null references regions (region_key),
            model_key integer not null references models (model_key),
            metric text not null,
            metric_kind text not null,
            unique (account_key, region_key, model_key, metric)
        ) strict;

        -- is_provisional: 1 while CloudWatch may still change the value.
        create table metric_totals (
            series_key integer not null references metric_series (series_key),
            period_start text not null,
            period_seconds integer not null,
            value integer not null,
            is_provisional integer not null default 0,
            primary key (series_key, period_start, period_seconds)
        ) strict, without rowid;

        -- metric_totals counted once an hour, as the view int_metric_hours says.
        create table metric_hourly (
            hour text not null,
            account_key integer not null references accounts (account_key),
            region_key integer not null references regions (region_key),
            endpoint text not null,
            cloudwatch_model_id text not null,
            metric_kind text not null,
            model_key integer not null references models (model_key),
            value integer not null,
            is_provisional integer not null,
            primary key
                (hour, account_key, region_key, endpoint, cloudwatch_model_id, metric_kind)
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m006_create_inference_profiles(db: Database) -> None:
    """What an opaque profile id stands for. ``tags`` is a JSON object."""
    _execute(
        db,
        """
        create table inference_profiles (
            profile_arn text primary key,
            profile_id text not null,
            profile_name text,
            profile_type text,
            model_key integer references models (model_key),
            inference_scope text not null check (inference_scope in ('regional', 'global')),
            application text,
            tags text check (tags is null or json_valid(tags))
        ) strict, without rowid;

        create index inference_profiles_by_id on inference_profiles (profile_id);
    """,
    )


@migrations()
@takes()
def m007_create_bookkeeping(db: Database) -> None:
    """Input that could not be read, and the state of the sync with AWS."""
    _execute(
        db,
        """
        -- Never holds any text of the input itself.
        create table rejects (
            file text not null,
            position text not null,
            reason text not null,
            primary key (file, position, reason)
        ) strict, without rowid;

        create table sync_state (
            stream text primary key,
            watermark text,
            resume text
        ) strict, without rowid;

        create table sync_runs (
            run_id integer primary key,
            started_at text not null,
            finished_at text,
            outcome text,
            message text
        ) strict;

        create table sync_gaps (
            stream text not null,
            gap_start text not null,
            gap_end text not null,
            reason text not null,
            primary key (stream, gap_start)
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m008_create_sync(db: Database) -> None:
    """What ``sync`` has read from AWS, and what it knows to be missing.

    The tables of m007 for this were never written to: they are dropped, not altered.
    """
    db.execute("drop table sync_state")
    db.execute("drop table sync_runs")
    _execute(
        db,
        """
        -- One row a stream: a source in one account and region. Times are UTC, whole seconds, and
        -- both ends count. covered_from to watermark: everything in it was read, and can only
        -- change by what AWS delivers later than promised (late_events counts that). read_at: all
        -- that AWS showed at that moment has been read. history_from: how far back is wanted.
        -- reread_at: when the last days were last read again. The watermark never falls.
        create table sync_state (
            stream text primary key,
            source text not null,
            account_id text not null,
            region text not null,
            covered_from text,
            watermark text,
            read_at text,
            history_from text,
            reread_at text,
            late_events integer not null default 0,
            error_at text,
            error text
        ) strict, without rowid;

        -- What is being read: AWS gives the newest first, so window_start to fetched_down_to is
        -- still open. kind: new (after the watermark), history (before covered_from), reread.
        create table sync_windows (
            stream text not null references sync_state (stream),
            kind text not null check (kind in ('new', 'history', 'reread')),
            window_start text not null,
            window_end text not null,
            fetched_down_to text not null,
            primary key (stream, kind)
        ) strict, without rowid;

        -- The models whose CloudWatch totals a stream reads, and how far each has come: all hours
        -- from covered_from to watermark were read.
        create table sync_series (
            stream text not null references sync_state (stream),
            namespace text not null,
            model_id text not null,
            covered_from text not null,
            watermark text not null,
            primary key (stream, namespace, model_id)
        ) strict, without rowid;

        -- One row a round of sync. outcome: done, incomplete (message says what is left), stopped;
        -- NULL while it runs, or where it was killed. pid and host: the process.
        create table sync_runs (
            run_id integer primary key,
            started_at text not null,
            finished_at text,
            outcome text check (outcome in ('done', 'incomplete', 'stopped')),
            message text,
            pid integer not null,
            host text not null,
            calls_new integer not null default 0,
            calls_with_tokens integer not null default 0,
            late_events integer not null default 0,
            metric_values integer not null default 0,
            rejected integer not null default 0
        ) strict;

        -- What ListFoundationModels says of a model; ids as CloudTrail shows them, without a
        -- context suffix.
        create table foundation_models (
            model_id text primary key,
            model_name text,
            provider_name text
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m009_create_attribution(db: Database) -> None:
    """What the configuration file says about applications and users.

    An event keeps the application it names itself, so a rule can be changed or removed without
    reading anything again.
    """
    _execute(
        db,
        """
        -- Conditions are globs under the names that the file gives them; NULL = any.
        -- rule_number: 1 is tried first.
        create table application_rules (
            rule_number integer primary key,
            application text not null,
            role text,
            user text,
            session text,
            principal_arn text,
            user_agent text,
            account_id text,
            region text,
            model text,
            check (
                coalesce(role, user, session, principal_arn, user_agent, account_id, region, model)
                is not null
            )
        ) strict;

        -- The application that the event itself tells, where a rule decided another; NULL where
        -- application_key is what the event tells.
        alter table events add column
            found_application_key integer references applications (application_key);

        -- The name to show for user_name; NULL = that itself.
        alter table users add column alias text;
    """,
    )


@migrations()
@takes(seconds=2)
def m010_create_logs(db: Database) -> None:
    """Log files, what invocation logs add to a call, batch jobs, and calls that were dropped."""
    _execute(
        db,
        """
        -- Which log files were read, so that none is read twice. folder: a path or an s3:// address
        -- that ends with a slash; it repeats, and a day of it is looked up at once.
        create table log_folders (
            folder_key integer primary key,
            folder text not null unique
        ) strict;

        -- etag: S3's, or the size and the time of change of a local file: what changes when the
        -- file is replaced. reader: the version of the reader, so that a later one may read again.
        create table log_files (
            folder_key integer not null references log_folders (folder_key),
            file_name text not null,
            etag text not null,
            reader integer not null,
            primary key (folder_key, file_name)
        ) strict, without rowid;

        -- What a caller wrote on a request (requestMetadata), as a JSON object.
        create table request_metadata (
            request_metadata_key integer primary key,
            request_metadata text not null unique check (json_valid(request_metadata))
        ) strict;

        alter table events add column
            request_metadata_key integer references request_metadata (request_metadata_key);

        -- What a guardrail did, where the log shows it: INTERVENED, or NULL.
        alter table events add column guardrail_action text;

        -- Calls that only an invocation log has told of so far: their event may still come. Led by
        -- the time, because that is how they are looked for.
        create index events_only_logged on events (event_time) where reported_by = 2;

        -- What CloudTrail says of calls whose tokens an invocation log tells as well; the log's
        -- stand in tokens, completed by these.
        create table cloudtrail_tokens (
            event_time text not null,
            event_id any not null,
            token_source_key integer not null references token_sources (token_source_key),
            input_tokens integer,
            output_tokens integer,
            cache_read_tokens integer,
            cache_write_5m_tokens integer,
            cache_write_1h_tokens integer,
            image_count integer,
            service_tier text,
            primary key (event_time, event_id),
            foreign key (event_time, event_id) references events (event_time, event_id)
                on delete cascade
        ) strict, without rowid;

        -- Calls that `vacuum` dropped; the rollup still counts them. Whatever is older than the
        -- latest dropped_before is not loaded any more, because it would be counted twice.
        create table dropped_calls (
            dropped_at text not null,
            dropped_before text not null,
            calls integer not null,
            first_event_time text,
            last_event_time text,
            primary key (dropped_at, dropped_before)
        ) strict, without rowid;

        -- When the days of the last month were last listed again; NULL for sources without files.
        alter table sync_state add column relisted_at text;
    """,
    )


_COST_COLUMNS = """
    calls integer not null,
    failed_calls integer not null,
    calls_with_tokens integer not null,
    calls_without_tokens integer not null,
    unpriced_calls integer not null,
    unpriced_tokens integer not null,
    input_tokens integer,
    output_tokens integer,
    cache_read_tokens integer,
    cache_write_tokens integer,
    image_count integer,
    actual_tokens integer,
    estimated_tokens integer,
    cost_picodollars any,
    actual_cost_picodollars any,
    estimated_cost_picodollars any,
    data_source text not null
"""

_COSTS = {
    "priced_daily": ("user_key", "application_key"),
    "priced_daily_by_user": ("user_key",),
    "priced_daily_by_application": ("application_key",),
    "priced_daily_by_model": (),
}

_KEY_TABLES = {
    "account_key": "accounts",
    "rate_key": "rate_keys",
    "user_key": "users",
    "application_key": "applications",
}


@migrations()
# Every day is priced: the file doubles, and the log grows by the same amount.
@takes(seconds=60, megabytes=450, per="usage_daily")
def m011_create_priced_days(db: Database) -> None:
    """The cost of each day, and what makes pages of hours fast.

    ``priced_daily*``: ``int_usage_daily_priced`` summed over data sources, and over applications,
    users or both. ``calls_with_tokens``: calls for which AWS reports tokens call by call.
    ``actual_tokens``, ``estimated_tokens``: tokens of all kinds, measured or estimated; NULL if
    there are none, like tokens and costs if none is known. A cost beyond 64 bits is a
    floating-point number. ``data_source`` is Mixed if a row has several.
    """
    for table, who in _COSTS.items():
        key = ("account_key", "rate_key", *who)
        columns = ", ".join(f"{k} integer not null references {_KEY_TABLES[k]} ({k})" for k in key)
        db.execute(
            f"create table {table} (day text not null, {columns}, {_COST_COLUMNS},"
            f" primary key (day, {', '.join(key)})) strict, without rowid"
        )
    _execute(
        db,
        """
        -- The rates that the priced days were computed with, by period, as int_rates says.
        create table priced_rates (
            rate_key integer not null references rate_keys (rate_key),
            valid_from text not null,
            valid_to text not null,
            input_rate integer,
            output_rate integer,
            cache_read_rate integer,
            cache_write_5m_rate integer,
            cache_write_1h_rate integer,
            image_rate integer,
            primary key (rate_key, valid_from)
        ) strict, without rowid;

        -- Rate keys whose days must all be priced again. Nothing was priced yet.
        create table stale_rate_keys (
            rate_key integer primary key references rate_keys (rate_key)
        ) strict;

        insert into stale_rate_keys select rate_key from rate_keys;

        -- The hours that usage_hourly has.
        create table usage_hours (
            hour text primary key,
            day text not null
        ) strict, without rowid;

        create index usage_hours_by_day on usage_hours (day);

        insert into usage_hours select distinct hour, substr(hour, 1, 10) from usage_hourly;

        -- What no call can take is found among millions of rows.
        create index usage_hourly_without_calls on usage_hourly (hour)
            where calls = 0 and failed_calls = 0;

        insert into token_sources values (-1, 'CloudWatch', 'CloudWatch (Estimated)');
    """,
    )


@migrations()
@takes()
def m012_create_jobs(db: Database) -> None:
    """Calls that started a batch or asynchronous job; no event reports the tokens of the job."""
    _execute(
        db,
        """
        create table jobs (
            event_time text not null,
            event_id any not null,
            job_kind text not null check (job_kind in ('batch', 'asynchronous')),
            job_arn text,
            primary key (event_time, event_id),
            foreign key (event_time, event_id) references events (event_time, event_id)
                on delete cascade
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m013_add_log_group(db: Database) -> None:
    """The CloudWatch Logs group that a stream has read; it has read nothing of any other."""
    db.execute("alter table sync_state add column log_group text")


@migrations()
@takes()
def m014_create_archive(db: Database) -> None:
    """The raw events of the last 90 days in each archive, so that each is written once.

    ``digest``: the digest of the event's text. AWS may return an event again with more fields.
    """
    _execute(
        db,
        """
        create table archives (
            archive_key integer primary key,
            uri text not null unique
        ) strict;

        create table archived_events (
            archive_key integer not null references archives (archive_key),
            event_time text not null,
            event_id any not null,
            digest integer not null,
            primary key (archive_key, event_time, event_id, digest)
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m015_create_monitor(db: Database) -> None:
    """What ``monitor`` has published to CloudWatch. Amounts are tokens, calls or pico-dollars."""
    _execute(
        db,
        """
        -- published_from, published_to: the periods that are done, half open. agreed_metrics: how
        -- many custom metrics somebody agreed to pay for.
        create table monitor_targets (
            target_key integer primary key,
            account_id text not null,
            region text not null,
            published_from text,
            published_to text,
            agreed_metrics integer not null default 0,
            agreed_at text,
            unique (account_id, region)
        ) strict;

        create table monitor_series (
            series_key integer primary key,
            target_key integer not null references monitor_targets (target_key),
            application text not null,
            model_id text not null,
            metric text not null,
            unique (target_key, application, model_id, metric)
        ) strict;

        -- published: what CloudWatch is known to have. in_flight: what was sent on top of it, at
        -- sent_at, and may have got there or not; NULL where nothing is.
        create table monitor_points (
            series_key integer not null references monitor_series (series_key),
            period_start text not null,
            published integer not null default 0,
            in_flight integer,
            sent_at text,
            primary key (series_key, period_start)
        ) strict, without rowid;

        create index monitor_points_in_flight on monitor_points (sent_at)
            where in_flight is not null;

        -- daily_limit_usd: a decimal number, as it was given.
        create table monitor_limits (
            target_key integer not null references monitor_targets (target_key),
            application text not null,
            daily_limit_usd text not null,
            primary key (target_key, application)
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m016_time_daily_costs(db: Database) -> None:
    """When the costs of the day were last published: the first run after a day completes it."""
    db.execute("alter table monitor_targets add column levels_at text")


@migrations()
@takes(seconds=3)
def m017_price_kinds_alone(db: Database) -> None:
    """Price again what lacked a price: if only some kinds have one, the cost is their sum.

    Only rate keys with a day that cost nothing or left something unpriced; others stay unchanged.
    """
    db.execute(
        "insert or ignore into stale_rate_keys select distinct rate_key from priced_daily_by_model"
        " where unpriced_calls > 0 or unpriced_tokens > 0 or image_count > 0"
        " or coalesce(cost_picodollars, 0) = 0"
    )


@migrations()
@takes()
def m018_keep_corrections(db: Database) -> None:
    """What corrections report, and what each source reported if the tokens no longer show it.

    So that a call ends up the same in whatever order reports arrive, and a correction may lower a
    count.
    """
    counts = """
            input_tokens integer,
            output_tokens integer,
            cache_read_tokens integer,
            cache_write_5m_tokens integer,
            cache_write_1h_tokens integer,
            image_count integer,
            service_tier text,
    """
    _execute(
        db,
        f"""
        -- Corrections of calls. event_id: of the event that is corrected; correction_time and
        -- correction_id: the correction's own, text as AWS writes it. The latest of them gave the
        -- call its names, each gave the counts that it has. event_time: with event_id, the call.
        -- is_names: 0 for the correction of a service event, which has counts only.
        -- has_original: 0 while only corrections of the call were seen.
        create table corrections (
            event_id any not null,
            correction_time text not null,
            correction_id text not null,
            event_time text not null,
            is_names integer not null,
            has_original integer not null,
            token_source_key integer references token_sources (token_source_key),
            {counts}
            primary key (event_id, correction_time, correction_id),
            foreign key (event_time, event_id) references events (event_time, event_id)
                on delete cascade
        ) strict, without rowid;

        -- What each source said of a call's tokens, corrections aside; only for calls whose rows
        -- in tokens and cloudtrail_tokens do not tell that.
        create table token_reports (
            event_time text not null,
            event_id any not null,
            token_source_key integer not null references token_sources (token_source_key),
            {counts}
            primary key (event_time, event_id, token_source_key),
            foreign key (event_time, event_id) references events (event_time, event_id)
                on delete cascade
        ) strict, without rowid;

        -- 1: of a service event that corrects another one.
        alter table pending_tokens add column is_correction integer not null default 0;
    """,
    )


# The names in calls, which may contain a NUL.
_NAMES = (
    *(("accounts", "account_id"), ("regions", "region"), ("principals", "principal_arn")),
    *(("sessions", "session_name"), ("user_agents", "user_agent"), ("users", "user_name")),
    *(("users", "alias"), ("applications", "application"), ("error_codes", "error_code")),
    *(("models", "model_id"), ("models", "model_tail"), ("models", "canonical_model_id")),
    *(("models", "cloudwatch_model_id"), ("model_price_ids", "price_model_id")),
)


@migrations()
@takes()
def m019_read_again(db: Database) -> None:
    """What ``sync`` has read by series, and the late events that rereads found.

    Also removes NUL from all names: SQLite's JSON functions treat it as the end of the name.
    """
    _execute(
        db,
        """
        -- One row a metric of a model; which metrics had been read so far, their totals tell.
        create table sync_series_by_metric (
            stream text not null references sync_state (stream),
            namespace text not null,
            model_id text not null,
            metric text not null,
            covered_from text not null,
            watermark text not null,
            primary key (stream, namespace, model_id, metric)
        ) strict, without rowid;

        insert into sync_series_by_metric
        select distinct sync_series.stream, namespace, sync_series.model_id, metric,
            sync_series.covered_from, sync_series.watermark
        from sync_series
        join sync_state using (stream)
        join accounts using (account_id)
        join regions using (region)
        join models on models.model_id = sync_series.model_id
            and endpoint = iif(namespace = 'AWS/Bedrock', 'runtime', 'mantle')
        join metric_series using (account_key, region_key, model_key);

        drop table sync_series;

        alter table sync_series_by_metric rename to sync_series;

        -- Each time that a stretch of covered time was read again, the newest first. reached: down
        -- to where that has come. is_done: 1 once it ends, at window_start or where its requests
        -- were used up: what lies before was not read again. late_events: what it found that was
        -- not there before; late_from: the oldest of it lies there, or later.
        create table sync_rereads (
            stream text not null references sync_state (stream),
            started_at text not null,
            window_start text not null,
            window_end text not null,
            reached text not null,
            requests integer not null,
            is_done integer not null,
            late_events integer not null default 0,
            late_from text,
            primary key (stream, started_at)
        ) strict, without rowid;
    """,
    )
    for table, column in _NAMES:
        # In Python: SQLite's replace() treats a NUL as an empty text.
        names = db.execute(f"select {column} from {table} where instr({column}, char(0))")
        db.conn.executemany(
            f"update or ignore {table} set {column} = ? where {column} = ?",
            [(name.replace(NUL, SHOWN_NUL), name) for (name,) in names.fetchall()],
        )


@migrations()
@takes()
def m020_create_forgotten(db: Database) -> None:
    """The names to forget in later loads; see ``etl.warehouse.pseudonyms``."""
    _execute(
        db,
        """
        -- Made at random when somebody is first forgotten; hashes and pseudonyms depend on it.
        create table forget_key (
            key_id integer primary key check (key_id = 1),
            secret blob not null
        ) strict;

        -- parts: of how many stretches of letters and digits the name consists.
        create table forgotten_names (
            name_hash blob primary key,
            parts integer not null
        ) strict, without rowid;

        create table forgotten_patterns (
            pattern text primary key
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m021_add_price_origins(db: Database) -> None:
    """Where a rate comes from, whether it is negotiated, and rates that a correction replaced."""
    _execute(
        db,
        """
        create temp table old_prices as select * from prices;
        drop table prices;

        -- usd_per_mtok: micro-dollars per million tokens = pico-dollars per token (or per image).
        -- min_input_tokens: the rate of requests with more input than this (0: of all).
        -- effective_from, effective_to: UTC days, half open; NULL = still in force.
        -- origin: import (by a user), price_list (AWS's) or seed (of this release). The first that
        -- has a rate is used; the names are in that order.
        -- rate_class: negotiated only for a user's own rate; list_cost_usd leaves it out.
        -- corrected_on: since when a corrected row replaces this one, which then prices nothing.
        create table prices (
            price_id integer primary key,
            model_id text not null,
            region text not null,
            scope text not null check (scope in ('regional', 'global')),
            service_tier text not null,
            token_kind text not null,
            min_input_tokens integer not null check (min_input_tokens >= 0),
            usd_per_mtok integer not null check (usd_per_mtok >= 0),
            effective_from text not null,
            effective_to text check (effective_to > effective_from),
            source text not null,
            checked_on text not null,
            origin text not null check (origin in ('import', 'price_list', 'seed')),
            rate_class text not null default 'list'
                check (rate_class = 'list' or (rate_class = 'negotiated' and origin = 'import')),
            corrected_on text
        ) strict;

        create unique index prices_by_use on prices (model_id, region, scope, service_tier,
            token_kind, min_input_tokens, effective_from, origin, rate_class)
            where corrected_on is null;

        insert into prices (price_id, model_id, region, scope, service_tier, token_kind,
            min_input_tokens, usd_per_mtok, effective_from, effective_to, source, checked_on,
            origin)
        select price_id, model_id, region, scope, service_tier, token_kind,
            min_input_tokens, usd_per_mtok, effective_from, effective_to, source, checked_on,
            iif(is_override, 'import', 'seed')
        from old_prices;

        drop table old_prices;
    """,
    )


@migrations()
@takes(seconds=1, per="usage_daily")
def m022_add_input_forms(db: Database) -> None:
    """Whether a model's input contains its cached tokens, by the source that reports it."""
    for table in ("tokens", "cloudtrail_tokens", "token_reports", "corrections", "pending_tokens"):
        # The sources of the input and the cache counts, a bit each; NULL: token_source_key alone.
        db.execute(f"alter table {table} add column input_sources integer")
    for table in ("usage_hourly", "usage_daily"):
        # Calls with gross input that is less than the cached tokens it should contain.
        db.execute(
            f"alter table {table} add column input_contradictions integer not null default 0"
        )
        # How much of the known input CloudWatch's cache totals say is from the cache.
        db.execute(f"alter table {table} add column estimated_cached_input_tokens integer")
    db.execute(
        "create index usage_daily_with_contradictions on usage_daily (day)"
        " where input_contradictions > 0"
    )
    _execute(
        db,
        """
        insert into token_sources values
            (6, 'invocation log body', 'Actual Tokens from invocation log'),
            (7, 'invocation log body (OpenAI)', 'Actual Tokens from invocation log');

        -- family: what the ids of its models begin with; '*': any model, or any source.
        create table input_forms (
            family text not null,
            token_source text not null,
            form text not null check (form in ('gross', 'net', 'unknown')),
            source text not null,
            checked_on text not null,
            primary key (family, token_source)
        ) strict, without rowid;

        -- The forms that the rollups were computed with, as int_model_input_forms says.
        create table model_input_forms (
            model_key integer primary key references models (model_key),
            gross_sources integer not null,
            unknown_sources integer not null
        ) strict;

        -- So that only models with an unusual form are counted again. No call has source 7 yet.
        insert into model_input_forms select model_key, 1 << 7, 0 from models;
    """,
    )


@migrations()
@takes(seconds=1, per="usage_hourly")
def m023_add_search_units(db: Database) -> None:
    """Search units, in which rerankers are billed. Nothing is known about the calls so far."""
    reported = ("tokens", "cloudtrail_tokens", "token_reports", "corrections", "pending_tokens")
    for table in reported:
        db.execute(f"alter table {table} add column search_units integer")
    for table in ("usage_hourly", "usage_daily"):
        for column in ("search_units", "search_unknown_calls"):
            db.execute(f"alter table {table} add column {column} integer not null default 0")
        db.execute(f"alter table {table} add column estimated_search_units integer")
        db.execute(f"update {table} set search_unknown_calls = calls")
    for table in _COSTS:
        db.execute(f"alter table {table} add column search_units integer")
    db.execute("alter table priced_rates add column search_unit_rate integer")


@migrations()
# Every row of the priced days gets two figures, and is computed again if rates were imported.
@takes(seconds=75, megabytes=500, per="usage_daily")
def m024_add_discounts(db: Database) -> None:
    """Discounts, and what the priced days cost at list price.

    Rates that were imported so far are what a file without ``rate_class`` means: negotiated. Days
    are priced again if there are any. Otherwise all costs are at list price.
    """
    _execute(
        db,
        """
        -- The discounts of the configuration; the first that matches is used. Conditions: JSON
        -- arrays of patterns with * and ?, NULL = any. percent: a decimal number, as it was given.
        -- kept_millionths: what it leaves of a price, in millionths.
        create table discounts (
            discount_number integer primary key,
            models text check (models is null or json_valid(models)),
            regions text check (regions is null or json_valid(regions)),
            accounts text check (accounts is null or json_valid(accounts)),
            tiers text check (tiers is null or json_valid(tiers)),
            kinds text check (kinds is null or json_valid(kinds)),
            percent text not null,
            kept_millionths integer not null check (kept_millionths between 0 and 1000000),
            effective_from text not null,
            effective_to text check (effective_to > effective_from)
        ) strict;

        create index prices_negotiated on prices (rate_class) where rate_class = 'negotiated';

        -- The group of each account that a discount names; see int_account_discounts. All others
        -- are in group 0.
        create table account_discounts (
            account_key integer primary key references accounts (account_key),
            discount_group integer not null
        ) strict;
    """,
    )
    _add_list_rates(db)
    for table in _COSTS:
        db.execute(f"alter table {table} add column list_cost_picodollars any")
        db.execute(
            f"alter table {table} add column list_unpriced_tokens integer not null default 0"
        )
        db.execute(
            f"update {table} set list_cost_picodollars = cost_picodollars,"
            " list_unpriced_tokens = unpriced_tokens"
        )
    db.execute("update prices set rate_class = 'negotiated' where origin = 'import'")
    db.execute(
        "insert or ignore into stale_rate_keys select rate_key from rate_keys"
        " where exists (select 1 from prices where origin = 'import')"
    )


@migrations()
@takes()
def m025_create_price_list(db: Database) -> None:
    """What the versions of AWS's Price List say, from which the rates of that origin follow."""
    _execute(
        db,
        """
        -- Each version of an offer file that was read, by service and region.
        create table price_list_versions (
            version_key integer primary key,
            service_code text not null,
            region text not null,
            version text not null,
            published_at text not null,
            unique (service_code, region, version)
        ) strict;

        -- Where a version differs from the one before it, of the same service and region.
        -- state: listed (at usd_per_mtok), unclear (listed without exactly one price) or absent.
        create table price_list_changes (
            model_id text not null,
            scope text not null,
            service_tier text not null,
            token_kind text not null,
            min_input_tokens integer not null,
            version_key integer not null references price_list_versions (version_key),
            state text not null check (state in ('listed', 'unclear', 'absent')),
            usd_per_mtok integer check ((usd_per_mtok is not null) = (state = 'listed')),
            usage_type text not null,
            primary key (model_id, scope, service_tier, token_kind, min_input_tokens, version_key)
        ) strict, without rowid;

        create index price_list_changes_by_version on price_list_changes (version_key);

        -- Changes that a user accepted. usd_per_mtok: -1 for a price that is no longer listed.
        create table price_list_accepted (
            region text not null,
            model_id text not null,
            scope text not null,
            service_tier text not null,
            token_kind text not null,
            min_input_tokens integer not null,
            usd_per_mtok integer not null,
            primary key (region, model_id, scope, service_tier, token_kind, min_input_tokens,
                usd_per_mtok)
        ) strict, without rowid;

        -- The last time that it was read from AWS: one row.
        create table price_list_reads (
            read_at text primary key,
            outcome text not null check (outcome in ('done', 'incomplete'))
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m026_create_provisioned_throughputs(db: Database) -> None:
    """Capacity that is paid by the hour, as Bedrock listed it from time to time."""
    _execute(
        db,
        """
        -- One row for each time that a provisioned throughput was listed with other values than
        -- before; read with these values from seen_from to seen_to, UTC. Once AWS no longer lists
        -- it, no row is added. status: Creating, InService, Updating or Failed.
        -- commitment_duration: OneMonth, SixMonths; NULL = none.
        create table provisioned_throughputs (
            provisioned_model_arn text not null,
            seen_from text not null,
            seen_to text not null,
            account_id text not null,
            region text not null,
            model_id text,
            served_model_arn text,
            model_units integer not null check (model_units >= 0),
            commitment_duration text,
            status text not null,
            created_at text not null,
            modified_at text not null,
            primary key (provisioned_model_arn, seen_from)
        ) strict, without rowid;
    """,
    )


def _add_list_rates(db: Database) -> None:
    """Key the rates of the priced days by group of accounts as well, and add list rates."""
    rates = [column.name for column in db["priced_rates"].columns if column.name.endswith("_rate")]
    old = f"rate_key, valid_from, valid_to, {', '.join(rates)}"
    listed = [f"{rate.removesuffix('_rate')}_list_rate" for rate in rates]
    db.execute("alter table priced_rates rename to old_rates")
    db.execute(
        # The key first: SQLite 3.40 finds damage where there is none if it is not.
        "create table priced_rates (rate_key integer not null references rate_keys (rate_key),"
        " discount_group integer not null default 0, valid_from text not null,"
        " valid_to text not null,"
        f" {', '.join(f'{rate} integer' for rate in (*rates, *listed))},"
        " primary key (rate_key, discount_group, valid_from)) strict, without rowid"
    )
    db.execute(
        f"insert into priced_rates ({old}, {', '.join(listed)})"
        f" select {old}, {', '.join(rates)} from old_rates"
    )
    db.execute("drop table old_rates")


@migrations()
@takes()
def m027_add_variants(db: Database) -> None:
    """The variant of a call's images, where the price depends on it: 1024x1024_premium."""
    for table in ("tokens", "cloudtrail_tokens", "token_reports", "corrections", "pending_tokens"):
        db.execute(f"alter table {table} add column variant text")
    _execute(
        db,
        """
        create temp table old_rate_keys as select * from rate_keys;
        drop table rate_keys;

        -- min_input_tokens: the largest threshold of any price that the request's input exceeds.
        -- variant: of the images; empty where there are none, or their size is unknown.
        create table rate_keys (
            rate_key integer primary key,
            model_key integer not null references models (model_key),
            region_key integer not null references regions (region_key),
            service_tier text not null,
            min_input_tokens integer not null,
            variant text not null default '',
            unique (model_key, region_key, service_tier, min_input_tokens, variant)
        ) strict;

        insert into rate_keys (rate_key, model_key, region_key, service_tier, min_input_tokens)
        select rate_key, model_key, region_key, service_tier, min_input_tokens from old_rate_keys;

        drop table old_rate_keys;
    """,
    )


@migrations()
@takes()
def m028_create_guardrail_uses(db: Database) -> None:
    """The units that guardrails charged, where a log or an event shows them."""
    _execute(
        db,
        """
        -- A JSON object: each guardrail's id (empty: unknown) to its units by policy, or to null
        -- where they are unknown.
        create table guardrail_uses (
            guardrail_use_key integer primary key,
            guardrail_use text not null unique check (json_valid(guardrail_use))
        ) strict;

        alter table events add column
            guardrail_use_key integer references guardrail_uses (guardrail_use_key);

        -- The sums of the calls with guardrails, failed ones included.
        create table guardrail_daily (
            day text not null,
            account_key integer not null references accounts (account_key),
            region_key integer not null references regions (region_key),
            model_key integer not null references models (model_key),
            user_key integer not null references users (user_key),
            application_key integer not null references applications (application_key),
            guardrail_use_key integer not null references guardrail_uses (guardrail_use_key),
            calls integer not null,
            primary key (day, account_key, region_key, model_key, user_key, application_key,
                guardrail_use_key)
        ) strict, without rowid;
    """,
    )


@migrations()
@takes(seconds=1, per="usage_hourly")
def m029_add_video_seconds(db: Database) -> None:
    """Seconds of video, in which video generators are billed. Nothing is known so far."""
    reported = ("tokens", "cloudtrail_tokens", "token_reports", "corrections", "pending_tokens")
    for table in reported:
        db.execute(f"alter table {table} add column video_seconds integer")
    for table in ("usage_hourly", "usage_daily"):
        for column in ("video_seconds", "video_unknown_calls"):
            db.execute(f"alter table {table} add column {column} integer not null default 0")
        db.execute(f"alter table {table} add column estimated_video_seconds integer")
        db.execute(f"update {table} set video_unknown_calls = calls")
    for table in _COSTS:
        db.execute(f"alter table {table} add column video_seconds integer")
    for column in ("video_second_rate", "video_second_list_rate"):
        db.execute(f"alter table priced_rates add column {column} integer")


@migrations()
# The index of calls that only logs report.
@takes(seconds=2, megabytes=30)
def m030_add_callers(db: Database) -> None:
    """Where calls come from, rules of every kind, and operations that are no calls."""
    _execute(
        db,
        """
        -- Who vouches for federated sessions: a host and path, or the ARN of a SAML provider.
        create table providers (
            provider_key integer primary key,
            provider text not null unique
        ) strict;

        -- A network (/24, /48), a whole address or the name of an AWS service.
        create table source_addresses (
            source_address_key integer primary key,
            source_address text not null unique
        ) strict;

        -- The projects of the OpenAI-compatible endpoint by their ARNs. project_name and tags (a
        -- JSON object): as far as AWS has told. application: what its tags name.
        create table projects (
            project_key integer primary key,
            project text not null unique,
            project_name text,
            tags text check (tags is null or json_valid(tags)),
            application text
        ) strict;

        -- NULL in calls of logs, and where the event has none.
        alter table events add column
            provider_key integer references providers (provider_key);
        alter table events add column
            project_key integer references projects (project_key);
        alter table events add column
            source_address_key integer references source_addresses (source_address_key);

        -- The user that the event itself names, where a rule decided another; NULL where user_key
        -- is what the event names.
        alter table events add column
            found_user_key integer references users (user_key);

        -- What CloudTrail tells of a session that its ARN does not: who it is. A session with two
        -- users is nobody's. Logs, which have only the ARN, are attributed by this.
        create table session_users (
            principal_key integer not null references principals (principal_key),
            session_key integer not null references sessions (session_key),
            user_key integer not null references users (user_key),
            primary key (principal_key, session_key, user_key)
        ) strict, without rowid;

        create index events_only_logged_by_session on events (principal_key, session_key)
            where reported_by = 2;

        -- rule_kind: what the rule gives. rule_number: 1 is tried first, within a kind.
        -- conditions: a JSON object of globs by the names that the file gives them.
        create table attribution_rules (
            rule_kind text not null,
            rule_number integer not null,
            name text not null,
            conditions text not null check (json_valid(conditions)),
            primary key (rule_kind, rule_number)
        ) strict, without rowid;

        -- A name with {word} means something else now; the configuration stores it again.
        insert into attribution_rules
        select 'application', rule_number, application, json_patch('{}', json_object(
            'role', role, 'user', user, 'session', session, 'principal_arn', principal_arn,
            'user_agent', user_agent, 'account_id', account_id, 'region', region, 'model', model
        ))
        from application_rules
        where not (application like '%{%}%');

        drop table application_rules;

        -- The aliases of the configuration: user_name may be a glob. users.alias follows.
        create table user_aliases (
            alias_number integer primary key,
            user_name text not null unique,
            alias text not null
        ) strict;

        insert into user_aliases (user_name, alias)
        select user_name, alias from users where alias is not null order by user_name;

        -- The names that the configuration gives to projects, by ARN or id.
        create table project_names (
            project text primary key,
            application text not null
        ) strict, without rowid;

        -- The name to show for a project that is the evidence; NULL = its id.
        alter table applications add column label text;

        -- A project now ranks before the request metadata.
        update applications set source_rank = case application_source
            when 'request metadata' then 5
            when 'user agent' then 6
            else 7
        end
        where application_source in ('request metadata', 'user agent', 'unknown');
    """,
    )
    for table, comment in (
        ("control_events", "Operations of the control plane that matter for security."),
        ("unknown_operations", "Operations of Bedrock that this version does not know."),
    ):
        _execute(
            db,
            f"""
            -- {comment} resource: the ARN of the first resource that the event names.
            create table {table} (
                event_time text not null,
                event_id any not null,
                account_key integer not null references accounts (account_key),
                region_key integer not null references regions (region_key),
                operation_key integer not null references operations (operation_key),
                principal_key integer not null references principals (principal_key),
                session_key integer references sessions (session_key),
                user_agent_key integer references user_agents (user_agent_key),
                user_key integer not null references users (user_key),
                provider_key integer references providers (provider_key),
                source_address_key integer references source_addresses (source_address_key),
                error_code_key integer references error_codes (error_code_key),
                resource text,
                primary key (event_time, event_id)
            ) strict, without rowid;
        """,
        )


@migrations()
@takes()
def m031_add_teams(db: Database) -> None:
    """Teams, and the evidence for them: sessions, tags of principals, names of accounts."""
    _execute(
        db,
        """
        -- team_source: the evidence. Key 0: nothing names a team; 1: usage that no call explains.
        create table teams (
            team_key integer primary key,
            team text not null,
            team_source text not null,
            unique (team, team_source)
        ) strict;

        insert into teams values (0, '(no team)', 'none'), (1, '(unattributed)', '(unattributed)');

        create temp table old_applications as select * from applications;
        drop table applications;

        -- source_rank: the precedence of the evidence, 1 the strongest. label: the name to show for
        -- a project that is the evidence; NULL = its id. A row is an application of a team, so that
        -- what is summed by application_key is by team as well. base_key: the row of the same
        -- application and evidence without a team; NULL = this one.
        create table applications (
            application_key integer primary key,
            application text not null,
            application_source text not null,
            source_rank integer not null,
            label text,
            base_key integer references applications (application_key),
            team_key integer not null default 0 references teams (team_key),
            unique (application, application_source, team_key),
            unique (base_key, team_key)
        ) strict;

        insert into applications (application_key, application, application_source, source_rank,
            label, team_key)
        select application_key, application, application_source, source_rank, label,
            application_source = '(unattributed)'
        from old_applications;

        drop table old_applications;

        -- The credentials of sessions: of calls, and those that events of STS tell of.
        -- credential_hash: a keyed hash of the access key's id; the key is in the secret file next
        -- to this one. first_call, last_call: the times of the calls with them. told_at: when the
        -- session began, NULL while no event tells. parent_key: the session that made it.
        -- tags: a JSON object; transitive_keys: a JSON list of those that its own sessions inherit.
        create table credentials (
            credential_key integer primary key,
            credential_hash blob not null unique,
            first_call text,
            last_call text,
            told_at text,
            parent_key integer references credentials (credential_key),
            tags text check (tags is null or json_valid(tags)),
            transitive_keys text check (transitive_keys is null or json_valid(transitive_keys))
        ) strict;

        create index credentials_by_parent on credentials (parent_key)
            where parent_key is not null;

        -- NULL in calls of logs, and where the caller has no temporary credentials.
        alter table events add column
            credential_key integer references credentials (credential_key);

        -- The tags of roles and users, by the ARN of the principal.
        create table principal_tags (
            principal_arn text primary key,
            tags text not null check (json_valid(tags))
        ) strict, without rowid;

        -- The names of an organization's accounts, and of the units that they are in.
        create table account_names (
            account_id text primary key,
            account_name text not null,
            unit_name text
        ) strict, without rowid;

        -- What may name a team: JSON values of the configuration. applied: a hash of all that
        -- decided the teams of the stored calls.
        create table team_settings (
            name text primary key,
            value text not null
        ) strict, without rowid;

        -- The fixed shares of shared applications, whole numbers.
        create table team_shares (
            application text not null,
            team text not null,
            share integer not null check (share > 0),
            primary key (application, team)
        ) strict, without rowid;

        -- How a rest is split: what each team gets of a number less than the sum of the shares.
        create table team_share_parts (
            application text not null,
            team text not null,
            rest integer not null,
            part integer not null,
            primary key (application, team, rest)
        ) strict, without rowid;

        create temp table old_series as select * from monitor_series;
        drop table monitor_series;

        -- One custom metric. dimension: what the name in application is, application or team.
        create table monitor_series (
            series_key integer primary key,
            target_key integer not null references monitor_targets (target_key),
            application text not null,
            model_id text not null,
            metric text not null,
            dimension text not null default 'application',
            unique (target_key, application, model_id, metric, dimension)
        ) strict;

        insert into monitor_series (series_key, target_key, application, model_id, metric)
        select series_key, target_key, application, model_id, metric from old_series;

        drop table old_series;
        """,
    )


@migrations()
# The index of calls with metadata.
@takes(seconds=2, megabytes=30)
def m032_add_refusals(db: Database) -> None:
    """Files that stay refused until they change or are accepted; operations that are skipped; the
    keys of the request metadata by which usage is shown.

    What was refused before is not marked: an older reader read it, so it is read again.
    """
    _execute(
        db,
        """
        -- is_refused: nothing of the file could be read, or not all of it because it is damaged.
        -- accepted_on: the day since which nobody wants to hear of its rejects, NULL = not so. Both
        -- are for this etag.
        alter table log_files add column is_refused integer not null default 0;
        alter table log_files add column accepted_on text;

        create index log_files_refused on log_files (folder_key) where is_refused = 1;
        create index log_files_accepted on log_files (folder_key) where accepted_on is not null;

        -- Events of Bedrock that are neither calls nor kept, so that each is counted once.
        create table skipped_operations (
            event_time text not null,
            event_id any not null,
            account_key integer not null references accounts (account_key),
            region_key integer not null references regions (region_key),
            operation_key integer not null references operations (operation_key),
            primary key (event_time, event_id)
        ) strict, without rowid;

        -- The keys of the request metadata that the configuration names: usage is shown by their
        -- values, of which max_values are named.
        create table metadata_keys (
            metadata_key text primary key,
            max_values integer not null check (max_values >= 1)
        ) strict, without rowid;

        create index events_by_metadata on events (request_metadata_key)
            where request_metadata_key is not null;
    """,
    )


@migrations()
@takes()
def m033_create_minutes(db: Database) -> None:
    """What CloudWatch counted by the minute, and who called when; both stay when calls are dropped.

    Calls by the minute follow from the calls, as ``sql/macros/minutes.sql`` says, but for the hours
    in ``stale_minutes``, whose calls changed since.
    """
    _execute(
        db,
        """
        -- minutes: a JSON object, the value by the minute of the hour; minutes without are left
        -- out. CloudWatch keeps them for 15 days; here they stay, because the hour's shares follow
        -- from them.
        create table metric_minutes (
            series_key integer not null references metric_series (series_key),
            hour text not null,
            minutes text not null check (json_valid(minutes)),
            primary key (series_key, hour)
        ) strict, without rowid;

        -- unknown_kinds: bit n is set if the calls lack kind n of etl/normalise/token_kinds.py.
        -- minutes: the number of successful calls in each minute. input: their input tokens, if
        -- they are known, but cached tokens are not.
        create table call_minutes (
            hour text not null,
            account_key integer not null references accounts (account_key),
            rate_key integer not null references rate_keys (rate_key),
            user_key integer not null references users (user_key),
            application_key integer not null references applications (application_key),
            unknown_kinds integer not null,
            minutes text not null check (json_valid(minutes)),
            input text check (input is null or json_valid(input)),
            primary key
                (hour, account_key, rate_key, user_key, application_key, unknown_kinds)
        ) strict, without rowid;

        -- minutes: the tokens that calls report in each minute.
        create table known_minutes (
            hour text not null,
            account_key integer not null references accounts (account_key),
            rate_key integer not null references rate_keys (rate_key),
            token_kind text not null,
            minutes text not null check (json_valid(minutes)),
            primary key (hour, account_key, rate_key, token_kind)
        ) strict, without rowid;

        create table stale_minutes (
            hour text primary key
        ) strict, without rowid;

        -- When CloudWatch was last asked for minutes; NULL for other sources.
        alter table sync_state add column minutes_at text;

        insert into stale_minutes select distinct hour from usage_hourly;

        -- Hours that changed since they were calibrated. is_seen: a calibration has begun, and they
        -- have not changed again since.
        create table uncalibrated_hours (
            hour text primary key,
            is_seen integer not null
        ) strict, without rowid;

        insert into uncalibrated_hours
            select hour, 0 from usage_hourly union select hour, 0 from metric_hourly;

        -- What a fit found for a series and kind in a window of days. Its weights serve the hours
        -- from window_start to the next one's, if they predict better than equal ones (is_used).
        -- held_out_gain: which part of the error of equal weights they save in hours not seen.
        -- unit: what a caller's tokens are taken to be proportional to, calls or input tokens.
        create table calibrations (
            calibration_key integer primary key,
            account_key integer not null references accounts (account_key),
            region_key integer not null references regions (region_key),
            endpoint text not null,
            cloudwatch_model_id text not null,
            token_kind text not null,
            window_start text not null,
            unit text not null,
            bucket_seconds integer not null,
            buckets integer not null,
            average_weight integer not null,
            held_out_gain real not null,
            is_used integer not null,
            unique (
                account_key, region_key, endpoint, cloudwatch_model_id, token_kind, window_start
            )
        ) strict;

        -- weight: thousandths of a token for each call. group_number: callers with the same number
        -- always call together, and share by calls. relative_error: of the weight, one standard
        -- error. method: as usage_hourly.estimated_by.
        create table call_weights (
            calibration_key integer not null references calibrations (calibration_key),
            user_key integer not null references users (user_key),
            application_key integer not null references applications (application_key),
            weight integer not null check (weight > 0),
            relative_error real not null,
            group_number integer not null,
            method integer not null,
            primary key (calibration_key, user_key, application_key)
        ) strict, without rowid;

        -- What a calibration found for single hours, which comes before weights: an hour's tokens
        -- are shared in proportion to due, in thousandths of a token, alone of it from buckets in
        -- which nobody else called. calls: those that lack the kind; 0 where tokens of calls of the
        -- hour before arrive. A change of an hour's calls or totals deletes its rows.
        create table hour_shares (
            hour text not null,
            account_key integer not null references accounts (account_key),
            rate_key integer not null references rate_keys (rate_key),
            token_kind text not null,
            user_key integer not null references users (user_key),
            application_key integer not null references applications (application_key),
            calls integer not null,
            due integer not null check (due >= 0),
            alone integer not null check (alone between 0 and due),
            method integer not null,
            primary key (hour, account_key, rate_key, token_kind, user_key, application_key)
        ) strict, without rowid;

        -- The weakest of the methods by which the row's estimates were made: 1 single caller,
        -- 2 calibrated, 3 by calls. NULL: no call has an estimate.
        alter table usage_hourly add column estimated_by integer;

        update usage_hourly set estimated_by = 3
            where coalesce(
                estimated_input_tokens, estimated_output_tokens, estimated_cache_read_tokens,
                estimated_cache_write_tokens, estimated_image_count, estimated_search_units,
                estimated_video_seconds
            ) is not null
            and user_key not in (select user_key from users where user_name = '(unattributed)');

        -- One row, if everything was ever calibrated: the last settled hour of that time.
        create table calibrated_until (
            hour text not null,
            calibrated_at text
        ) strict;
    """,
    )


# In the order of their keys.
_WIDTH_KINDS = ("input", "output", "cache_read", "cache_write", "image", "search", "video")
_WIDTH_ESTIMATES = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("image_count", "search_units", "video_seconds"),
)
_SIDES = ("below", "above")
_BOUNDED = ("priced_daily", "priced_daily_by_user", "priced_daily_by_application")


@migrations()
# Days with estimates are priced again.
@takes(seconds=60, megabytes=300, per="usage_daily")
def m034_add_bounds(db: Database) -> None:
    """How far off estimates may be, and the costs at either end.

    ``daily_widths``: for each kind, by how much a day's estimate may be too high (``below``) and
    too low (``above``), in whole tokens. NULL: it has no width, or, if only ``above`` is NULL, one
    that is not known: no more than what is left is certain. A row of usage without any is not here.

    ``call_weights``: where the interval of a caller's share ends, in millionths of the part that is
    not certain. ``priced_daily``: the costs at both ends; ``unbounded_estimates`` counts estimates
    whose upper end is not known, and which ``cost_high_picodollars`` has as they are.
    """
    pairs = ", ".join(f"{kind}_{side} integer" for kind in _WIDTH_KINDS for side in _SIDES)
    key = ("account_key", "rate_key", "user_key", "application_key")
    columns = ", ".join(f"{k} integer not null references {_KEY_TABLES[k]} ({k})" for k in key)
    db.execute(
        f"create table daily_widths (day text not null, {columns},"
        f" token_source_key integer not null, {pairs},"
        f" primary key (day, {', '.join(key)}, token_source_key)) strict, without rowid"
    )
    # Nothing was calibrated so far.
    below = [f"estimated_{name}" for name in _WIDTH_ESTIMATES]
    db.execute(
        f"insert into daily_widths (day, {', '.join(key)}, token_source_key,"
        f" {', '.join(f'{kind}_below' for kind in _WIDTH_KINDS)})"
        f" select day, {', '.join(key)}, token_source_key,"
        f" {', '.join(f'nullif({column}, 0)' for column in below)} from usage_daily"
        f" where coalesce({', '.join(f'nullif({column}, 0)' for column in below)}) is not null"
        " and user_key not in (select user_key from users where user_name = '(unattributed)')"
    )
    for column in ("low_millionths", "high_millionths"):
        db.execute(f"alter table call_weights add column {column} integer")
    for table in _BOUNDED:
        db.execute(f"alter table {table} add column cost_low_picodollars any")
        db.execute(f"alter table {table} add column cost_high_picodollars any")
        db.execute(f"alter table {table} add column unbounded_estimates integer not null default 0")
        db.execute(
            f"update {table} set cost_low_picodollars = cost_picodollars,"
            " cost_high_picodollars = cost_picodollars"
        )
    db.execute("insert or ignore into stale_rate_keys select distinct rate_key from daily_widths")
    # Weights found before have no ends.
    db.execute("insert or replace into uncalibrated_hours select hour, 0 from usage_hourly")
    db.execute("delete from calibrated_until")


@migrations()
# Only creates tables.
@takes()
def m035_create_bill(db: Database) -> None:
    """AWS's bill: the months of its exports, and Bedrock's lines of each."""
    _execute(
        db,
        """
        -- export: the ARN of a data export; of a legacy report, the folder it is delivered to.
        create table bill_exports (
            export_key integer primary key,
            export text not null unique
        ) strict;

        -- A month as AWS wrote it last. run: the execution that wrote it; source: the folder it was
        -- read from; columns: a JSON array of those that were read; columns_lost, columns_new: the
        -- same, compared with the version before; version: 1 is the first that was read; digest: of
        -- all lines, to notice whether a new run changed any.
        create table bill_months (
            month_key integer primary key,
            export_key integer not null references bill_exports (export_key),
            month text not null,
            form text not null,
            source text not null,
            run text not null,
            version integer not null,
            digest text not null,
            columns text not null check (json_valid(columns)),
            columns_lost text not null check (json_valid(columns_lost)),
            columns_new text not null check (json_valid(columns_new)),
            read_at text,
            unique (export_key, month)
        ) strict;

        -- The accounts in a month of an export. Several exports may have the same account of the
        -- same payer: views use the first by rank, then by export_key.
        create table bill_accounts (
            month_key integer not null references bill_months (month_key),
            payer_account_id text not null,
            account_id text not null,
            rank integer not null,
            primary key (month_key, payer_account_id, account_id)
        ) strict, without rowid;

        -- Whom lines are charged for. model_key: an application inference profile;
        -- request_metadata_key: the line's tags. NULL: the bill does not say. user_key and
        -- application_key follow from the other columns, as those of an event do.
        create table bill_callers (
            caller_key integer primary key,
            account_key integer references accounts (account_key),
            region_key integer references regions (region_key),
            principal_key integer references principals (principal_key),
            session_key integer references sessions (session_key),
            model_key integer references models (model_key),
            request_metadata_key integer references request_metadata (request_metadata_key),
            user_key integer not null references users (user_key),
            application_key integer not null references applications (application_key)
        ) strict;

        create index bill_callers_by_principal on bill_callers (principal_key, session_key);

        -- Sums of Bedrock's lines. lines: how many; amount: what they count, see counts; costs in
        -- 10^-12 of the currency, NULL = unknown.
        create table bill_lines (
            line_key integer primary key,
            month_key integer not null references bill_months (month_key),
            day text not null,
            payer_account_id text not null,
            caller_key integer not null references bill_callers (caller_key),
            charge_kind text not null,
            usage_type text not null,
            currency text not null,
            model_id text,
            token_kind text,
            inference_scope text,
            service_tier text,
            min_input_tokens integer,
            counts text,
            unit_evidence text,
            reason text,
            lines integer not null,
            amount integer,
            cost_pico integer not null,
            net_cost_pico integer
        ) strict;

        create index bill_lines_by_month on bill_lines (month_key, day);
    """,
    )


@migrations()
@takes()
def m036_create_compared_figures(db: Database) -> None:
    """What the warehouse knew of a day when the bill's lines of that day became known."""
    _execute(
        db,
        """
        -- The days of a month of an export. version: that of the month which last changed the day;
        -- digest: of its lines; is_kept: figures_before_bill has the day.
        create table bill_days (
            month_key integer not null references bill_months (month_key),
            day text not null,
            version integer not null,
            digest text not null,
            is_kept integer not null,
            primary key (month_key, day)
        ) strict, without rowid;

        -- The view int_our_figures as it was. rate, list_rate: pico-dollars, NULL = no price.
        create table figures_before_bill (
            month_key integer not null references bill_months (month_key),
            day text not null,
            account_key integer not null references accounts (account_key),
            rate_key integer not null references rate_keys (rate_key),
            user_key integer not null references users (user_key),
            token_kind text not null,
            known integer not null,
            estimated integer not null,
            rate integer,
            list_rate integer,
            primary key (month_key, day, account_key, rate_key, user_key, token_kind)
        ) strict, without rowid;

        -- How far the bill may be off, and still agree: a part of it in millionths, or an amount.
        -- No row: as nothing is configured.
        create table bill_tolerance (
            millionths integer not null,
            picodollars integer not null
        ) strict;

        -- When the month was last read, also if nothing of it had changed.
        alter table bill_months add column seen_at text;
    """,
    )


@migrations()
@takes()
def m037_rename_seen(db: Database) -> None:
    """Which fits have not seen an hour, so that an unfinished calibration goes on.

    ``seen_from_key``: fits with a calibration_key from this one on have seen the hour as it is; 0:
    none has.
    """
    db.execute("alter table uncalibrated_hours rename column is_seen to seen_from_key")
    db.execute("update uncalibrated_hours set seen_from_key = 0")


@migrations()
@takes()
def m038_add_when_bill_was_written(db: Database) -> None:
    """When AWS wrote a month of the bill, UTC text; NULL: before this was stored."""
    db.execute("alter table bill_months add column written_at text")


@migrations()
@takes(seconds=90, megabytes=400, per="bill_lines")
def m039_create_bill_cells(db: Database) -> None:
    """What the bill is compared with, stored; and what of a month is asked for all the time.

    Opening the warehouse fills ``bill_cells``.
    """
    _execute(
        db,
        """
        -- The ids of prices that a month of the bill names.
        create table bill_models (
            month_key integer not null references bill_months (month_key),
            price_model_id text not null,
            primary key (month_key, price_model_id)
        ) strict, without rowid;

        insert into bill_models
        select distinct month_key, model_id from bill_lines where model_id is not null;

        -- The last day with usage.
        alter table bill_months add column last_day text;

        update bill_months set last_day = (
            select max(day) from bill_lines
            where bill_lines.month_key = bill_months.month_key and charge_kind = 'usage'
        );

        -- is_in_usd: 1 if nothing of the account is billed in another currency.
        alter table bill_accounts add column is_in_usd integer not null default 1;

        update bill_accounts set is_in_usd = 0
        where (month_key, payer_account_id, account_id) in (
            select month_key, payer_account_id, coalesce(account_id, '')
            from bill_lines
            join bill_callers using (caller_key)
            left join accounts using (account_key)
            where currency <> 'USD'
        );

        -- Both sides of the comparison, at the finest grain that has a price. billed, known,
        -- estimated: tokens or others; costs in pico-dollars, rates in those per token; is_open:
        -- the bill may still change; is_current: what is known is of now, as nothing was kept in
        -- figures_before_bill.
        create table bill_cells (
            cell_key integer primary key,
            month text not null,
            day text not null,
            payer_account_id text not null,
            account_id text not null,
            region text not null,
            model_id text,
            user_name text,
            token_kind text,
            inference_scope text,
            service_tier text,
            min_input_tokens integer,
            charge_kind text not null,
            is_open integer not null,
            is_current integer not null,
            billed_lines integer not null,
            mantle_lines integer not null,
            billed integer not null,
            billed_cost integer not null,
            is_tokens integer not null,
            known integer not null,
            estimated integer not null,
            our_cost integer not null,
            our_basis integer not null,
            rate integer,
            list_rate integer
        ) strict;

        create index bill_cells_by_day on bill_cells (month, day);

        -- Why both sides differ, as the view bill_differences. rate: ours, pico-dollars per token.
        create table bill_reasons (
            reason_key integer primary key,
            month text not null,
            day text not null,
            payer_account_id text not null,
            account_id text not null,
            region text not null,
            model_id text,
            user_name text,
            token_kind text,
            inference_scope text,
            service_tier text,
            min_input_tokens integer,
            reason text not null,
            endpoint text,
            is_open integer not null,
            difference_tokens integer,
            rate integer,
            billed_usd_per_million real,
            difference_picodollars integer not null
        ) strict;

        create index bill_reasons_by_day on bill_reasons (month, day);

        -- A hash of the prices, discounts and names that bill_cells was computed with. No row: it
        -- has to be computed.
        create table bill_cells_state (
            state text not null
        ) strict;
    """,
    )


@migrations()
@takes()
def m040_create_rolled_up_days(db: Database) -> None:
    """Days whose sums come from a rollup, not from calls; and calls fetched from its logs."""
    _execute(
        db,
        """
        -- digest: of what the rollup has of the day; rollup_id: the run that made it.
        create table rolled_up_days (
            day text primary key,
            uri text not null,
            rollup_id text not null,
            digest text not null,
            calls integer not null
        ) strict, without rowid;

        -- The row of dropped_calls that says so for all of these days.
        create table rollup_claims (
            dropped_at text primary key
        ) strict, without rowid;

        -- Calls of these days, or of dropped ones, that were fetched again to look at: the sums
        -- count them already.
        create table fetched_calls (
            event_time text not null,
            event_id any not null,
            primary key (event_time, event_id),
            foreign key (event_time, event_id) references events (event_time, event_id)
                on delete cascade
        ) strict, without rowid;
    """,
    )


@migrations()
# Only creates tables.
@takes()
def m041_create_budgets(db: Database) -> None:
    """Budgets, what is recorded of them and of unusual use, and the messages that tell of it.

    Names in JSON arrays are exact; NULL means any. Micro-dollars are 10^-6 USD.
    """
    _execute(
        db,
        """
        -- each_of: every application, user or team has the amount for itself; NULL: all together.
        -- days: of a rolling window, NULL for a period of the calendar. thresholds and
        -- forecast_thresholds: percentages, JSON arrays. unknown_percent: of the calls and tokens,
        -- whose cost may be unknown.
        create table budgets (
            budget_number integer primary key,
            budget text not null unique,
            amount_microdollars integer not null check (amount_microdollars > 0),
            per text not null,
            days integer,
            each_of text check (each_of in ('application', 'user', 'team')),
            users text check (users is null or json_valid(users)),
            applications text check (applications is null or json_valid(applications)),
            teams text check (teams is null or json_valid(teams)),
            models text check (models is null or json_valid(models)),
            regions text check (regions is null or json_valid(regions)),
            accounts text check (accounts is null or json_valid(accounts)),
            counts_upper_end integer not null,
            unknown_percent integer not null check (unknown_percent between 0 and 100),
            thresholds text not null check (json_valid(thresholds)),
            forecast_thresholds text not null check (json_valid(forecast_thresholds))
        ) strict;

        -- What a budget's cost is expected to be at the end of a period. name: the application,
        -- user or team, '' for all together. NULL: not enough is known.
        create table budget_forecasts (
            budget text not null,
            name text not null,
            period_start text not null,
            forecast_microdollars integer,
            primary key (budget, name, period_start)
        ) strict, without rowid;

        -- A message. topic: what it tells of; subject: the day or week of a digest, '' otherwise.
        create table messages (
            message_key integer primary key,
            topic text not null,
            subject text not null,
            created_at text not null
        ) strict;

        create unique index messages_by_subject on messages (topic, subject)
            where subject <> '';

        -- A message to a target of the configuration. state: pending, sending, sent, or failed,
        -- which is tried no more. tries: how often it was begun. delivered: hashes of the target's
        -- addresses that have it, a JSON array. reason: why the last try failed.
        -- may_be_repeated: a try ended without its outcome being known.
        create table deliveries (
            message_key integer not null references messages (message_key),
            target text not null,
            state text not null check (state in ('pending', 'sending', 'sent', 'failed')),
            tries integer not null default 0,
            tried_at text,
            retry_at text,
            delivered text not null default '[]' check (json_valid(delivered)),
            may_be_repeated integer not null default 0,
            reason text,
            primary key (message_key, target)
        ) strict, without rowid;

        -- What happened to a budget, once for each period. kind: actual or forecast (a threshold
        -- was reached), or not judged. message_key NULL: nobody is told.
        create table budget_crossings (
            crossing_key integer primary key,
            budget text not null,
            name text not null,
            period_start text not null,
            period_end text not null,
            kind text not null check (kind in ('actual', 'forecast', 'not judged')),
            threshold integer not null,
            amount_microdollars integer not null,
            cost_microdollars integer,
            seen_at text not null,
            reason text,
            message_key integer references messages (message_key),
            unique (budget, name, kind, threshold, amount_microdollars, period_start)
        ) strict;

        create index budget_crossings_by_message on budget_crossings (message_key);

        -- Rows of the views of unusual use that a message tells of, by a hash of what each is of.
        create table alerts (
            view text not null,
            row_hash text not null,
            seen_at text not null,
            message_key integer not null references messages (message_key),
            primary key (view, row_hash)
        ) strict, without rowid;

        create index alerts_by_message on alerts (message_key);
    """,
    )


@migrations()
@takes()
def m042_create_forecasts(db: Database) -> None:
    """What the rest of the running month may cost, as of the last covered day that is over."""
    _execute(
        db,
        """
        -- dimension: all, team or application. through_day: the last covered day that is over.
        -- history_days: the covered days that the forecast is made of. rest_days: those of the
        -- month that it is for: those to come, and those that are not covered. finished_usd: what
        -- the others cost. rest_*: NULL where there is no forecast, for this reason; rest_by_day: a
        -- JSON object, what each of those days may cost.
        create table forecasts (
            dimension text not null,
            name text not null,
            month text not null,
            through_day text not null,
            history_days integer not null,
            rest_days integer not null,
            finished_usd real not null,
            rest_usd real,
            rest_low_usd real,
            rest_high_usd real,
            rest_by_day text check (rest_by_day is null or json_valid(rest_by_day)),
            reason text,
            primary key (dimension, name)
        ) strict, without rowid;
    """,
    )


@migrations()
@takes()
def m043_create_watch(db: Database) -> None:
    """What unusual use is found by: first uses, failed calls and costs by the hour.

    All of it follows from calls, except of the days in ``unwatched_days``, which changed since.
    What was used first stays when calls are dropped.
    """
    _execute(
        db,
        """
        create table unwatched_days (
            day text primary key
        ) strict, without rowid;

        insert into unwatched_days select distinct day from usage_daily;

        -- What user agents are made with, without versions.
        create table agents (
            agent_key integer primary key,
            agent text not null unique
        ) strict;

        -- A caller is a principal and the user that the event names. kind: principal (value_key 0),
        -- region, model (the lowest key of those with its canonical id), agent or network. day: the
        -- day of the first use; first_*: the first call on it; calls, failed_calls: of that day.
        -- user_key: whom rules assign the call to. source_address_key: value_key of a network.
        create table first_uses (
            principal_key integer not null references principals (principal_key),
            found_user_key integer not null references users (user_key),
            kind text not null,
            value_key integer not null,
            day text not null,
            first_time text not null,
            first_event_id any not null,
            user_key integer not null references users (user_key),
            source_address_key integer references source_addresses (source_address_key),
            calls integer not null,
            failed_calls integer not null,
            primary key (principal_key, found_user_key, kind, value_key)
        ) strict, without rowid;

        create index first_uses_by_day on first_uses (day);

        -- Failed calls by the hour, of the latest weeks.
        create table failed_hours (
            hour text not null,
            principal_key integer not null references principals (principal_key),
            found_user_key integer not null references users (user_key),
            account_key integer not null references accounts (account_key),
            region_key integer not null references regions (region_key),
            model_key integer not null references models (model_key),
            error_code_key integer not null references error_codes (error_code_key),
            user_key integer not null references users (user_key),
            failed_calls integer not null,
            first_time text not null,
            first_event_id any not null,
            primary key (
                hour, principal_key, found_user_key, account_key, region_key, model_key,
                error_code_key
            )
        ) strict, without rowid;

        -- Costs by the hour, of the latest weeks. user_key or application_key is 0: the row is of
        -- an application or of a user. rate_key: 0, or one whose inference profile names the
        -- application.
        create table cost_hours (
            hour text not null,
            user_key integer not null,
            application_key integer not null,
            rate_key integer not null,
            calls integer not null,
            cost_picodollars integer not null,
            primary key (hour, user_key, application_key, rate_key)
        ) strict, without rowid;
    """,
    )


@migrations()
# An index of the failed calls.
@takes(seconds=2, megabytes=2)
def m044_create_quotas(db: Database) -> None:
    """What limits the use of models, and how much of it was used.

    ``quotas``: what Service Quotas listed of an account and region; see ``etl.normalise.quotas``.
    ``quota_peaks``: the highest minute of each day, by CloudWatch's EstimatedTPMQuotaUsage.
    """
    _execute(
        db,
        """
        create table quotas (
            account_id text not null,
            region text not null,
            quota_code text not null,
            quota_name text not null,
            quota_kind text not null check (quota_kind in ('tokens', 'requests')),
            period text not null check (period in ('minute', 'day')),
            route text check (route in ('on-demand', 'cross-region', 'global', 'regional')),
            model_id text,
            is_long_context integer not null,
            limit_value integer not null,
            is_default integer not null,
            is_adjustable integer not null,
            seen_at text not null,
            primary key (account_id, region, quota_code)
        ) strict, without rowid;

        create table quota_peaks (
            account_id text not null,
            region text not null,
            cloudwatch_model_id text not null,
            day text not null,
            model_id text not null,
            route text not null,
            tokens integer not null,
            peak_at text not null,
            primary key (account_id, region, cloudwatch_model_id, day)
        ) strict, without rowid;

        create index events_failed on events (error_code_key, event_time)
            where error_code_key is not null;
    """,
    )


@migrations()
@takes()
def m045_keep_when_budgets_were_judged(db: Database) -> None:
    """The last day on which each budget was judged with its usage read; NULL: none."""
    _execute(db, "alter table budgets add column judged_to text;")


@migrations()
# Reads the failed calls by an index, and their rows.
@takes(seconds=1, megabytes=1)
def m046_create_failed_days(db: Database) -> None:
    """Failed calls by the day and error, as long as usage is kept.

    Of the days in ``unwatched_days``, what changed since is not in it. What is known of dropped
    calls stays.
    """
    _execute(
        db,
        """
        create table failed_days (
            day text not null,
            region_key integer not null references regions (region_key),
            model_key integer not null references models (model_key),
            user_key integer not null references users (user_key),
            application_key integer not null references applications (application_key),
            error_code_key integer not null references error_codes (error_code_key),
            failed_calls integer not null,
            primary key (
                day, region_key, model_key, user_key, application_key, error_code_key
            )
        ) strict, without rowid;

        insert into failed_days
        select substr(event_time, 1, 10), region_key, model_key, user_key, application_key,
            error_code_key, count(*)
        from events
        where error_code_key is not null
        group by 1, 2, 3, 4, 5, 6;
    """,
    )
