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
with differing as materialized (
    select distinct
        {{ columns.each(use) }}
    from bill_reasons
    where {{ bill_differences.of_months }} and reason = 'price'
),

charged as (
    select
        {{ columns.each(use, 'cells.{}') }},
        cells.day,
        cells.rate as our_rate,
        iif(
            {{ bill_differences.is_rounding('billed_cost - billed * rate') }},
            cells.rate,
            cast(round(cells.billed_cost * 1.0 / cells.billed) as integer)
        ) as billed_rate
    from differing
    cross join int_bill_cells as cells
        on
            {{ columns.each(use, 'cells.{0} = differing.{0}', '\nand ') }}
    where cells.charge_kind = 'usage' and cells.billed > 0 and cells.billed_cost > 0
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
