-- Lists of columns that belong together, and macros that write something for each.

-- What a call uses, kind by kind: defined in etl/normalise/token_kinds.py.
{% set kinds = token_kinds.KINDS | list %}
{% set kinds_of_tokens = token_kinds.TOKENS_ALONE | list %}
{% set counts = token_kinds.COUNT_COLUMNS | list %}
{% set token_counts = token_kinds.TOKEN_COLUMNS | list %}
{% set input_counts = token_kinds.INPUT_COLUMNS | list %}
{% set input_kind = token_kinds.INPUT_KINDS | first %}
{% set cache_kinds = token_kinds.INPUT_KINDS[1:] | list %}
{% set cache_counts = token_kinds.CACHE_COLUMNS | list %}

-- Each count with the kind that prices use for it.
{% set priced_counts = token_kinds.PRICED_COUNTS | list %}
{% set priced_kinds = token_kinds.PRICE_KINDS | list %}
{% set token_prices = kinds_of_tokens | map(attribute='counts') | sum(start=())
    | map(attribute='price') | list %}
{% set known_prices = token_kinds.PRICE_UNITS | list %}
{% set other_prices = token_kinds.OTHER_PRICES | list %}

-- Images have prices by size, and by quality or steps: image_<variant>; seconds of video
-- by resolution: video_second_<variant>.
{% set varied = token_kinds.VARIED %}
{% macro by_variant(kind, variant) %}
iif(
    {{ kind }} in ({{ each(varied, "'{}'", ', ') }})
    and {{ variant }} <> '',
    {{ kind }} || '_' || {{ variant }},
    {{ kind }}
)
{% endmacro %}

{% macro without_variant(kind) %}
case
{% for price, pattern in varied.items() %}
    when {{ kind }} like '{{ pattern }}' then '{{ price }}'
{% endfor %}
    else {{ kind }}
end
{% endmacro %}

-- The calls that lack a kind, and CloudWatch's estimate for it.
{% set unknown_calls = token_kinds.UNKNOWN_CALLS | list %}
{% set estimates = token_kinds.ESTIMATES | list %}
{% set estimate_of = token_kinds.ESTIMATE_OF %}
{% set priced_estimates = token_kinds.PRICED_ESTIMATES | list %}

-- Everything that usage_hourly and usage_daily count.
{% set known = ['calls', 'failed_calls'] + counts + unknown_calls + ['input_contradictions'] %}
{% set cached_input = token_kinds.CACHED_INPUT %}
{% set usage = known + ['estimated_calls'] + estimates + [cached_input] %}

-- The key of usage_hourly and usage_daily, besides their time.
{% set keys = [
    'account_key',
    'rate_key',
    'user_key',
    'application_key',
    'token_source_key',
] %}

-- The key of metric_hourly; without the kind, it is one of CloudWatch's models.
{% set metric_model = [
    'hour',
    'account_key',
    'region_key',
    'endpoint',
    'cloudwatch_model_id',
] %}
{% set metric_hour = metric_model + ['metric_kind'] %}

-- Whether two rows are of the same series, of whatever kind and hour.
{% macro same_series(one, other) -%}
{{ each(metric_model[1:], one ~ '.{0} = ' ~ other ~ '.{0}', '\nand ') }}
{%- endmacro %}

-- As views show them: the two kinds of cache write are one. Only shown has what is not
-- tokens, such as images.
{% set shown = token_kinds.SHOWN | list %}
{% set shown_tokens = token_kinds.SHOWN_TOKENS | list %}

-- What a cost leaves out: usage without a price or without tokens.
{% set left_out = ['unpriced_calls', 'unpriced_tokens', 'calls_without_tokens'] %}

-- What usage costs without discounts and negotiated rates, and what that leaves out.
{% set at_list_price = ['list_cost_picodollars', 'list_unpriced_tokens'] %}

-- What of a priced day is split among the teams of a shared application. The rest follows
-- from it: parts of a sum do not add up to the part of the sum.
{% set split = ['failed_calls', 'calls_with_tokens', 'calls_without_tokens', 'other_calls',
    'unpriced_tokens', 'list_unpriced_tokens'] + shown + ['actual_tokens', 'estimated_tokens',
    'actual_cost_picodollars', 'estimated_cost_picodollars'] %}

-- A team's part of a value of a shared application; of others, the value.
{% macro shared(column) %}
iif(
    total is null,
    {{ column }},
    {{ column }} / total * share
    + (
        select parts.part from team_share_parts as parts
        where
            parts.application = named.application
            and parts.team = named.team
            and parts.rest = named.{{ column }} % total
    )
)
{% endmacro %}

-- A count of a rollup, without what the estimated cached tokens take from it.
{% macro counted(count, pattern='{}') -%}
{{ pattern.format(count) }}
{%- if count == input_counts[0] %} - coalesce({{ pattern.format(cached_input) }}, 0){% endif %}
{%- endmacro %}

-- The sum of a kind's counts; unknown where the first is. {} is the column.
{% macro total(kind, pattern='{}', plus=' + ') -%}
{{ pattern.format(kind.counts[0].column) }}
{%- for one in kind.counts[1:] %}{{ plus }}coalesce({{ pattern.format(one.column) }}, 0){% endfor %}
{%- endmacro %}

-- The same under the name that views show.
{% macro shown_total(kind, prefix='') %}
{{ total(kind, prefix ~ '{}') }}
{%- if kind.counts | length > 1 %}

    as {{ prefix }}{{ kind.shown }}
{%- endif %}
{% endmacro %}

-- Fills the pattern for each name: {} and {0} are the column.
{% macro each(names, pattern='{}', between=',\n') %}
{% for name in names %}{{ pattern.format(name) }}{{ between if not loop.last }}{% endfor %}
{% endmacro %}
