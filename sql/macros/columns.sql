-- Lists of columns that stand together, and a way to write something for each of them.

-- What a call uses, kind by kind: the table is etl/normalise/token_kinds.py.
{% set kinds = token_kinds.KINDS | list %}
{% set kinds_of_tokens = token_kinds.TOKENS_ALONE | list %}
{% set counts = token_kinds.COUNT_COLUMNS | list %}
{% set token_counts = token_kinds.TOKEN_COLUMNS | list %}
{% set input_counts = token_kinds.INPUT_COLUMNS | list %}

-- Each count, and the kind as prices have it.
{% set priced_counts = token_kinds.COUNTS | list %}
{% set priced_kinds = token_kinds.PRICE_KINDS | list %}

-- The calls that lack a kind, and what CloudWatch adds to it.
{% set unknown_calls = token_kinds.UNKNOWN_CALLS | list %}
{% set estimates = token_kinds.ESTIMATES | list %}
{% set estimate_of = token_kinds.ESTIMATE_OF %}
{% set priced_estimates = token_kinds.PRICED_ESTIMATES | list %}

-- All that usage_hourly and usage_daily count.
{% set known = ['calls', 'failed_calls'] + counts + unknown_calls %}
{% set usage = known + ['estimated_calls'] + estimates %}

-- What tells the rows of usage_hourly and usage_daily apart, beside their time.
{% set keys = [
    'account_key',
    'rate_key',
    'user_key',
    'application_key',
    'token_source_key',
] %}

-- What tells the rows of metric_hourly apart; without the kind, one of CloudWatch's
-- models.
{% set metric_model = [
    'hour',
    'account_key',
    'region_key',
    'endpoint',
    'cloudwatch_model_id',
] %}
{% set metric_hour = metric_model + ['metric_kind'] %}

-- As they are shown: both kinds of cache write are one. What is not tokens, such as
-- images, is in shown alone.
{% set shown = token_kinds.SHOWN | list %}
{% set shown_tokens = token_kinds.SHOWN_TOKENS | list %}

-- Which of it has no price or no tokens.
{% set left_out = ['unpriced_calls', 'unpriced_tokens', 'calls_without_tokens'] %}

-- The counts of a kind as one; unknown where the first is. {} stands for the column.
{% macro total(kind, pattern='{}', plus=' + ') -%}
{{ pattern.format(kind.counts[0].column) }}
{%- for one in kind.counts[1:] %}{{ plus }}coalesce({{ pattern.format(one.column) }}, 0){% endfor %}
{%- endmacro %}

-- The same under the name in which it is shown.
{% macro shown_total(kind, prefix='') %}
{{ total(kind, prefix ~ '{}') }}
{%- if kind.counts | length > 1 %}

    as {{ prefix }}{{ kind.shown }}
{%- endif %}
{% endmacro %}

-- {} and {0} in the pattern stand for the column.
{% macro each(names, pattern='{}', between=',\n') %}
{% for name in names %}{{ pattern.format(name) }}{{ between if not loop.last }}{% endfor %}
{% endmacro %}
