-- Which accounts are not compared, as some of them is not billed in USD?
-- Grain: month x payer x account. :months is a JSON array.
{{ bill.left_out(bill_differences.of_months) }}
order by month, payer_account_id, account_id
