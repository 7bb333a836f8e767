-- What did guardrails charge that no other cost has?
-- Grain: one row. Units: text units and images together; USD, for units with a price.
-- unknown_calls: those with a guardrail whose units nothing shows.

-- The sum of guardrail_usage, but only the selected usage is read, and sums of it are
-- priced.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with chosen_applications as materialized (
    select
        model_key,
        application_key
    from int_applications
    where
        {{ filters.chosen('applications', 'application') }}
        and {{ filters.chosen('teams', 'team') }}
        and {{ filters.visible() }}
),

guarded as (
    select
        day,
        account_key,
        region_key,
        guardrail_use_key,
        sum(calls) as calls
    from guardrail_daily
    where
        {{ filters.days() }}
        and region_key in (
            select region_key from regions
            where {{ filters.chosen('regions', 'region') }}
        )
        and model_key in (
            select model_key from int_models
            where {{ filters.chosen('models', 'canonical_model_id') }}
        )
        and {{ filters.of_users() }}
        and {{ filters.of_applications('model_key') }}
    group by day, account_key, region_key, guardrail_use_key
),

used as (
    {{ guardrails.used('guarded', ['day', 'account_key', 'region_key']) }}
),

{{ guardrails.chosen() }}

select
    coalesce(sum(used.units), 0) as units,
    sum(used.units * chosen.rate) / 1e12 as cost_usd,
    coalesce(sum(used.units) filter (where chosen.rate is null), 0) as unpriced_units,
    coalesce(sum(used.calls) filter (where used.policy is null), 0) as unknown_calls
from used
{{ guardrails.join_chosen() }}
