-- What a page is limited to. The parameters are JSON arrays of names, NULL or blank for
-- all, and UTC days, both inclusive.

{% macro days(day='day') %}
{{ day }} >= coalesce(:since, '')
and {{ day }} <= coalesce(nullif(:until, ''), '9999')
{% endmacro %}

{% macro chosen(parameter, column) %}
(
    coalesce(:{{ parameter }}, '') = ''
    or {{ column }} in (
        select value from json_each(nullif(:{{ parameter }}, ''))
    )
)
{% endmacro %}

-- :_visitor_applications: those that the visitor may see, NULL for all.
{% macro visible(column='application') %}
(
    :_visitor_applications is null
    or {{ column }} in (select value from json_each(:_visitor_applications))
)
{% endmacro %}

-- The same, for the keys of users.
{% macro of_users(user_key='user_key') %}
(
    coalesce(:users, '') = ''
    or {{ user_key }} in (
        select users.user_key from stg_users as users
        where
            users.user_name in (select value from json_each(nullif(:users, '')))
    )
)
{% endmacro %}
