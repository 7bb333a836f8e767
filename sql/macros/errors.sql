-- What the codes of errors mean.

{% import 'macros/columns' as columns %}
{% import 'macros/quotas' as quotas %}

-- The kinds of error, most telling first, and what their codes are like. A code is of the
-- first kind that it is like; throttled are those of quotas.refused.
{% set kinds = {
    'denied': ['AccessDenied', 'Unauthorized'],
    'not valid': ['Validation'],
    'not found': ['NotFound'],
    'timed out': ['Timeout', 'TimedOut'],
    'failed at AWS': [
        'InternalServer', 'InternalFailure', 'Unavailable', 'ModelError',
        'ModelStreamError', 'NotReady',
    ],
} %}

-- Whether a code is like one of these kinds.
{% macro is_like(some, code='error_code') %}
{% for kind in some %}
{% set is_first = loop.first %}
{% for part in kinds[kind] %}
{% if is_first and loop.first %}
{{ code }} glob '*{{ part }}*'
{% else %}
or {{ code }} glob '*{{ part }}*'
{% endif %}
{% endfor %}
{% endfor %}
{% endmacro %}

{% macro kind(code='error_code') %}
case
    when
        {{ code }} in (
            {{ columns.each(quotas.refusals, "'{}'") }}
        )
        then 'throttled'
{% for kind in kinds %}
    when
        {{ is_like([kind], code) }}
        then '{{ kind }}'
{% endfor %}
    else 'other'
end
{%- endmacro %}
