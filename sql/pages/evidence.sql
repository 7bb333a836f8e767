-- How is it known which application made the calls, and for which team?
-- Grain: application x evidence x team x its evidence x user, over the selected days,
-- most calls first. Filters as in usage: :since, :until, :regions, :models, :users,
-- :applications, :teams.
-- evidence: config rule, role name, inference profile, mantle project, request
-- metadata, user agent or unknown.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with chosen as materialized (
    select
        rate_key,
        application_key,
        application,
        application_source as evidence,
        team,
        team_source as team_evidence
    from int_names
    where
        {{ filters.of_names() }}
        and {{ filters.visible() }}
),

-- Only the selection is summed, and named afterwards.
summed as (
    select
        rate_key,
        user_key,
        application_key,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls
    from priced_daily
    where
        {{ filters.of_chosen() }}
    group by rate_key, user_key, application_key
)

select
    chosen.application,
    chosen.evidence,
    chosen.team,
    chosen.team_evidence,
    users.user_name,
    sum(summed.calls) as calls,
    sum(summed.failed_calls) as failed_calls
from summed
inner join chosen
    on
        chosen.rate_key = summed.rate_key
        and chosen.application_key = summed.application_key
inner join stg_users as users on users.user_key = summed.user_key
group by
    chosen.application,
    chosen.evidence,
    chosen.team,
    chosen.team_evidence,
    users.user_name
order by
    calls desc,
    chosen.application,
    chosen.evidence,
    chosen.team,
    chosen.team_evidence,
    users.user_name
