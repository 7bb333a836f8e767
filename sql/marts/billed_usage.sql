-- What does AWS's bill charge for Bedrock each day?
-- Grain: day x payer x account x region x model x token kind x inference scope x tier x
-- context size x user x application x team x charge kind x currency. Columns are NULL
-- where they do not apply, and where the line is not understood.
{{ bill.units() }}
{% set keys = [
    'day',
    'payer_account_id',
    'account_id',
    'region',
    'model_id',
    'token_kind',
    'inference_scope',
    'service_tier',
    'min_input_tokens',
    'user_name',
    'application',
    'team',
    'charge_kind',
    'currency',
] %}
select
    {{ columns.each(keys) }},
    sum(billed_tokens) as billed_tokens,
    sum(billed_units) as billed_units,
    {{ bill.amounts() }}
from int_bill_lines
group by
    {{ columns.each(keys) }}
