-- What do the warehouse and AWS's bill say of each user's usage?
-- Grain: day x account x region x model x user, of the accounts and months of the bill
-- in USD. user_name is NULL where the bill does not name all users of a model on a day.
{{ bill.compared_units() }}
{{ bill.compared(bill.place) }}
