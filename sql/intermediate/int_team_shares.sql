-- What share of each shared application does each team pay?
-- Grain: application x team. share of total.
select
    application,
    team,
    share,
    sum(share) over (partition by application) as total
from team_shares
