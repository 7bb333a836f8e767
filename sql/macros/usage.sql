-- Usage by the hour and by the day: the same views over both tables, because SQLite has
-- no views with parameters.

{% import 'macros/columns' as columns %}
{% import 'macros/tokens' as tokens %}

{% macro staged(period, table) %}
select
    {{ period }},
    {{ columns.each(columns.keys) }},
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
    {{ columns.each(columns.estimates) }}
from {{ table }}
{% endmacro %}

{% macro known_caveats() %}
-- The two are what calls are known to use (or the calls of which nothing is known, with
-- the failed ones), and what CloudWatch estimates ((unattributed) usage and the
-- estimated part of calls that know some of their counts count no call). A token column
-- is NULL where unknown. Estimated cache writes are taken as 5-minute ones.
{% endmacro %}

-- Of a CTE parts: rows of usage, with is_estimated.
{% macro known(periods) %}
final as (
    select
        {{ columns.each(periods + columns.keys) }},
        data_source,
        case
            when is_estimated then estimated_calls
            when token_source_key = 0 then calls - estimated_calls
            else calls
        end as calls,
        iif(is_estimated, 0, failed_calls) as failed_calls,
        iif(is_estimated, estimated_input_tokens, input_tokens) as input_tokens,
        iif(is_estimated, estimated_output_tokens, output_tokens) as output_tokens,
        iif(is_estimated, estimated_cache_read_tokens, cache_read_tokens)
            as cache_read_tokens,
        iif(is_estimated, estimated_cache_write_tokens, cache_write_5m_tokens)
            as cache_write_5m_tokens,
        iif(is_estimated, null, cache_write_1h_tokens) as cache_write_1h_tokens,
        iif(is_estimated, estimated_image_count, image_count) as image_count
    from parts
    where
        case
            when is_estimated
                then
                    estimated_calls > 0
                    or {{ columns.each(columns.estimates, '{} > 0', '\nor ') }}
            when token_source_key = 0 then calls > estimated_calls or failed_calls > 0
            else true
        end
)

select * from final
{% endmacro %}

{% macro priced_units() %}
-- Units: list_cost_picodollars is a whole number of pico-dollars (10^12 = 1 USD): what
-- the kinds of token that have a price come to. NULL where tokens lack a price and none
-- has one, or no tokens are known. An unknown count adds nothing to the cost; a known
-- count of 0 needs no price.
-- Left out are unpriced_tokens (images included; unpriced_... tells them by kind), and
-- unpriced_calls: those of a model that has no price at all on their day. Both follow
-- from sums of counts, so that hours add up to days.
{% endmacro %}

{% macro priced(periods, view) %}
with rated as (
    select
        usage.*,
        -- A model may have rates of no kind that is counted, such as search units.
        {{ tokens.is_any(columns.priced_kinds, '{}_rate') }} as has_rates,
{% for count, price in columns.kinds %}
        iif({{ price }}_rate is null, coalesce({{ count }}, 0), 0)
            as unpriced_{{ count }},
{% endfor %}
        {{ tokens.pricing() }}
    from {{ view }} as usage
    left join int_rates as rates
        on
            rates.rate_key = usage.rate_key
            and usage.day >= rates.valid_from
            and usage.day < rates.valid_to
),

final as (
    select
        {{ columns.each(periods) }},
        account_key,
        rate_key,
        user_key,
        application_key,
        data_source,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens + coalesce(cache_write_1h_tokens, 0)
            as cache_write_tokens,
        image_count,
        {{ tokens.cost() }} as list_cost_picodollars,
        iif(has_rates, 0, calls) as unpriced_calls,
        unpriced_tokens,
        unpriced_input_tokens,
        unpriced_output_tokens,
        unpriced_cache_read_tokens,
        unpriced_cache_write_5m_tokens + unpriced_cache_write_1h_tokens
            as unpriced_cache_write_tokens,
        unpriced_image_count,
        iif(has_tokens, 0, calls) as calls_without_tokens
    from rated
)

select * from final
{% endmacro %}

-- The calls of a row of usage that lack a count, by its kind.
{% macro unknown_calls_of(kind) %}
case {{ kind }}
    when 'input' then usage.input_unknown_calls
    when 'output' then usage.output_unknown_calls
    when 'cache_read' then usage.cache_read_unknown_calls
    when 'cache_write' then usage.cache_write_unknown_calls
    when 'image' then usage.image_unknown_calls
end
{% endmacro %}
