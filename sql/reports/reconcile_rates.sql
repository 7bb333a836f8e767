-- At which rates does the bill charge what it charges at another rate than ours?
-- Grain: month x payer x model x region x inference scope x tier x token kind x context
-- size x day with such usage, whatever its rate. Units: pico-dollars per token.
-- lowest_rate and highest_rate are what the bill implies, ours where it differs by no
-- more than rounding. :months is a JSON array.
{% set use = [
    'month',
    'payer_account_id',
    'model_id',
    'region',
    'inference_scope',
    'service_tier',
    'token_kind',
    'min_input_tokens',
] %}
with charged as (
    select
        {{ columns.each(use) }},
        day,
        rate as our_rate,
        iif(
            {{ bill_differences.is_rounding('billed_cost - billed * rate') }},
            rate,
            cast(round(billed_cost * 1.0 / billed) as integer)
        ) as billed_rate
    from int_bill_cells
    where
        {{ bill_differences.of_months }}
        and charge_kind = 'usage'
        and billed > 0
        and billed_cost > 0
        and (
            {{ columns.each(use) }}
        ) in (
            select
                {{ columns.each(use, 'reasons.{}') }}
            from bill_reasons as reasons
            where
                reasons.reason = 'price'
                and reasons.{{ bill_differences.of_months }}
        )
)

select
    {{ columns.each(use) }},
    day,
    min(billed_rate) as lowest_rate,
    max(billed_rate) as highest_rate,
    max(billed_rate is not our_rate) as is_another
from charged
group by
    {{ columns.each(use) }},
    day
order by
    {{ columns.each(use) }},
    day
