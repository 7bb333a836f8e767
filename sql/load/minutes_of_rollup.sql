-- Who called when, of the calls of a rollup?
-- Grain: that of call_minutes.
{% set rows %}
select
    hour,
    account_key,
    rate_key,
    user_key,
    application_key,
    unknown_kinds,
    minute,
    sum(calls) as calls,
    sum(input_tokens) as input_tokens
from temp.rollup_minutes as usage
{{ rates.of_call('inner') }}
group by 1, 2, 3, 4, 5, 6, 7
{% endset %}
{{ minutes.calls_by_minute(rows) }}
