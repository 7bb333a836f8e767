-- Who called for the first time, or with what nobody expects of them?
-- Grain: caller (principal, user that the event names) x kind x value, first used in
-- the last thirty days with usage, once two weeks are known. kind: principal, or a
-- region, model, agent (software, without versions) or network of a caller known for
-- two weeks: one that nobody used before; a machine's first new network in two weeks,
-- of three at most; or several of them within an hour, an agent or a network among
-- them (unless the caller has new ones all the time). Units: calls and USD of that
-- first day.

-- A region, model, agent or network that is new to a caller alone is common: people
-- travel and try things. int_first_uses has them all.
with {{ watch.bounds() }},

uses as materialized (
    select
        int_first_uses.*,
        known_since <= date(day, '-{{ watch.known_days }} days') as is_known
    from int_first_uses
),

recent as materialized (
    select uses.*
    from uses
    cross join bounds
    where
        uses.day >= bounds.shown_from
        and (uses.is_known or uses.kind = 'principal')
),

together as (
    select
        one.principal_key,
        one.found_user_key,
        one.kind,
        one.value_key,
        group_concat(distinct other.kind) as others,
        max(
            one.kind in ('agent', 'network')
            and one.new_lately <= {{ watch.habitual_new }},
            max(
                other.kind in ('agent', 'network')
                and other.new_lately <= {{ watch.habitual_new }}
            )
        ) as is_telling
    from recent as one
    inner join recent as other
        on
            other.principal_key = one.principal_key
            and other.found_user_key = one.found_user_key
            and other.kind <> one.kind
            and abs(julianday(other.first_time) - julianday(one.first_time)) <= 1 / 24.0
    where one.kind <> 'principal' and other.kind <> 'principal'
    group by one.principal_key, one.found_user_key, one.kind, one.value_key
),

judged as (
    select
        recent.*,
        case
            when recent.kind = 'principal' then 'its first call'
            when together.is_telling then 'new together with: ' || together.others
            when
                recent.is_new_to_all
                and recent.kind in ('region', 'model')
                then 'nobody used it before'
            when
                recent.is_new_to_all
                and recent.kind = 'agent'
                and recent.earlier_values <= 5
                and recent.previous_time
                < date(recent.day, '-{{ watch.known_days }} days')
                then 'nobody used it before'
            when
                recent.kind = 'network'
                and recent.is_machine
                and recent.earlier_values between 1 and 2
                and recent.previous_time
                < date(recent.day, '-{{ watch.known_days }} days')
                then 'this machine never called from there'
        end as why
    from recent
    left join together
        on
            together.principal_key = recent.principal_key
            and together.found_user_key = recent.found_user_key
            and together.kind = recent.kind
            and together.value_key = recent.value_key
),

costs as (
    select
        judged.principal_key,
        judged.found_user_key,
        judged.kind,
        judged.value_key,
        {{ money.dollars('priced_daily.cost_picodollars') }} as cost_usd
    from judged
    cross join priced_daily
        on
            priced_daily.day = judged.day
            and priced_daily.user_key = judged.user_key
    inner join rate_keys on rate_keys.rate_key = priced_daily.rate_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    where
        judged.why is not null
        and (judged.kind <> 'region' or rate_keys.region_key = judged.value_key)
        and (judged.kind <> 'model' or int_models.canonical_model_id = judged.value)
    group by
        judged.principal_key,
        judged.found_user_key,
        judged.kind,
        judged.value_key
)

select
    judged.first_time,
    judged.kind,
    judged.value,
    judged.why,
    judged.user_name,
    judged.principal_arn,
    judged.known_since,
    judged.earlier_values,
    judged.calls,
    judged.failed_calls,
    costs.cost_usd,
    judged.event_id,
    {{ ids.as_text('events.request_id') }} as request_id,
    {{ watch.inspect('judged.event_id') }}
        as next_step
from judged
left join costs
    on
        costs.principal_key = judged.principal_key
        and costs.found_user_key = judged.found_user_key
        and costs.kind = judged.kind
        and costs.value_key = judged.value_key
left join events
    on
        events.event_time = judged.first_time
        and {{ ids.as_text('events.event_id') }} = judged.event_id
where judged.why is not null
