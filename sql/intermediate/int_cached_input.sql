-- How much of the input that calls report is in the cached tokens estimated for them?
-- Grain: usage_hourly row whose input is gross, and whose calls have a share of
-- CloudWatch's cached tokens. cached_tokens leave the row's input, or would be charged
-- twice.

-- First each row's own share, as far as its input goes. More leaves the largest inputs
-- of that hour and CloudWatch model where they are still more than CloudWatch counted;
-- or, where that is unknown, by how much a share exceeds its row's input.
{{ estimates.shares('int_cache_residuals', ['surplus_input']) }},

-- Sums over a window, not groups: SQLite then computes only the hours asked for.
by_row as (
    select
        {{ columns.each(columns.metric_model, 'shares.{}') }},
        {{ columns.each(columns.keys[1:], 'shares.{}') }},
        shares.token_kind = min(shares.token_kind) over own_row as is_first,
        max(shares.surplus_input) over own_row as surplus_input,
        sum(shares.tokens_up_to - shares.tokens_before) over own_row as share
    from shares
    window own_row as (
        partition by
            {{ columns.each(columns.metric_model, 'shares.{}') }},
            {{ columns.each(columns.keys[1:], 'shares.{}') }}
    )
),

-- Calls without tokens have no input to take from, but their shares count.
gross as (
    select
        by_row.*,
        iif(by_row.token_source_key = 0, 0, usage.input_tokens) as input_tokens
    from by_row
    inner join rate_keys on rate_keys.rate_key = by_row.rate_key
    inner join model_input_forms as forms
        on
            forms.model_key = rate_keys.model_key
            and (
                by_row.token_source_key = 0
                or (1 << by_row.token_source_key) & ~forms.gross_sources = 0
            )
    -- Tokens of calls of the hour before may have no row.
    left join usage_hourly as usage
        on
            usage.hour = by_row.hour
            and usage.account_key = by_row.account_key
            and usage.rate_key = by_row.rate_key
            and usage.user_key = by_row.user_key
            and usage.application_key = by_row.application_key
            and usage.token_source_key = by_row.token_source_key
    where by_row.is_first
),

own as (
    select
        *,
        min(share, input_tokens) as own_tokens,
        max(input_tokens - share, 0) as room,
        sum(min(share, input_tokens)) over series as all_own,
        sum(share) over series as all_shares,
        sum(iif(token_source_key > 0, max(share - input_tokens, 0), 0)) over series
            as too_much,
        sum(max(input_tokens - share, 0)) over larger as room_up_to
    from gross
    window
        series as (
            partition by {{ columns.metric_model | join(', ') }}
        ),
        larger as (
            partition by {{ columns.metric_model | join(', ') }}
            order by
                input_tokens - share desc,
                rate_key,
                user_key,
                application_key,
                token_source_key
            rows unbounded preceding
        )
),

more as (
    select
        *,
        max(min(coalesce(surplus_input - all_own, too_much), all_shares - all_own), 0)
            as left_over
    from own
),

final as (
    select
        {{ columns.each(columns.metric_model) }},
        {{ columns.each(columns.keys[1:]) }},
        own_tokens + max(min(room, left_over - (room_up_to - room)), 0)
            as cached_tokens
    from more
)

select * from final
where cached_tokens > 0
