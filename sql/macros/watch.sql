-- What the views of unusual use share.

{% import 'macros/ids' as ids %}

-- Days that are shown, up to the last with usage, and days to be known before anything
-- can be unusual.
{% set shown_days = 30 %}
{% set known_days = 14 %}

-- Whoever has used more new ones than this in four weeks uses new ones all the time.
{% set habitual_new = 2 %}

-- The CTE bounds: one row.
{% macro bounds() %}
bounds as (
    select
        first_day,
        last_day,
        max(
            date(last_day, '-{{ shown_days - 1 }} days'),
            date(first_day, '+{{ known_days }} days')
        ) as shown_from
    from (
        select
            (select min(day) from usage_daily) as first_day,
            (select max(day) from usage_daily) as last_day
    )
)
{%- endmacro %}

-- A name in a command for a shell, whatever the name is.
{% macro quoted(name) %}
''''
|| replace({{ name }}, '''', '''\''''')
|| ''''
{% endmacro %}

-- The last part of a role's ARN is the user of its calls, unless a person is.
{% macro is_machine(principals, users) -%}
instr(
    {{ principals }}.principal_arn,
    ':assumed-role/' || {{ users }}.raw_user_name
) > 0
{%- endmacro %}

-- The command that shows an event. event_id: as text.
{% macro inspect(event_id) %}
'bedrock-usage inspect '
|| {{ quoted(event_id) }}
{% endmacro %}

-- A spike is found among nine days of the same weekday and, for hours, the same hour: the one that is judged
-- and the eight before it, of which those count that are covered and not before the
-- name's first use. A spike is above all of these:

--   floor_usd  dollars above the median
--   deviations times the median absolute deviation (scaled as a standard deviation)
--   times      the median
--   record     times the largest of the name's own days (hours) of the four weeks before
{% set periods = {
    'day': {'floor_usd': 20, 'deviations': 6, 'times': 5, 'record': 3},
    'hour': {'floor_usd': 20, 'deviations': 6, 'times': 5, 'record': 4},
} %}
{% set compared_weeks = 8 %}
{% set least_compared = 4 %}
{% set record_days = 28 %}

-- The median of a column for each name and period, and of how many.
{% macro medians(relation, column) %}
select
    dimension,
    name,
    period_start,
    avg({{ column }}) as middle,
    number
from (
    select
        *,
        row_number() over ordered as position,
        count(*) over (partition by dimension, name, period_start) as number
    from {{ relation }}
    window ordered as (
        partition by dimension, name, period_start order by {{ column }}
    )
)
where position in ((number + 1) / 2, number / 2 + 1)
group by dimension, name, period_start
{% endmacro %}
