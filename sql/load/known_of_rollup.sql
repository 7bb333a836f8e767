-- Which tokens do calls report, of those of a rollup?
-- Grain: that of known_minutes.
{% set rows %}
select
    hour,
    account_key,
    rate_key,
    token_kind,
    minute,
    sum(known_tokens) as known_tokens
from temp.rollup_known as usage
{{ rates.of_call('inner') }}
group by 1, 2, 3, 4, 5
{% endset %}
{{ minutes.known_by_minute(rows) }}
