-- What did CloudWatch count that no known call can take?
-- Grain: hour x account x region x model. Units: tokens; USD at list price.
-- Usual causes: calls not loaded (another trail, data events), or calls that all know
-- fewer tokens than CloudWatch counted.
select
    hour,
    account_id,
    region,
    model_id,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    image_count,
    cost_usd
from usage_cost
where user_name = '(unattributed)'
