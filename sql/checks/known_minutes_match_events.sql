-- Do the known tokens by the minute match the events?
-- Each row is one that is missing, left over or different.
-- Only hours whose calls were not dropped, and that did not change since, are compared.
{{ minutes.differences(
    minutes.of_known_tokens(minutes.kept), 'known_minutes', ['token_kind', 'minutes']
) }}
