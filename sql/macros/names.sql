-- How an application is called. The view int_applications has it for every model and
-- application, int_names for every rate key; only what has to join both by outer joins
-- asks here.

-- Whether the inference profile names it.
{% macro is_profile(models, applications) %}
-- Rank 3 is the inference profile's place among the evidence.
{{ models }}.profile_application is not null
and {{ applications }}.source_rank > 3
{% endmacro %}

{% macro application(models, applications) %}
case
    when
        {{ is_profile(models, applications) }}
        then {{ models }}.profile_application
    else {{ applications }}.application
end
{% endmacro %}
