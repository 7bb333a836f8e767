-- What is known of the calls of each hour, before any estimate and any price?
-- Grain: hour x account x rate key x user x application x token source (as
-- usage_hourly). Token columns are NULL where no call of the row knows that count;
-- cache_write_tokens is the sum of both lifetimes.
select
    hour,
    account_key,
    rate_key,
    user_key,
    application_key,
    token_source_key,
    calls,
    failed_calls,
    case
        when calls > input_unknown_calls or input_tokens > 0 then input_tokens
    end as input_tokens,
    case
        when calls > output_unknown_calls or output_tokens > 0 then output_tokens
    end as output_tokens,
    case
        when calls > cache_read_unknown_calls or cache_read_tokens > 0
            then cache_read_tokens
    end as cache_read_tokens,
    case
        when
            calls > cache_write_unknown_calls
            or cache_write_5m_tokens + cache_write_1h_tokens > 0
            then cache_write_5m_tokens
    end as cache_write_5m_tokens,
    case
        when
            calls > cache_write_unknown_calls
            or cache_write_5m_tokens + cache_write_1h_tokens > 0
            then cache_write_1h_tokens
    end as cache_write_1h_tokens,
    case
        when calls > image_unknown_calls or image_count > 0 then image_count
    end as image_count,
    input_unknown_calls,
    output_unknown_calls,
    cache_read_unknown_calls,
    cache_write_unknown_calls,
    image_unknown_calls
from usage_hourly
