-- What do the warehouse and AWS's bill say of each user's usage?
-- Grain: day x payer x account x region x model x user, of the accounts and months of
-- the bill in USD. user_name is NULL where the bill does not name all users of a model
-- on a day. Where an account has several payers, ours are in the row of one.
{{ bill.compared_units() }}
{{ bill.compared(bill.place) }}
