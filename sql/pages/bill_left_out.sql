-- Which accounts are not compared with the bill, as some of them is not billed in USD?
-- Grain: month x payer x account, in the months of the selected days. No row for
-- visitors that may not see all.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{{ bill.left_out(bill_differences.of_selected_days) }}
and {{ filters.sees_all() }}
order by month desc, payer_account_id, account_id
