-- Is there only one price at a time? Each row is a pair of rates for the same usage and
-- day.
select
    one.price_id as price_id,
    other.price_id as other_price_id,
    one.model_id,
    one.region,
    one.scope,
    one.service_tier,
    one.token_kind
from prices as one
inner join prices as other
    on
        other.model_id = one.model_id
        and other.region = one.region
        and other.scope = one.scope
        and other.service_tier = one.service_tier
        and other.token_kind = one.token_kind
        and other.min_input_tokens = one.min_input_tokens
        and other.origin = one.origin
        and other.rate_class = one.rate_class
        and one.corrected_on is null
        and other.corrected_on is null
        and other.price_id <> one.price_id
        and other.effective_from >= one.effective_from
        and (one.effective_to is null or other.effective_from < one.effective_to)
