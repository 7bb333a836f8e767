-- Who called which model, when, and with how many tokens?
-- Athena's SQL. Not run on Athena: checked by sqlglot and DuckDB only.

-- Grain: minute x who called what, as AWS wrote it x where the tokens are from x which
-- of them are known x size of the request. Whoever loads it gives the names. A sum of
-- tokens is null where the calls do not tell it. The columns are those of
-- etl/normalise/athena.py. Replace
--   FIRST_DAY  2026-10-01: the days to count, in UTC, both included
--   LAST_DAY   2026-10-31
-- A day more on each side is read, for what is delivered late or belongs together.
with events as (
    select
        *,
        {{ athena.time('eventtime') }} as event_time,
        coalesce(eventtype, '') = 'AwsServiceEvent' as is_service_event,
        nullif(addendum.originaleventid, '') is not null as is_correction,
        coalesce(nullif(addendum.originaleventid, ''), eventid) as call_id,
        if(
            nullif(addendum.originaleventid, '') is not null,
            coalesce(nullif(addendum.originalrequestid, ''), requestid),
            requestid
        ) as call_request,
        coalesce(
            nullif(recipientaccountid, ''), nullif(useridentity.accountid, ''), 'unknown'
        ) as account_id,
        coalesce(nullif(awsregion, ''), 'unknown') as region,
        coalesce(recipientaccountid = useridentity.accountid, true) as is_home_copy,
        coalesce(
            json_extract(serviceeventdetails, '$.AdditionalEventData.additionalEntries'),
            json_extract(serviceeventdetails, '$.additionalEventData.additionalEntries')
        ) as entries
    from bedrock_trail
    where
        log_day >= date_format(date_add('day', -1, date 'FIRST_DAY'), '%Y/%m/%d')
        and log_day <= date_format(date_add('day', 1, date 'LAST_DAY'), '%Y/%m/%d')
        and eventsource like 'bedrock%'
        and coalesce(eventtype, '') <> 'AwsVpceEvents'
        and coalesce(eventcategory, '') <> 'NetworkActivity'
        and eventid <> ''
),

counted as (
    select
        *,
        {{ athena.counts('additionaleventdata', '', 'extra') }},
        {{ athena.counts('responseelements', 'usage.', 'usage') }},
        {{ athena.counts('responseelements', '', 'response') }},
        {{ athena.counts_of_entries('entries', 'entry') }}
    from events
),

-- Each event with its counts, and the key of the newest of the forms that have any: the
-- table token_sources has the keys.
reported as (
    select
        counted.*,
        {{ athena.each('if(
    is_service_event,
    entry_{0},
    coalesce(extra_{0}, usage_{0}, response_{0})
) as {0}') }},
        case
{% for form, key in [('entry', 3), ('extra', 2), ('usage', 4), ('response', 5)] %}
            when
                is_service_event = {{ 'true' if form == 'entry' else 'false' }}
                and coalesce(
                    {{ athena.each(form ~ '_{0}') }}
                ) is not null
                then {{ key }}
{% endfor %}
        end as source_key
    from counted
),

-- One event for each call: of its corrections the latest, else the copy of the caller.
chosen as (
    select
        *,
        row_number() over (
            partition by call_id
            order by
                is_correction desc,
                if(is_correction, event_time) desc,
                if(is_correction, eventid) desc,
                is_home_copy desc,
                sharedeventid is null,
                sharedeventid,
                useridentity.arn is null,
                useridentity.arn,
                errorcode is null,
                errorcode,
                account_id,
                region,
                useragent
        ) as choice,
        coalesce(
            min(if(not is_correction, event_time)) over (partition by call_id),
            min(event_time) over (partition by call_id)
        ) as call_time
    from reported
    where not is_service_event
),

-- The copies that accounts other than the caller's got have event ids of their own.
copies as (
    select
        *,
        row_number() over (
            partition by
                if(
                    nullif(sharedeventid, '') is not null,
                    sharedeventid || ' ' || coalesce(call_time, ''),
                    call_id
                )
            order by is_home_copy desc, call_id
        ) as copy
    from chosen
    where choice = 1
),

calls as (
    select * from copies
    where copy = 1
),

logged as (
    select
        accountid as account_id,
        coalesce(nullif(region, ''), 'unknown') as region,
        requestid as request_id,
        min({{ athena.time('"timestamp"') }}) as logged_at,
        min_by(identity.arn, "timestamp") as logged_arn,
        min_by(modelid, "timestamp") as logged_model_id,
        min_by(operation, "timestamp") as logged_operation,
        min_by(errorcode, "timestamp") as logged_error_code,
        min_by(performanceconfig.latency, "timestamp") as logged_latency,
        min_by(servicetier, "timestamp") as logged_service_tier,
        min_by({{ athena.metadata('requestmetadata', ['']) }}, "timestamp")
            as logged_metadata,
{% for kind in athena.kinds %}
        max({{ athena.number(kind.log | lower) }}) as {{ kind.name }}{{ ',' if not loop.last }}
{% endfor %}
    from bedrock_logs
    where
        log_hour >= date_format(date_add('day', -1, date 'FIRST_DAY'), '%Y/%m/%d/00')
        and log_hour <= date_format(date_add('day', 1, date 'LAST_DAY'), '%Y/%m/%d/23')
        and coalesce(schematype, 'ModelInvocationLog') = 'ModelInvocationLog'
        and requestid <> ''
        and accountid <> ''
    group by 1, 2, 3
),

-- A log belongs to the call with its request id, in its account and region, near its
-- time. Of several calls, a successful one, and the first of them.
matched as (
    select
        logged.*,
        calls.call_id,
        row_number() over (
            partition by logged.account_id, logged.region, logged.request_id
            order by
                calls.call_id is null, nullif(calls.errorcode, '') is not null,
                calls.call_time, calls.call_id
        ) as choice
    from logged
    left join calls
        on
            calls.account_id = logged.account_id
            and calls.region = logged.region
            and calls.call_request = logged.request_id
            and date_diff(
                'second',
                from_iso8601_timestamp(logged.logged_at),
                from_iso8601_timestamp(calls.call_time)
            ) between -7200 and 3600
),

-- What both say of a call.
called as (
    select
        coalesce(
            calls.call_id, matched.account_id || matched.region || matched.request_id
        ) as call_key,
        coalesce(calls.call_time, matched.logged_at) as call_time,
        coalesce(calls.account_id, matched.account_id) as account_id,
        coalesce(calls.region, matched.region) as region,
        coalesce(calls.call_request, matched.request_id) as request_id,
        if(calls.call_id is null, matched.logged_error_code, calls.errorcode) as error_code,
        calls.call_id is not null as is_in_trail,
        matched.request_id is not null as is_in_log,
        calls.eventsource as event_source,
        calls.eventname as event_name,
        calls.recipientaccountid as recipient_account_id,
        calls.useridentity.type as identity_type,
        calls.useridentity.principalid as identity_principal_id,
        calls.useridentity.arn as identity_arn,
        calls.useridentity.accountid as identity_account_id,
        calls.useridentity.username as identity_user_name,
        calls.useridentity.invokedby as identity_invoked_by,
        calls.useridentity.onbehalfof.userid as identity_on_behalf_of,
        calls.useridentity.sessioncontext.sessionissuer.arn as issuer_arn,
        calls.useridentity.sessioncontext.sessionissuer.username as issuer_user_name,
        calls.useridentity.sessioncontext.sourceidentity as source_identity,
        calls.useridentity.sessioncontext.webidfederationdata.federatedprovider
            as federated_provider,
        calls.useragent as user_agent,
        {{ athena.scalar('calls.requestparameters', 'modelId') }} as model_id,
        {{ athena.scalar('calls.requestparameters', 'model') }} as model,
        array_join(transform(calls.resources, one -> one.arn), ' ') as resource_arns,
        {{ athena.scalar('calls.requestparameters', 'performanceConfig.latency') }}
            as latency,
        coalesce(
            {{ athena.scalar('calls.additionaleventdata', 'resolvedServiceTier.type') }},
            {{ athena.scalar('calls.additionaleventdata', 'resolvedServiceTier') }},
            {{ athena.scalar('calls.additionaleventdata', 'serviceTier.type') }},
            {{ athena.scalar('calls.additionaleventdata', 'serviceTier') }},
            {{ athena.scalar('calls.requestparameters', 'serviceTier.type') }},
            {{ athena.scalar('calls.requestparameters', 'serviceTier') }},
            {{ athena.scalar('calls.requestparameters', 'service_tier') }}
        ) as service_tier,
        coalesce(
            {{ athena.scalar('calls.requestparameters', 'guardrailIdentifier') }},
            {{ athena.scalar(
                'calls.requestparameters', 'guardrailConfig.guardrailIdentifier'
            ) }}
        ) as guardrail,
        if(
            calls.eventname = 'ApplyGuardrail',
            json_format(json_extract(calls.responseelements, '$.usage'))
        ) as guardrail_units,
        {{ athena.metadata(
            'calls.requestparameters', ['requestMetadata', 'metadata']
        ) }} as metadata,
        matched.logged_arn,
        matched.logged_model_id,
        matched.logged_operation,
        matched.logged_error_code,
        matched.logged_latency,
        matched.logged_service_tier,
        matched.logged_metadata,
        {{ athena.each('matched.{0} as logged_{0}') }}
    from calls
    full outer join (
        select * from matched
        where choice = 1
    ) as matched
        on matched.call_id = calls.call_id
),

services as (
    select
        reported.*,
        called.call_key,
        row_number() over (
            partition by reported.eventid
            order by
                nullif(called.error_code, '') is not null, called.call_time,
                called.call_key
        ) as choice
    from reported
    inner join called
        on
            called.account_id = reported.account_id
            and called.region = reported.region
            and called.request_id
            = json_extract_scalar(reported.serviceeventdetails, '$.parentRequestId')
            and date_diff(
                'second',
                from_iso8601_timestamp(reported.event_time),
                from_iso8601_timestamp(called.call_time)
            ) between -7200 and 3600
    where reported.is_service_event
),

-- All reports of a call's tokens, and what counts first: the log, the latest correction,
-- the best source.
reports as (
    select
        call_key,
        0 as is_event,
        '' as corrected_at,
        1 as source_key,
        {{ athena.each('logged_{0} as {0}') }}
    from called
    union all
    select
        call_id,
        if(is_correction, 1, 2),
        if(is_correction, event_time || eventid, ''),
        source_key,
        {{ athena.each('max({0})') }}
    from reported
    where not is_service_event
    group by 1, 2, 3, 4
    union all
    select
        call_key,
        if(is_correction, 1, 2),
        if(is_correction, event_time || eventid, ''),
        source_key,
        {{ athena.each('max({0})') }}
    from services
    where choice = 1
    group by 1, 2, 3, 4
),

ranked as (
    select
        *,
        row_number() over (
            partition by call_key
            order by is_event, corrected_at desc, source_key
        ) as turn
    from reports
    where coalesce({{ athena.each('{0}', ', ') }}) is not null
),

used as (
    select
        call_key,
        min(source_key) as token_source_key,
        {{ athena.each('min_by({0}, turn) filter (where {0} is not null) as {0}') }}
    from ranked
    group by call_key
),

sized as (
    select
        called.*,
        used.token_source_key,
        {{ athena.each('used.{0} as {0}_tokens') }},
        coalesce(used.input, 0)
        + coalesce(used.cache_read, 0)
        + coalesce(used.cache_write, 0) as request_size
    from called
    left join used on used.call_key = called.call_key
)

select
    substr(call_time, 1, 13) || ':00:00Z' as hour,
    cast(substr(call_time, 15, 2) as integer) as minute,
    account_id,
    region,
    is_in_trail,
    is_in_log,
    error_code,
{% for column in [
    'event_source', 'event_name', 'recipient_account_id', 'identity_type',
    'identity_principal_id', 'identity_arn', 'identity_account_id', 'identity_user_name',
    'identity_invoked_by', 'identity_on_behalf_of', 'issuer_arn', 'issuer_user_name',
    'source_identity', 'federated_provider', 'user_agent', 'model_id', 'model',
    'resource_arns', 'latency', 'service_tier', 'guardrail', 'guardrail_units', 'metadata',
    'logged_arn', 'logged_model_id', 'logged_operation', 'logged_error_code',
    'logged_latency', 'logged_service_tier', 'logged_metadata',
] %}
    {{ column }},
{% endfor %}
    coalesce(token_source_key, 0) as token_source_key,
    case
{% for size in athena.sizes %}
        when request_size > {{ size }} then {{ size }}
{% endfor %}
        else 0
    end as min_input_tokens,
    count(*) as calls,
    {{ athena.each('sum({0}_tokens) as {0}_tokens') }}
from sized
where
    (call_time >= 'FIRST_DAY' and call_time < 'LAST_DAYT99')
    -- A time that cannot be read: told, not counted.
    or call_time is null
group by
    {{ range(1, 21) | join(', ') }},
    {{ range(21, 40) | join(', ') }},
    {{ athena.each('{0}_tokens is null') }}
