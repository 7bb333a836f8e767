-- Ids of events and requests are stored in 16 bytes where they are UUIDs, else as text.

{% macro as_text(id) %}
case typeof({{ id }})
    when 'blob'
        then
            lower(
                substr(hex({{ id }}), 1, 8)
                || '-' || substr(hex({{ id }}), 9, 4)
                || '-' || substr(hex({{ id }}), 13, 4)
                || '-' || substr(hex({{ id }}), 17, 4)
                || '-' || substr(hex({{ id }}), 21)
            )
    else {{ id }}
end
{% endmacro %}

-- An id as it is stored; needs the CTE bytes. SQLite before 3.41 has no unhex().
{% macro stored(id) %}
iif(
    {{ id }} glob replace(
        'hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh', 'h', '[0-9a-f]'
    ),
    cast(
{% for start in [1, 3, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 29, 31, 33, 35] %}
{% if loop.first %}
        {{ byte(id, start) }}
{% else %}
        || {{ byte(id, start) | indent(8) }}
{% endif %}
{% endfor %}
        as blob
    ),
    {{ id }}
)
{% endmacro %}

-- The byte that two hexadecimal digits of a text are.
{% macro byte(text, start) -%}
substr(
    all_bytes,
    16 * instr('0123456789abcdef', substr({{ text }}, {{ start }}, 1))
    + instr('0123456789abcdef', substr({{ text }}, {{ start + 1 }}, 1)) - 16,
    1
)
{%- endmacro %}

-- The CTE bytes: one row, with all bytes in order.
{% macro bytes() %}
bytes as (
    select
        cast(
            x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'
            || x'202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f'
            || x'404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f'
            || x'606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f'
            || x'808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'
            || x'a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf'
            || x'c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf'
            || x'e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff'
            as blob
        ) as all_bytes
)
{%- endmacro %}
