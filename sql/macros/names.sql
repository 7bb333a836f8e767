-- The name of an application; of a project, the name that it was given. The view
-- int_applications has it for every model and application, int_names for every rate key.
-- These macros are for queries that need outer joins to both (DECISIONS 137).

-- Whether the name comes from the inference profile.
{% macro is_profile(models, applications) %}
-- 3 is the inference profile's rank among the evidence.
{{ models }}.profile_application is not null
and {{ applications }}.source_rank > 3
{% endmacro %}

{% macro application(models, applications) %}
case
    when
        {{ is_profile(models, applications) }}
        then {{ models }}.profile_application
    else coalesce({{ applications }}.label, {{ applications }}.application)
end
{% endmacro %}
