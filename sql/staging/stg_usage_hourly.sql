-- What is known and estimated of the calls of each hour, without prices?
-- Grain: as usage_hourly. Units: tokens, images, calls. Known counts are NULL where no
-- call of the row knows them.
select
    hour,
    account_key,
    rate_key,
    user_key,
    application_key,
    token_source_key,
    calls,
    failed_calls,
    iif(calls > input_unknown_calls or input_tokens > 0, input_tokens, null)
        as input_tokens,
    iif(calls > output_unknown_calls or output_tokens > 0, output_tokens, null)
        as output_tokens,
    iif(
        calls > cache_read_unknown_calls or cache_read_tokens > 0,
        cache_read_tokens,
        null
    ) as cache_read_tokens,
    iif(
        calls > cache_write_unknown_calls
        or cache_write_5m_tokens + cache_write_1h_tokens > 0,
        cache_write_5m_tokens,
        null
    ) as cache_write_5m_tokens,
    iif(
        calls > cache_write_unknown_calls
        or cache_write_5m_tokens + cache_write_1h_tokens > 0,
        cache_write_1h_tokens,
        null
    ) as cache_write_1h_tokens,
    iif(calls > image_unknown_calls or image_count > 0, image_count, null)
        as image_count,
    estimated_calls,
    estimated_input_tokens,
    estimated_output_tokens,
    estimated_cache_read_tokens,
    estimated_cache_write_tokens,
    estimated_image_count
from usage_hourly
