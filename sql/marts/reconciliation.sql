-- Do the tokens given to users add up to what CloudWatch counted?
-- Grain: day x region x model. Units: tokens of all kinds (input, output, cache).
-- difference = actual + estimated + unattributed - CloudWatch. It is 0 where CloudWatch
-- covers every hour, above 0 where calls report more than CloudWatch counted or
-- CloudWatch lacks hours, and NULL where CloudWatch has no figures. The billed figures
-- are usage alone, and NULL where no bill covers the day.
with attributed as (
    select
        day,
        region,
        model_id,
        sum(actual_tokens) as actual_tokens,
        sum(estimated_tokens) filter (where application <> '(unattributed)')
            as estimated_tokens,
        sum(estimated_tokens) filter (where application = '(unattributed)')
            as unattributed_tokens
    from daily_costs_by_application
    group by day, region, model_id
),

cloudwatch as (
    select
        daily.day,
        regions.region,
        int_models.canonical_model_id as model_id,
        sum(daily.cloudwatch_tokens) as cloudwatch_tokens,
        sum(daily.cloudwatch_calls) as cloudwatch_calls,
        max(daily.is_provisional) as is_provisional
    from int_cloudwatch_daily as daily
    inner join regions on regions.region_key = daily.region_key
    inner join int_models on int_models.model_key = daily.model_key
    group by daily.day, regions.region, int_models.canonical_model_id
),

billed as (
    select
        day,
        region,
        model_id,
        sum(billed_tokens) as billed_tokens,
        {{ money.dollars('billed_cost_picodollars') }} as billed_cost_usd
    from int_bill_lines
    where charge_kind = 'usage'
    group by day, region, model_id
),

billed_days as (
    select distinct day from bill_days
),

-- Also what only the bill knows.
places as (
    select
        day,
        region,
        model_id
    from attributed
    union
    select
        day,
        region,
        model_id
    from billed
),

final as (
    select
        places.day,
        places.region,
        places.model_id,
        attributed.actual_tokens,
        attributed.estimated_tokens,
        attributed.unattributed_tokens,
        cloudwatch.cloudwatch_tokens,
        cloudwatch.cloudwatch_calls,
        coalesce(attributed.actual_tokens, 0)
        + coalesce(attributed.estimated_tokens, 0)
        + coalesce(attributed.unattributed_tokens, 0)
        - cloudwatch.cloudwatch_tokens as difference_tokens,
        cloudwatch.is_provisional,
        coalesce(billed.billed_tokens, iif(billed_days.day is null, null, 0))
            as billed_tokens,
        coalesce(billed.billed_cost_usd, iif(billed_days.day is null, null, 0))
            as billed_cost_usd
    from places
    left join attributed
        on
            attributed.day = places.day
            and attributed.region = places.region
            and attributed.model_id = places.model_id
    left join cloudwatch
        on
            cloudwatch.day = places.day
            and cloudwatch.region = places.region
            and cloudwatch.model_id = places.model_id
    left join billed
        on
            billed.day = places.day
            and billed.region = places.region
            and billed.model_id = places.model_id
    left join billed_days on billed_days.day = places.day
)

select * from final
