-- Which failed calls, and which looks at the account, are like those with stolen keys?
-- Grain: kind x caller (principal, user) x account x hour, of the last thirty days with
-- usage, once two weeks are known. kind: refused calls (in one hour to five models in
-- regions or more, of three models or three regions, twice as many as in any hour of
-- the four weeks before; refused is denied, not valid or not found, or throttled where
-- the caller began to use the model or the region that day); listing regions (the
-- operations that list models, or read their access and invocation logging, in three
-- regions or more, unless that happened on three days of the four weeks before); or
-- logging switched off (any attempt). Units: events of the hour.
with {{ watch.bounds() }},

failures as materialized (
    select
        failed.*,
        min(models.model_key) over (partition by models.canonical_model_id)
            as own_model_key,
        error_codes.error_code
    from failed_hours as failed
    inner join error_codes on error_codes.error_code_key = failed.error_code_key
    inner join int_models as models on models.model_key = failed.model_key
),

refused as (
    select failures.*
    from failures
    where
        {{ errors.is_like(['denied', 'not valid', 'not found']) }}
        or (
            (error_code glob '*Throttl*' or error_code glob '*TooManyRequests*')
            and exists (
                select 1 from first_uses as uses
                where
                    uses.principal_key = failures.principal_key
                    and uses.found_user_key = failures.found_user_key
                    and uses.day = substr(failures.hour, 1, 10)
                    and (uses.kind, uses.value_key) in (
                        values ('model', failures.own_model_key),
                        ('region', failures.region_key)
                    )
            )
        )
),

refused_hours as materialized (
    select
        hour,
        principal_key,
        found_user_key,
        account_key,
        user_key,
        sum(failed_calls) as event_count,
        count(distinct own_model_key) as models,
        count(distinct region_key) as region_count,
        count(distinct own_model_key || ' ' || region_key) as places,
        group_concat(distinct error_code) as what,
        min(first_time) as first_time,
        first_event_id
    from refused
    group by hour, principal_key, found_user_key, account_key
),

bursts as (
    select
        refused_hours.*,
        max(places) over (
            partition by principal_key, found_user_key
            order by julianday(hour)
            range between 28 preceding and current row
            exclude current row
        ) as places_before
    from refused_hours
),

looks as materialized (
    {{ watch.of_control_events("event_name glob 'List*' or event_name glob 'Get*'") }}
    having region_count >= 3
),

unusual_looks as (
    select looks.*
    from looks
    where
        3 > (
            select count(distinct substr(earlier.hour, 1, 10))
            from looks as earlier
            where
                earlier.principal_key = looks.principal_key
                and earlier.found_user_key = looks.found_user_key
                and earlier.hour < substr(looks.hour, 1, 10)
                and earlier.hour >= date(looks.hour, '-28 days')
        )
),

switched_off as (
    {{ watch.of_control_events("event_name = 'DeleteModelInvocationLoggingConfiguration'") }}
),

found as (
    select
        'refused calls' as kind,
        hour,
        principal_key,
        account_key,
        user_key,
        event_count,
        models,
        region_count,
        what,
        first_time,
        first_event_id
    from bursts
    where
        places >= 5
        and (models >= 3 or region_count >= 3)
        and places >= 2 * coalesce(places_before, 0)
{% for kind, relation in (
    ('listing regions', 'unusual_looks'),
    ('logging switched off', 'switched_off'),
) %}
    union all
    select
        '{{ kind }}' as kind,
        hour,
        principal_key,
        account_key,
        user_key,
        event_count,
        null as models,
        region_count,
        what,
        first_time,
        first_event_id
    from {{ relation }}
{% endfor %}
)

select
    found.hour,
    found.kind,
    users.user_name,
    principals.principal_arn,
    accounts.account_id,
    found.event_count,
    found.models as model_count,
    found.region_count,
    found.what,
    found.first_time,
    found.event_id,
    {{ watch.inspect('found.event_id') }}
        as next_step
from (
    select
        *,
        {{ ids.as_text('first_event_id') }} as event_id
    from found
) as found
inner join principals on principals.principal_key = found.principal_key
inner join accounts on accounts.account_key = found.account_key
inner join stg_users as users on users.user_key = found.user_key
cross join bounds
where
    found.hour >= bounds.shown_from
    or found.kind = 'logging switched off'
