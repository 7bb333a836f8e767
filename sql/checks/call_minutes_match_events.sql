-- Do the calls by the minute match the events?
-- Each row is one that is missing, left over or different.
-- Only hours whose calls were not dropped, and that did not change since, are compared.
{{ minutes.differences(
    minutes.of_calls(minutes.kept),
    'call_minutes',
    ['user_key', 'application_key', 'unknown_kinds', 'minutes', 'input']
) }}
