-- Which keys of the request metadata does the configuration name?
-- Grain: key.
select
    metadata_key,
    max_values
from metadata_keys
order by metadata_key
