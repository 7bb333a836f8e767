-- Lists of columns that stand together, and a way to write something for each of them.

-- What a call uses, kind by kind: the count, and the kind as prices have it.
{% set kinds = [
    ('input_tokens', 'input'),
    ('output_tokens', 'output'),
    ('cache_read_tokens', 'cache_read'),
    ('cache_write_5m_tokens', 'cache_write_5m'),
    ('cache_write_1h_tokens', 'cache_write_1h'),
    ('image_count', 'image'),
] %}
{% set counts = kinds | map('first') | list %}
{% set priced_kinds = kinds | map('last') | list %}

-- The calls that lack a count.
{% set unknown_calls = [
    'input_unknown_calls',
    'output_unknown_calls',
    'cache_read_unknown_calls',
    'cache_write_unknown_calls',
    'image_unknown_calls',
] %}

-- What CloudWatch adds to them.
{% set estimates = [
    'estimated_input_tokens',
    'estimated_output_tokens',
    'estimated_cache_read_tokens',
    'estimated_cache_write_tokens',
    'estimated_image_count',
] %}

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

-- What tells the rows of metric_hourly apart; without the kind, one of CloudWatch's models.
{% set metric_model = [
    'hour',
    'account_key',
    'region_key',
    'endpoint',
    'cloudwatch_model_id',
] %}
{% set metric_hour = metric_model + ['metric_kind'] %}

-- Tokens as they are shown: both kinds of cache write are one.
{% set shown_tokens = [
    'input_tokens',
    'output_tokens',
    'cache_read_tokens',
    'cache_write_tokens',
] %}

-- Which of it has no price or no tokens.
{% set left_out = ['unpriced_calls', 'unpriced_tokens', 'calls_without_tokens'] %}

-- {} and {0} in the pattern stand for the column.
{% macro each(names, pattern='{}', between=',\n') %}
{% for name in names %}{{ pattern.format(name) }}{{ between if not loop.last }}{% endfor %}
{% endmacro %}
