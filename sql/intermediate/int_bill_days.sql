-- Which days may the bill or the warehouse have figures of, in the months of a bill?
-- Grain: month of a bill x day. Lines of a month may be dated in another.
select
    bill_months.month,
    bill_days.day
from bill_days
inner join bill_months on bill_months.month_key = bill_days.month_key
union
select
    bill_months.month,
    usage_hours.day
from bill_months
inner join usage_hours
    on
        usage_hours.day >= bill_months.month || '-01'
        and usage_hours.day <= bill_months.month || '-31'
