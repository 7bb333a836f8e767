-- Who called which model, when, and with how many tokens?
-- Athena's SQL. Not run on Athena: checked by sqlglot and DuckDB only.

-- Grain: minute x who called what, as AWS wrote it x where the tokens are from x which
-- of them are known x size of the request. Whoever loads it gives the names. A sum of
-- tokens is null where the calls do not tell it. The columns are those of
-- etl/normalise/athena.py. Replace
--   FIRST_DAY  2026-10-01: the days to count, in UTC, both included
--   LAST_DAY   2026-10-31
-- A day more on each side is read, for what is delivered late or belongs together.

-- Athena reads a table as often as the query names it, directly or not. So no part is
-- named twice: what belongs together is found by windows, not by joins.
{% set of_event = [
    'event_source', 'event_name', 'recipient_account_id', 'identity_type',
    'identity_principal_id', 'identity_arn', 'identity_account_id', 'identity_user_name',
    'identity_invoked_by', 'identity_on_behalf_of', 'issuer_arn', 'issuer_user_name',
    'source_identity', 'federated_provider', 'user_agent', 'error_code', 'model_id',
    'model', 'resource_arns', 'latency', 'service_tier', 'guardrail', 'guardrail_units',
    'metadata',
] %}
{% set of_log = [
    'logged_arn', 'logged_model_id', 'logged_operation', 'logged_error_code',
    'logged_latency', 'logged_service_tier', 'logged_metadata',
] %}
{% set near = 'date_diff(
    \'second\',
    from_iso8601_timestamp(call_time),
    from_iso8601_timestamp(target_time)
) between -7200 and 3600' %}
with events as (
    select
        {{ athena.time('eventtime') }} as event_time,
        eventid as event_id,
        coalesce(eventtype, '') = 'AwsServiceEvent' as is_service_event,
        nullif(addendum.originaleventid, '') is not null as is_correction,
        coalesce(nullif(addendum.originaleventid, ''), eventid) as call_id,
        case
            when
                eventtype = 'AwsServiceEvent'
                then {{ athena.scalar('serviceeventdetails', 'parentRequestId') }}
            when
                nullif(addendum.originaleventid, '') is not null
                then coalesce(nullif(addendum.originalrequestid, ''), requestid)
            else requestid
        end as request_id,
        coalesce(
            nullif(recipientaccountid, ''), nullif(useridentity.accountid, ''), 'unknown'
        ) as account_id,
        coalesce(nullif(awsregion, ''), 'unknown') as region,
        coalesce(recipientaccountid = useridentity.accountid, true) as is_home_copy,
        nullif(sharedeventid, '') as shared_id,
        eventsource as event_source,
        eventname as event_name,
        recipientaccountid as recipient_account_id,
        useridentity.type as identity_type,
        useridentity.principalid as identity_principal_id,
        useridentity.arn as identity_arn,
        useridentity.accountid as identity_account_id,
        useridentity.username as identity_user_name,
        useridentity.invokedby as identity_invoked_by,
        useridentity.onbehalfof.userid as identity_on_behalf_of,
        useridentity.sessioncontext.sessionissuer.arn as issuer_arn,
        useridentity.sessioncontext.sessionissuer.username as issuer_user_name,
        useridentity.sessioncontext.sourceidentity as source_identity,
        useridentity.sessioncontext.webidfederationdata.federatedprovider
            as federated_provider,
        useragent as user_agent,
        nullif(errorcode, '') as error_code,
        {{ athena.scalar('requestparameters', 'modelId') }} as model_id,
        {{ athena.scalar('requestparameters', 'model') }} as model,
        array_join(transform(resources, one -> one.arn), ' ') as resource_arns,
        {{ athena.scalar('requestparameters', 'performanceConfig.latency') }} as latency,
        coalesce(
            {{ athena.scalar('additionaleventdata', 'resolvedServiceTier.type') }},
            {{ athena.scalar('additionaleventdata', 'resolvedServiceTier') }},
            {{ athena.scalar('additionaleventdata', 'serviceTier.type') }},
            {{ athena.scalar('additionaleventdata', 'serviceTier') }},
            {{ athena.scalar('requestparameters', 'serviceTier.type') }},
            {{ athena.scalar('requestparameters', 'serviceTier') }},
            {{ athena.scalar('requestparameters', 'service_tier') }}
        ) as service_tier,
        coalesce(
            {{ athena.scalar('requestparameters', 'guardrailIdentifier') }},
            {{ athena.scalar('requestparameters', 'guardrailConfig.guardrailIdentifier') }}
        ) as guardrail,
        if(
            eventname = 'ApplyGuardrail',
            json_format(json_extract(responseelements, '$.usage'))
        ) as guardrail_units,
        {{ athena.metadata('requestparameters', ['requestMetadata', 'metadata']) }}
            as metadata,
        {{ athena.counts('additionaleventdata', '', 'extra') }},
        {{ athena.counts('responseelements', 'usage.', 'usage') }},
        {{ athena.counts('responseelements', '', 'response') }},
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
        {{ athena.counts_of_entries('entries', 'entry') }}
    from events
),

-- Events, the records of logs, and service events. source_key: of the newest of the forms
-- that have any count; the table token_sources has the keys.
reports as (
    select
        if(is_service_event, 3, 1) as part,
        event_time,
        event_id,
        is_correction,
        call_id,
        request_id,
        account_id,
        region,
        is_home_copy,
        shared_id,
        {{ columns.each(of_event) }},
        {{ columns.each(of_log, 'cast(null as varchar) as {}') }},
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
    union all
    select
        2,
        {{ athena.time('"timestamp"') }},
        requestid,
        false,
        accountid || ' ' || coalesce(nullif(region, ''), 'unknown') || ' ' || requestid,
        requestid,
        accountid,
        coalesce(nullif(region, ''), 'unknown'),
        true,
        cast(null as varchar),
        {{ columns.each(of_event, 'cast(null as varchar)') }},
        identity.arn,
        modelid,
        operation,
        nullif(errorcode, ''),
        performanceconfig.latency,
        -- A word, or an object with one.
        coalesce(
            nullif(regexp_extract(servicetier, '"type" *: *"([^"]+)"', 1), ''), servicetier
        ),
        {{ athena.metadata('requestmetadata', ['']) }},
{% for kind in athena.kinds %}
        {{ athena.number(kind.log | lower) }},
{% endfor %}
        1
    from bedrock_logs
    where
        log_hour >= date_format(date_add('day', -1, date 'FIRST_DAY'), '%Y/%m/%d/00')
        and log_hour <= date_format(date_add('day', 1, date 'LAST_DAY'), '%Y/%m/%d/23')
        -- Files of bodies are in a folder below, and have neither.
        and schematype = 'ModelInvocationLog'
        and requestid <> ''
        and accountid <> ''
),

-- Of the events with one id, the latest correction gives the names, else the caller's
-- copy. The time is that of the original.
chosen as (
    select
        *,
        row_number() over (
            partition by part, call_id
            order by
                is_correction desc,
                if(is_correction, event_time) desc,
                if(is_correction, event_id) desc,
                is_home_copy desc,
                shared_id is null,
                shared_id,
                identity_arn is null,
                identity_arn,
                error_code is null,
                error_code,
                account_id,
                region,
                user_agent,
                event_time
        ) as choice,
        coalesce(
            min(if(not is_correction, event_time)) over (partition by part, call_id),
            min(event_time) over (partition by part, call_id)
        ) as call_time
    from reports
),

-- What is looked for in other events is that of the chosen one.
identified as (
    select
        *,
{% for column in ['account_id', 'region', 'request_id'] %}
        max(if(choice = 1, {{ column }})) over (partition by part, call_id)
            as call_{{ column }},
{% endfor %}
        -- The copies that accounts other than the caller's got have ids of their own.
        row_number() over (
            partition by
                part,
                choice = 1,
                if(
                    shared_id is not null,
                    shared_id || ' ' || coalesce(call_time, ''),
                    call_id
                )
            order by is_home_copy desc, call_id
        ) as copy
    from chosen
),

single as (
    select
        *,
        max(if(choice = 1, copy)) over (partition by part, call_id) as call_copy
    from identified
),

-- Of what has one request id: the call, else the log. Of several calls, a successful one,
-- and the first of them.
targeted as (
    select
        *,
{% for column in ['call_id', 'call_time'] %}
        first_value({{ column }}) over (
            partition by
                call_account_id,
                call_region,
                coalesce(call_request_id, call_id)
            order by
                part,
                choice <> 1,
                error_code is not null,
                call_time,
                call_id
        ) as {{ column | replace('call', 'target') }}{{ ',' if not loop.last }}
{% endfor %}
    from single
    where call_copy = 1
),

-- A log, or a service event, belongs to it if it is near its time.
assigned as (
    select
        *,
        case
            when part = 1 then call_id
            when
                {{ near }}
                then target_id
            when part = 2 then call_id
        end as call_key
    from targeted
),

-- Which report of tokens counts first: the log, the latest correction, the best source.
ranked as (
    select
        *,
        dense_rank() over (
            partition by call_key
            order by
                part <> 2,
                not is_correction,
                if(is_correction, event_time || event_id) desc,
                source_key
        ) as turn
    from assigned
    where call_key is not null
),

-- Of one source, the larger count.
called as (
    select
        call_key,
        max(call_account_id) as account_id,
        max(call_region) as region,
        coalesce(max(if(part = 1, call_time)), max(if(part = 2, call_time))) as call_time,
        bool_or(part = 1) as is_in_trail,
        bool_or(part = 2) as is_in_log,
        {{ columns.each(of_event, 'max(if(part = 1 and choice = 1, {0})) as {0}') }},
        {{ columns.each(of_log, 'max(if(part = 2 and choice = 1, {0})) as {0}') }},
        {{ athena.each('min_by({0}, turn * 1000000000000 - {0})
    filter (where {0} is not null) as {0}_tokens') }},
        min(source_key) filter (
            where coalesce({{ athena.each('{0}', ', ') }}) is not null
        ) as token_source_key
    from ranked
    group by call_key
),

sized as (
    select
        *,
        coalesce(input_tokens, 0)
        + coalesce(cache_read_tokens, 0)
        + coalesce(cache_write_tokens, 0) as request_size
    from called
)

select
    substr(call_time, 1, 13) || ':00:00Z' as hour,
    cast(substr(call_time, 15, 2) as integer) as minute,
    account_id,
    region,
    is_in_trail,
    is_in_log,
    {{ columns.each(of_event) }},
    {{ columns.each(of_log) }},
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
