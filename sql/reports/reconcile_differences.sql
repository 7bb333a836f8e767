-- Why does the bill differ from the warehouse's figures?
-- Grain: as the view bill_differences. :months is a JSON array.
select *
from bill_differences
where {{ bill_differences.of_months }}
order by
    month,
    payer_account_id,
    day,
    account_id,
    region,
    model_id,
    user_name,
    token_kind,
    reason,
    service_tier,
    inference_scope,
    min_input_tokens
