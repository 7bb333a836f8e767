-- How many tokens of each kind are known in each hour, and how many calls lack them?
-- Grain: hour x account x rate key x token kind.
with totals as (
    select
        hour,
        account_key,
        rate_key,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cache_read_tokens) as cache_read_tokens,
        sum(cache_write_5m_tokens + cache_write_1h_tokens) as cache_write_tokens,
        sum(image_count) as image_count,
        sum(input_unknown_calls) as input_unknown_calls,
        sum(output_unknown_calls) as output_unknown_calls,
        sum(cache_read_unknown_calls) as cache_read_unknown_calls,
        sum(cache_write_unknown_calls) as cache_write_unknown_calls,
        sum(image_unknown_calls) as image_unknown_calls
    from usage_hourly
    group by hour, account_key, rate_key
),

kinds (token_kind) as (
    values ('input'), ('output'), ('cache_read'), ('cache_write'), ('image')
),

final as (
    select
        totals.hour,
        totals.account_key,
        totals.rate_key,
        kinds.token_kind,
        case kinds.token_kind
            when 'input' then totals.input_tokens
            when 'output' then totals.output_tokens
            when 'cache_read' then totals.cache_read_tokens
            when 'cache_write' then totals.cache_write_tokens
            when 'image' then totals.image_count
        end as known_tokens,
        case kinds.token_kind
            when 'input' then totals.input_unknown_calls
            when 'output' then totals.output_unknown_calls
            when 'cache_read' then totals.cache_read_unknown_calls
            when 'cache_write' then totals.cache_write_unknown_calls
            when 'image' then totals.image_unknown_calls
        end as unknown_calls
    from totals
    cross join kinds
)

select * from final
