-- Who used what, hour by hour, and what does it cost?
-- Grain: hour x account x region x model x user x application x data source.
-- Units: tokens; USD; *_picodollars are whole numbers, 10^12 = 1 USD, for exact sums.
-- Caveats: a token column is NULL where unknown, a cost where the tokens or a price are
-- unknown. data_source tells measured from estimated rows. A row may count no call: the
-- estimated part of calls counted elsewhere, or (unattributed) usage.
-- For days and longer, usage_cost_daily gives the same sums from far fewer rows.
-- No discount is configured in this version: cost_usd equals list_cost_usd.
select
    period as hour,
    day,
    account_id,
    region,
    model_id,
    user_name,
    application,
    data_source,
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens,
    sum(cache_read_tokens) as cache_read_tokens,
    sum(cache_write_tokens) as cache_write_tokens,
    sum(image_count) as image_count,
    sum(list_cost_picodollars) / 1e12 as list_cost_usd,
    sum(list_cost_picodollars) / 1e12 as cost_usd,
    sum(list_cost_picodollars) as cost_picodollars,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    sum(calls_without_tokens) as calls_without_tokens
from int_usage_priced
where period_kind = 'hour'
group by period, day, account_id, region, model_id, user_name, application, data_source
