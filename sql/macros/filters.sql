-- The filters of pages and canned queries. Days are UTC, both included. Names are
-- exact, in a JSON array or separated by commas; NULL or blank means
-- all (DECISIONS 140).

{% macro days(day='day') %}
{{ day }} >= coalesce(:since, '')
and {{ day }} <= coalesce(nullif(:until, ''), '9999')
{% endmacro %}

{% macro is_blank(parameter) %}
coalesce(trim(:{{ parameter }}), '') = ''
{% endmacro %}

-- A name that begins with [ or contains a comma needs an array.
{% macro names(parameter) %}
select iif(ltrim(:{{ parameter }}) like '[%', value, trim(value))
from json_each(
    iif(
        ltrim(:{{ parameter }}) like '[%',
        :{{ parameter }},
        '[' || replace(json_quote(:{{ parameter }}), ',', '","') || ']'
    )
)
{% endmacro %}

{% macro chosen(parameter, column) %}
(
    {{ is_blank(parameter) }}
    or {{ column }} in (
        {{ names(parameter) }}
    )
)
{% endmacro %}

-- The same for all names but users'. prefix: where the columns are, such as names.
{% macro of_names(prefix='') %}
{{ chosen('regions', prefix ~ 'region') }}
and {{ chosen('models', prefix ~ 'model_id') }}
and {{ chosen('applications', prefix ~ 'application') }}
and {{ chosen('teams', prefix ~ 'team') }}
{% endmacro %}

-- The CTE chosen: the rate keys and applications that these leave, of what the visitor
-- may see.
{% macro chosen_keys() %}
chosen as materialized (
    select
        rate_key,
        application_key
    from int_names
    where
        {{ of_names() }}
        and {{ visible() }}
)
{%- endmacro %}

-- The same for usage by day, rate key, user and application. Needs the CTE chosen_keys.
{% macro of_chosen() %}
{{ days() }}
and {{ of_keys() }}
{% endmacro %}

-- The same whatever the day. prefix: where the keys are, such as usage.
{% macro of_keys(prefix='') %}
{{ of_chosen_names(prefix) }}
and {{ of_users(prefix ~ 'user_key') }}
{% endmacro %}

-- The same whoever the user.
{% macro of_chosen_names(prefix='') %}
(
    (
        {{ is_blank('regions') }}
        and {{ is_blank('models') }}
        and {{ is_blank('applications') }}
        and {{ is_blank('teams') }}
        and {{ sees_all() }}
    )
    or ({{ prefix }}rate_key, {{ prefix }}application_key) in (
        select
            rate_key,
            application_key
        from chosen
    )
)
{% endmacro %}

-- The same for the keys of users.
{% macro of_users(user_key='user_key') %}
(
    {{ is_blank('users') }}
    or {{ user_key }} in (
        select users.user_key from stg_users as users
        where
            users.user_name in (
                {{ names('users') }}
            )
    )
)
{% endmacro %}

-- The same for the applications that a model's calls have, and for what the visitor may
-- see. Needs the CTE chosen_applications, by this key of the model and application_key.
{% macro of_applications(key) %}
(
    (
        {{ is_blank('applications') }}
        and {{ is_blank('teams') }}
        and {{ sees_all() }}
    )
    or ({{ key }}, application_key) in (
        select
            {{ key }},
            application_key
        from chosen_applications
    )
)
{% endmacro %}

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
-- What a visitor sees is in both.
{% macro visible(names='') %}
(
    :_visitor_applications is null
    or {{ names }}application in (select value from json_each(:_visitor_applications))
)
and (
    :_visitor_teams is null
    or {{ names }}team in (select value from json_each(:_visitor_teams))
)
{% endmacro %}

-- Whether the visitor may see all.
{% macro sees_all() %}
:_visitor_applications is null and :_visitor_teams is null
{% endmacro %}

-- The filters of every canned query, and how its description explains them.
{% macro period() %}
{{ period_days() }}
and {{ chosen('regions', 'region') }}
and {{ chosen('models', 'model_id') }}
{% endmacro %}

{% macro period_days() %}
-- A blank date_from means 30 days, up to date_to or the last loaded day.
day >= iif(
    trim(:date_from) <> '',
    date(trim(:date_from)),
    date(
        iif(
            trim(:date_to) = '',
            (select max(day) from usage_daily),
            trim(:date_to)
        ),
        '-29 days'
    )
)
and day <= iif(trim(:date_to) = '', '9999', date(trim(:date_to)))
{% endmacro %}

{% macro period_in_words() %}
--   Dates are UTC days, both included; blank dates mean the last 30 days loaded.
--   Separate several regions or models (model_id) with commas; blank means all.
{% endmacro %}

-- The dimensions that are asked for (:by_..., 1 or 0), the others NULL; is_other: the row
-- is of none of the names shown.
{% macro asked_for() %}
iif(:by_user, iif(is_other, '(others)', user_name), null) as user_name,
iif(:by_application, iif(is_other, '(others)', application), null) as application,
iif(:by_team, iif(is_other, '(others)', team), null) as team,
iif(:by_region, iif(is_other, '(others)', region), null) as region,
iif(:by_model, iif(is_other, '(others)', model_id), null) as model_id
{%- endmacro %}

-- The name that is asked for, of the first of the dimensions.
{% macro name_asked_for() %}
case
    when :by_user then user_name
    when :by_application then application
    when :by_team then team
    when :by_region then region
    when :by_model then model_id
end as name
{%- endmacro %}

-- The CTE placed: the rows of another, which have name_asked_for, with is_other: those of
-- none of the first :top names. cost: what is summed to find these.
{% macro placed(rows, cost) %}
placed as (
    select
        *,
        coalesce(:top, '') <> '' and name not in (
            select name from {{ rows }}
            group by name
            order by sum({{ cost }}) desc, sum(calls) desc, name
            limit cast(coalesce(:top, 0) as integer)
        ) as is_other
    from {{ rows }}
)
{%- endmacro %}
