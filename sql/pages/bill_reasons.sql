-- Why does AWS's bill differ from our figures, in the months of the selected days?
-- Grain: month x payer x reason x account x region x model x token kind x inference
-- scope x tier x context size x user x endpoint, the largest difference of a month
-- first. Units: USD, billed less ours; tokens; days. No row for visitors that may not
-- see all.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{% set keys = [
    'month',
    'payer_account_id',
    'reason',
    'account_id',
    'region',
    'model_id',
    'token_kind',
    'inference_scope',
    'service_tier',
    'min_input_tokens',
    'user_name',
    'endpoint',
] %}
select
    {{ columns.each(keys) }},
    count(distinct day) as days,
    sum(difference_tokens) as difference_tokens,
    min(our_usd_per_million) as our_usd_per_million,
    min(billed_usd_per_million) as billed_usd_per_million,
    {{ money.dollars('difference_picodollars') }} as difference_usd
from bill_differences
where
    {{ bill_differences.of_selected_days }}
    and {{ filters.sees_all() }}
group by
    {{ columns.each(keys) }}
order by month desc, payer_account_id, abs(sum(difference_usd)) desc, reason, model_id
