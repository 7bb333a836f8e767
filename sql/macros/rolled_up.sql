-- Calls by their callers, as a rollup counts them: see etl/normalise/rollups.py.

{% import 'macros/columns' as columns %}

-- The keys of a caller, before any rule. caller_metadata and caller_tags have what the
-- configuration looks at of request metadata and of the tags of sessions.
{% set caller = [
    'events.account_key',
    'events.region_key',
    'events.model_key',
    'events.principal_key',
    'events.session_key',
    'events.user_agent_key',
    'coalesce(events.found_user_key, events.user_key) as own_user_key',
    'coalesce(events.found_application_key, applications.base_key,
    events.application_key) as own_application_key',
    'events.provider_key',
    'events.project_key',
    'caller_metadata.request_metadata',
    'caller_tags.tags',
    'events.user_key',
    'events.application_key',
] %}

-- The calls as usage, from :first to before :last.
{% macro calls() %}
from events
cross join int_call_usage as usage
    on
        usage.event_time = events.event_time
        and usage.event_id = events.event_id
inner join applications on applications.application_key = events.application_key
left join temp.caller_metadata
    on caller_metadata.request_metadata_key = events.request_metadata_key
left join temp.caller_tags on caller_tags.credential_key = events.credential_key
where events.event_time >= :first and events.event_time < :last
{% endmacro %}
