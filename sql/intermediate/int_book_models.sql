-- Which models have prices, and under which ids?
-- Grain: model x id that its price may stand under; match_rank 1 is tried first. Models
-- in use, and the others that have a price on the last day of usage. work: which kinds
-- cost something, a bit for each, without cached tokens: models of the same work can
-- take each other's place.
{% set works = columns.kinds | rejectattr('name', 'in', columns.cache_kinds)
    | map(attribute='counts') | sum(start=()) | map(attribute='price') | list %}
with in_use as materialized (
    select
        int_models.canonical_model_id as model_id,
        -- Ids as sent that stand for one model have the same prices.
        min(int_models.price_model_key) as price_model_key
    from int_models
    where
        int_models.model_key in (select model_key from rate_keys)
        and not int_models.is_provisioned
    group by int_models.canonical_model_id
),

used as materialized (
    select
        in_use.model_id,
        ids.price_model_id,
        ids.match_rank,
        1 as is_in_use
    from in_use
    inner join model_price_ids as ids on ids.model_key = in_use.price_model_key
),

priced as materialized (
    select
        model_id,
        max(
            effective_from <= latest.day
            and (effective_to is null or effective_to > latest.day)
        ) as is_current,
{% for kind in works %}
        (
            max(
                usd_per_mtok > 0
                and {{ columns.without_variant('token_kind') }}
                = '{{ kind }}'
            ) << {{ loop.index0 }}
        ){{ ' +' if not loop.last }}
{% endfor %}
            as work
    from prices
    cross join (
        select coalesce(max(day), date('now')) as day from priced_daily_by_model
    ) as latest
    where
        corrected_on is null
        and {{ columns.without_variant('token_kind') }}
        in (
            {{ columns.each(works, "'{}'") }}
        )
    group by model_id
),

ids as (
    select * from used
    union all
    select
        model_id,
        model_id as price_model_id,
        1 as match_rank,
        0 as is_in_use
    from priced
    where
        is_current
        and model_id not in (select price_model_id from used)
)

select
    ids.model_id,
    ids.price_model_id,
    ids.match_rank,
    ids.is_in_use,
    substr(ids.model_id, 1, instr(ids.model_id, '.') - 1) as provider,
    max(priced.work) over (partition by ids.model_id) as work
from ids
inner join priced on priced.model_id = ids.price_model_id
