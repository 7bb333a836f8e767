-- Where CloudTrail and the invocation log both know a call's tokens, do they agree?
-- Grain: day x region x model; only calls whose tokens both tell. Units: calls; tokens.
-- The log's counts are the ones that count. *_difference_tokens = log less CloudTrail,
-- over the calls where both know that kind.
{% set names = columns.kinds_of_tokens | map(attribute='name') | list %}
with compared as (
    select
        substr(said.event_time, 1, 10) as day,
        regions.region,
        int_models.canonical_model_id as model_id,
{% for kind in columns.kinds_of_tokens %}
        {{ columns.total(kind, 'tokens.{}') }}
        - ({{ columns.total(kind, 'said.{}') }})
            as {{ kind.name }}_difference{{ ',' if not loop.last }}
{% endfor %}
    from cloudtrail_tokens as said
    -- cross join: these calls first, then each of them by its key.
    cross join tokens
        on tokens.event_time = said.event_time and tokens.event_id = said.event_id
    cross join events
        on events.event_time = said.event_time and events.event_id = said.event_id
    inner join regions on regions.region_key = events.region_key
    inner join int_models on int_models.model_key = events.model_key
),

final as (
    select
        day,
        region,
        model_id,
        count(*) as calls_compared,
        sum(
            {{ columns.each(names, 'coalesce({}_difference, 0) <> 0', '\nor ') }}
        ) as calls_that_differ,
        {{ columns.each(names, 'coalesce(sum({0}_difference), 0) as {0}_difference_tokens') }}
    from compared
    group by day, region, model_id
)

select * from final
