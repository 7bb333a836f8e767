-- What the queries for Athena say more than once: in Athena's SQL, not SQLite's.

-- The thresholds of list prices by the size of a request, the largest first.
{% set sizes = [272000, 200000, 100000] %}

-- The keys of request metadata that are read, as etl.rollup.athena says.
{% set metadata_keys = metadata_keys | default(['application', 'team']) %}

-- The kinds that a trail or the record of a log counts, with the column of each.
{% set kinds = token_kinds.KINDS | selectattr('cloudtrail') | list %}

-- A whole number, as a number or as text; null for anything else.
{% macro number(text) %}
try_cast(
    regexp_extract(
        {{ text }},
        '^([0-9]{1,12})([.]0+)?$',
        1
    ) as bigint
)
{%- endmacro %}

-- A time as AWS writes it, without fractions of a second; null for anything else.
{% macro time(text) %}
if(
    regexp_like(
        {{ text }},
        '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$'
    ),
    substr({{ text }}, 1, 19) || 'Z'
)
{%- endmacro %}

{% macro scalar(json, path) -%}
json_extract_scalar({{ json }}, '${{ '' if path.startswith('[') else '.' }}{{ path }}')
{%- endmacro %}

-- Each kind in a part of an event, by its names there: columns PREFIX_KIND.
{% macro counts(json, within, prefix) %}
{% for kind in kinds %}
coalesce(
{% for name in kind.cloudtrail %}
    {{ number(scalar(json, within ~ name)) }}{{ ',' if not loop.last }}
{% endfor %}
) as {{ prefix }}_{{ kind.name }}{{ ',' if not loop.last }}
{% endfor %}
{%- endmacro %}

-- Likewise, of the entries of a service event: a map, or a list of keys and values.
{% macro counts_of_entries(entries, prefix) %}
{% for kind in kinds %}
coalesce(
{% for name in kind.cloudtrail %}
    {{ number(scalar(entries, name)) }},
    {{ number("json_extract_scalar(
    element_at(
        filter(
            try_cast(" ~ entries ~ " as array(json)),
            entry -> json_extract_scalar(entry, '$.key') = '" ~ name ~ "'
        ),
        1
    ),
    '$.value'
)") }}{{ ',' if not loop.last }}
{% endfor %}
) as {{ prefix }}_{{ kind.name }}{{ ',' if not loop.last }}
{% endfor %}
{%- endmacro %}

{% macro each(pattern, between=',\n') %}
{% for kind in kinds %}
{{ pattern.format(kind.name) }}{{ between if not loop.last }}
{%- endfor %}
{%- endmacro %}

-- The metadata of a request as JSON: null without any of the keys.
{% macro metadata(json, fields) %}
case
    when coalesce(
{% for key in metadata_keys %}
{% set last = loop.last %}
{% for field in fields %}
        {{ scalar(json, field ~ '["' ~ key ~ '"]') }}{{ '' if last and loop.last else ',' }}
{% endfor %}
{% endfor %}
    ) is not null
        then
            json_format(
                cast(
                    map(
                        array[
{% for key in metadata_keys %}
                            '{{ key }}'{{ ',' if not loop.last }}
{% endfor %}
                        ],
                        array[
{% for key in metadata_keys %}
                            coalesce(
{% for field in fields %}
                                {{ scalar(json, field ~ '["' ~ key ~ '"]') }},
{% endfor %}
                                null
                            ){{ ',' if not loop.last }}
{% endfor %}
                        ]
                    ) as json
                )
            )
end
{%- endmacro %}
