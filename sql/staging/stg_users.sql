-- What is each user's name?
-- Grain: as users. user_name is the alias where the configuration file gives one;
-- raw_user_name is AWS's name.
select
    user_key,
    coalesce(alias, user_name) as user_name,
    user_name as raw_user_name,
    alias
from users
