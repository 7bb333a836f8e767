-- Which usage has no price, which price did it nearly match, and what would price it?
-- Grain: model x region x scope x tier x context size x kind of token x price nearly
-- matched. Units: calls; tokens (or images); USD per million; UTC days. missing says in
-- what the price differs. It is only shown: the usage is in no cost. import_row is what
-- to write into a file for command: replace USD_PER_MTOK and SOURCE. It is NULL where
-- another row's import_row is for the same price.

-- The nearest price is one of the model's, with the fewest differences; of those, one
-- that differs in the first of date, size, region, scope, tier and kind. Then: as
-- int_rates chooses; a region of the same part of the world; the closest threshold; the
-- latest that ended before, else the earliest that begins after; the first kind by its
-- first word, input, output; the name; the oldest row. A model without prices has those
-- of the model of its provider whose id begins most alike, for half of the id at least.
-- Each CTE is used once or twice only: SQLite plans every use of one by itself.
{% set key = [
    'model_id',
    'region',
    'inference_scope',
    'service_tier',
    'min_input_tokens',
] %}
{% set differences = [
    'other_kind',
    'other_tier',
    'other_scope',
    'other_region',
    'other_size',
    'other_date',
] %}
with unpriced as materialized (
    select
        int_models.canonical_model_id as model_id,
        regions.region,
        int_models.inference_scope,
        rate_keys.service_tier,
        rate_keys.min_input_tokens,
        int_models.price_model_key,
        -- What an application profile stands for, its model id does not say.
        int_models.model_id like '%:application-inference-profile/%'
        and int_models.profile_application is null as is_unknown_profile,
        int_models.is_provisioned,
        {{ columns.by_variant('unpriced.token_kind', 'rate_keys.variant') }}
            as token_kind,
        unpriced.day,
        unpriced.calls,
        unpriced.tokens
    from int_unpriced_counts as unpriced
    inner join rate_keys on rate_keys.rate_key = unpriced.rate_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
),

keys as (
    select
        {{ columns.each(key) }},
        -- Ids as sent that stand for one model have the same prices.
        min(price_model_key) as price_model_key
    from unpriced
    group by {{ key | join(', ') }}
),

own_ids as (
    select distinct
        {{ columns.each(key, 'keys.{}') }},
        prices.model_id as own_id,
        model_price_ids.match_rank,
        nullif(
            substr(keys.model_id, 1, instr(keys.model_id, '.') - 1), ''
        ) as provider
    from keys
    left join (
        model_price_ids
        inner join prices
            on
                prices.model_id = model_price_ids.price_model_id
                and prices.corrected_on is null
    )
        on model_price_ids.model_key = keys.price_model_key
),

lengths as (
    select 1 as length
    union all
    select length + 1 from lengths where length < 100
),

ids as (
    select
        *,
        coalesce(own_id, (
            select listed.model_id
            from (
                select distinct model_id from prices
                where
                    corrected_on is null
                    -- The index finds the provider's ids: / follows the dot.
                    and model_id > own_ids.provider || '.'
                    and model_id < own_ids.provider || '/'
            ) as listed
            inner join lengths
                on
                    lengths.length >= length(own_ids.model_id) / 2
                    and lengths.length <= length(own_ids.model_id)
                    and substr(listed.model_id, 1, lengths.length)
                    = substr(own_ids.model_id, 1, lengths.length)
            order by lengths.length desc, listed.model_id
            limit 1
        )) as price_model_id
    from own_ids
),

candidates as materialized (
    select
        {{ columns.each(key, 'ids.{0} as used_{0}') }},
        ids.match_rank,
        ids.own_id is null as other_model,
        prices.*,
        prices.scope <> ids.inference_scope as other_scope,
        prices.service_tier <> ids.service_tier as other_tier,
        prices.min_input_tokens > ids.min_input_tokens as is_larger,
        case prices.token_kind
{% for other, price, turn in columns.other_prices %}
            when '{{ other }}' then '{{ price }}'
{% endfor %}
            else
                {{ columns.without_variant('prices.token_kind') }}
        end as counted_as,
        prices.region <> ids.region
        and (prices.region <> '*' or ids.region like 'us-gov-%') as other_region,
        prices.region = '*' as is_any_region,
        substr(prices.region, 1, instr(prices.region, '-'))
        <> substr(ids.region, 1, instr(ids.region, '-')) as is_far,
        abs(prices.min_input_tokens - ids.min_input_tokens) as size_distance
    from ids
    inner join prices
        on prices.model_id = ids.price_model_id and prices.corrected_on is null
),

changes as (
    select distinct
        {{ columns.each(key, 'used_{}') }},
        case ends.is_end
            when 0 then effective_from
            when 1 then effective_to
            else ''
        end as changed_on
    from candidates
    cross join (
        select 0 as is_end
        union all
        select 1 as is_end
        union all
        select 2 as is_end
    ) as ends
    where ends.is_end <> 1 or effective_to is not null
),

periods as materialized (
    select
        *,
        lead(changed_on, 1, '9999') over (
            partition by
                {{ columns.each(key, 'used_{}') }}
            order by changed_on
        ) as changed_next
    from changes
),

-- Between two changes, every day has the same nearest price.
used as (
    select
        {{ columns.each(key, 'unpriced.{}') }},
        unpriced.token_kind,
        periods.changed_on,
        periods.changed_next,
        max(unpriced.is_unknown_profile) as is_unknown_profile,
        max(unpriced.is_provisioned) as is_provisioned,
        min(unpriced.day) as first_day,
        max(unpriced.day) as last_day,
        sum(unpriced.calls) as calls,
        sum(unpriced.tokens) as tokens
    from unpriced
    left join periods
        on
            {{ columns.each(key, 'periods.used_{0} = unpriced.{0}', '\nand ') }}
            and periods.changed_on <= unpriced.day
            and periods.changed_next > unpriced.day
    group by
        {{ columns.each(key, 'unpriced.{}') }},
        unpriced.token_kind,
        periods.changed_on,
        periods.changed_next
),

compared as (
    select
        used.*,
        candidates.price_id,
        candidates.other_model,
        coalesce(
            candidates.counted_as
            <> {{ columns.without_variant('used.token_kind') }},
            candidates.counted_as not in (
                {{ columns.each(columns.priced_kinds, "'{}'") }}
            )
        ) as other_kind,
        candidates.other_tier,
        candidates.other_scope,
        candidates.other_region,
        -- A price of images of one size is none of another, or of an unknown one.
        candidates.is_larger
        or (
            candidates.counted_as in ({{ columns.each(columns.varied, "'{}'", ', ') }})
            and coalesce(
                candidates.token_kind not in (candidates.counted_as, used.token_kind),
                true
            )
        ) as other_size,
        candidates.effective_from > used.first_day
        or coalesce(candidates.effective_to <= used.first_day, 0) as other_date,
        candidates.origin,
        candidates.match_rank,
        candidates.is_any_region,
        candidates.is_far,
        candidates.size_distance,
        candidates.effective_from,
        candidates.effective_to,
        candidates.token_kind as price_kind,
        candidates.region as price_region
    from used
    left join candidates
        on {{ columns.each(key, 'candidates.used_{0} = used.{0}', '\nand ') }}
),

ranked as (
    select
        *,
        row_number() over (
            partition by
                {{ columns.each(key) }},
                token_kind,
                changed_on
            order by
                {{ columns.each(differences, between='\n+ ') }},
                {{ columns.each(differences[:5]) }},
                origin,
                match_rank,
                is_any_region,
                is_far,
                size_distance,
                effective_from > first_day,
                iif(effective_from > first_day, effective_from, null),
                effective_to desc,
                substr(price_kind, 1, 5) <> substr(token_kind, 1, 5),
                price_kind <> 'input',
                price_kind <> 'output',
                price_kind,
                price_region,
                effective_from desc,
                price_id
        ) as choice
    from compared
),

-- A gap is as long as its nearest price is the same.
gaps as (
    select
        {{ columns.each(key) }},
        token_kind,
        price_id,
        max(is_unknown_profile) as is_unknown_profile,
        max(is_provisioned) as is_provisioned,
        min(first_day) as first_day,
        max(last_day) as last_day,
        sum(calls) as calls,
        sum(tokens) as tokens,
        max(coalesce(other_model, 1)) as other_model,
        {{ columns.each(differences[:5], 'max({0}) as {0}') }},
        other_date,
        -- A rate for these days must end where a later price begins.
        max(iif(other_date, changed_next, '')) as later_price_from
    from ranked
    where choice = 1
    group by
        {{ columns.each(key) }},
        token_kind,
        price_id,
        other_date
),

{% set import_key = key[:4] + ['import_kind', 'import_min_input_tokens'] %}
importable as (
    select
        gaps.*,
        -- A price of the input stands for calls without counts too.
        coalesce(
            gaps.token_kind,
            iif(
                max(coalesce(gaps.token_kind = 'input', 0)) over (
                    partition by
                        {{ columns.each(key, 'gaps.{}') }}
                ),
                null,
                'input'
            )
        ) as import_kind,
        iif(
            near.min_input_tokens <= gaps.min_input_tokens,
            near.min_input_tokens,
            0
        ) as import_min_input_tokens,
        case
            when gaps.is_provisioned or gaps.model_id = '(not stated)' then null
            when gaps.is_unknown_profile then 'bedrock-usage sync --source catalogue'
            else 'bedrock-usage prices import FILE'
        end as command
    from gaps
    left join prices as near on near.price_id = gaps.price_id
),

-- One row may price several gaps, such as those of two sizes.
ended as (
    select
        *,
        nullif(
            min(
                coalesce(min(nullif(later_price_from, '')) over same_day, '9999'),
                coalesce(min(first_day) over next_day, '9999')
            ),
            '9999'
        ) as next_from,
        row_number() over (
            partition by
                {{ columns.each(import_key) }},
                first_day
            order by last_day desc, min_input_tokens, token_kind, price_id
        ) as import_number
    from importable
    window
        same_day as (
            partition by
                {{ columns.each(import_key) }},
                first_day
        ),
        next_day as (
            partition by
                {{ columns.each(import_key) }}
            order by first_day
            groups between 1 following and 1 following
        )
),

final as (
    select
        {{ columns.each(key, 'ended.{}') }},
        ended.token_kind,
        ended.first_day,
        ended.last_day,
        ended.calls,
        ended.tokens,
        case
            when ended.is_provisioned then 'provisioned capacity'
            when ended.other_model then 'model'
            else rtrim(
{% for difference in differences | reverse %}
                {{ '|| ' if not loop.first }}iif(ended.{{ difference }}, '{{ difference[6:] }}, ', '')
{% endfor %}
                , ', '
            )
        end as missing,
        ended.price_id as near_price_id,
        near.model_id
        || ', ' || near.region
        || ', ' || near.scope
        || ', ' || near.service_tier
        || ', ' || near.token_kind
        || iif(near.min_input_tokens > 0, ' above ' || near.min_input_tokens, '')
        || ', from ' || near.effective_from
        || coalesce(' to ' || near.effective_to, '') as near_price,
        near.usd_per_mtok / 1e6 as near_usd_per_mtok,
        ended.command,
        iif(
            ended.command like '% prices import %'
            and ended.import_kind is not null
            and ended.import_number = 1,
            printf(
                '%s,%s,%s,%s,%s,%d,USD_PER_MTOK,%s,%s,SOURCE,%s',
                iif(
                    instr(ended.model_id, ',') or instr(ended.model_id, '"'),
                    '"' || replace(ended.model_id, '"', '""') || '"',
                    ended.model_id
                ),
                ended.region,
                ended.inference_scope,
                ended.service_tier,
                ended.import_kind,
                ended.import_min_input_tokens,
                ended.first_day,
                coalesce(ended.next_from, ''),
                date('now')
            ),
            null
        ) as import_row
    from ended
    left join prices as near on near.price_id = ended.price_id
)

select * from final
