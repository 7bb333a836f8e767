-- Who changed or read what protects Bedrock: model access, logging, guardrails?
-- Grain: one row per CloudTrail event of an operation that the table
-- sql/seeds/operations.csv keeps; listings are among them. None is a call. user_name is
-- the user that the event names, or its alias; rules do not apply.
select
    event_time,
    event_id,
    account_id,
    region,
    event_source,
    event_name,
    user_name,
    principal_arn,
    session_name,
    user_agent,
    provider,
    source_address,
    error_code,
    resource
from int_other_operations
where is_known
