-- What does a token cost, by model, region, tier and context size?
-- Grain: rate key x period of unchanged rates [valid_from, valid_to), UTC days.
-- Units: *_rate = pico-dollars per token (or image) before discounts; NULL where there
-- is no price. *_list_rate leaves out negotiated rates, which come before all others.

-- Each kind is looked up separately. A user's own rate comes before AWS's Price List,
-- and that before this release's prices: the names of the origins are in that order.
-- Then the exact model id comes before looser ones, the exact region before '*' (any
-- commercial region), the highest context threshold exceeded before lower ones. A price
-- of another scope, tier or kind never applies, but for the ordinary cache write: that
-- of a model without a 5-minute rate has its 30-minute one, and images and seconds of
-- video, whose price is that of their variant before one for any.
with uses as not materialized (
    select
        rate_keys.rate_key,
        model_price_ids.price_model_id,
        model_price_ids.match_rank,
        regions.region,
        int_models.inference_scope,
        rate_keys.service_tier,
        rate_keys.min_input_tokens,
        rate_keys.variant
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join model_price_ids
        on model_price_ids.model_key = int_models.price_model_key
),

{{ rates.candidates() }},

changes as (
    select
        rate_key,
        effective_from as changed_on
    from candidates
    union
    select
        rate_key,
        effective_to as changed_on
    from candidates
    where effective_to is not null
),

periods as (
    select
        rate_key,
        changed_on as valid_from,
        lead(changed_on)
            over (partition by rate_key order by changed_on) as valid_to
    from changes
),

ranked as (
    select
        periods.rate_key,
        periods.valid_from,
        periods.valid_to,
        candidates.counted_as as token_kind,
        candidates.usd_per_mtok,
        candidates.price_id,
        candidates.rate_class,
        row_number() over (
            partition by
                periods.rate_key,
                periods.valid_from,
                candidates.counted_as,
                candidates.rate_class
            order by
                {{ rates.preference() }}
        ) as choice
    from periods
    inner join candidates
        on
            candidates.rate_key = periods.rate_key
            and candidates.effective_from <= periods.valid_from
            and (
                candidates.effective_to is null
                or candidates.effective_to > periods.valid_from
            )
),

chosen as (
    select
        rate_key,
        valid_from,
        coalesce(valid_to, '9999-12-31') as valid_to,
{% for class in ('list', 'negotiated') %}
{% for price in columns.priced_kinds %}
        max(usd_per_mtok)
        filter (
            where token_kind = '{{ price }}' and rate_class = '{{ class }}'
        )
            as {{ price }}_{{ class }}_rate,
        max(price_id)
        filter (
            where token_kind = '{{ price }}' and rate_class = '{{ class }}'
        )
            as {{ price }}_{{ class }}_price_id{{ ',' if not loop.last }}
{% endfor %}
        {{- ',' if not loop.last }}
{% endfor %}
    from ranked
    where choice = 1
    group by rate_key, valid_from, valid_to
),

final as (
    select
        rate_key,
        valid_from,
        valid_to,
{% for price in columns.priced_kinds %}
        coalesce({{ price }}_negotiated_rate, {{ price }}_list_rate)
            as {{ price }}_rate,
{% endfor %}
        {{ columns.each(columns.priced_kinds, '{}_list_rate') }},
{% for price in columns.priced_kinds %}
        coalesce(
            {{ price }}_negotiated_price_id, {{ price }}_list_price_id
        )
            as {{ price }}_price_id,
{% endfor %}
        {{ columns.each(columns.priced_kinds, '{}_list_price_id') }}
    from chosen
)

select * from final
