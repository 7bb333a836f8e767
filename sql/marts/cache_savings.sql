-- What did caching of prompts save, who could gain, and which writes were never read?
-- Grain: day x account x region x model x application x team.
-- Units: tokens; USD. *_picodollars are whole numbers, 10^12 = 1 USD. saved_usd is what
-- the tokens read from the cache would have cost as input, less what they cost, less
-- what writing to the cache costs more than input: negative if caching did not pay. It
-- is NULL where missing_prices names a kind of token without a price.
-- unread_write_tokens: how much more was written than read, so at least as much was
-- never read that day. cacheable_input_tokens: input that was neither read from the
-- cache nor written to it, of models that have a cache. savable_usd: what it would save
-- if all of it had been read from the cache: far more than can be, because only a
-- prompt's repeated beginning is, from about a thousand tokens on. It is no promise.
with {{ what_if.usage() }},

{{ savings.of_cache() }}

select
    savings.day,
    accounts.account_id,
    {{ columns.each(savings.names, 'savings.{}') }},
    {{ savings.figures() }}
from savings
inner join accounts on accounts.account_key = savings.account_key
