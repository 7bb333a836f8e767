-- Which rates were in force between two days, each as long as no other replaced it?
-- Grain: rate x stretch of days without another of a higher origin for the same use and
-- class, of those that meet :first_day to :last_day. Units: micro-dollars per million
-- tokens (or units). The columns are those that `prices import` reads; it refuses kinds
-- that are never counted, such as spoken tokens.
{% set use = [
    'model_id',
    'region',
    'scope',
    'service_tier',
    'token_kind',
    'min_input_tokens',
    'rate_class',
] %}
with known as (
    select
        *,
        coalesce(effective_to, '9999-12-31') as ends
    from prices
    where
        corrected_on is null
        and token_kind in (
            {{ columns.each(columns.known_prices, "'{}'") }}
        )
),

candidates as (
    select * from known
    where effective_from <= :last_day and ends > :first_day
),

-- Origins are in alphabetical order, the first of them counts.
higher as (
    select
        candidates.price_id,
        others.effective_from,
        others.ends
    from candidates
    inner join known as others
        on
            {{ columns.each(use, 'others.{0} = candidates.{0}', '\nand ') }}
            and others.origin < candidates.origin
            and others.effective_from < candidates.ends
            and others.ends > candidates.effective_from
),

changes as (
    select
        price_id,
        effective_from as changed_on
    from candidates
    union
    select
        price_id,
        effective_from as changed_on
    from higher
    union
    select
        price_id,
        ends as changed_on
    from higher
),

stretches as (
    select
        candidates.*,
        max(changes.changed_on, candidates.effective_from) as starts,
        lead(changes.changed_on, 1, candidates.ends)
            over (partition by changes.price_id order by changes.changed_on)
            as stops
    from changes
    inner join candidates on candidates.price_id = changes.price_id
    where changes.changed_on < candidates.ends
),

final as (
    select
        model_id,
        region,
        scope,
        service_tier,
        token_kind,
        min_input_tokens,
        usd_per_mtok,
        starts as effective_from,
        nullif(min(stops, ends), '9999-12-31') as effective_to,
        source,
        checked_on,
        rate_class,
        origin
    from stretches
    where
        starts < stops
        and starts <= :last_day
        and min(stops, ends) > :first_day
        and not exists (
            select 1 from higher
            where
                higher.price_id = stretches.price_id
                and higher.effective_from <= stretches.starts
                and higher.ends > stretches.starts
        )
)

select
    model_id,
    region,
    scope,
    service_tier,
    token_kind,
    min_input_tokens,
    usd_per_mtok,
    effective_from,
    effective_to,
    source,
    checked_on,
    rate_class
from final
order by
    model_id,
    scope,
    region,
    service_tier,
    token_kind,
    min_input_tokens,
    rate_class,
    effective_from
