-- Does AWS's bill agree with our figures, in the months of the selected days?
-- Grain: as bill_reconciliation, the newest month first. Units: USD; tokens; days. No
-- row for visitors that may not see all.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
select *
from (
    {{ bill_differences.months(bill_differences.of_selected_days) }}
)
where
    {{ filters.sees_all() }}
order by month desc, payer_account_id
