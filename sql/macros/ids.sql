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
