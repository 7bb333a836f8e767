-- What do the warehouse, CloudWatch and AWS's bill say of the same usage?
-- Grain: day x payer x account x region x model, of the accounts and months of the bill
-- in USD. CloudWatch is NULL where it has no figures. Where an account has several
-- payers, ours and CloudWatch's are in the row of one.
{{ bill.compared_units() }}
{{ bill_differences.days() }}
