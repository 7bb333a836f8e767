-- Do CloudTrail and the invocation logs report the same tokens?
-- Grain: day x region x model, over the calls whose tokens both report. Units: calls;
-- tokens. *_difference_tokens = log less CloudTrail, over the calls for which both
-- report that kind, as reported: input may contain cached tokens in one of them only.
-- Costs use the log's counts.
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
    -- cross join: these calls first, then each by its key.
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
