-- Do the reasons why the bill differs follow from what it is compared with?
-- Each row is one of bill_reasons that is missing, left over or different.
with recomputed as materialized (
    {{ bill_differences.reasons() }}
),

stored as materialized (
    select
        {{ columns.each(bill_differences.reason) }},
        difference_tokens,
        rate,
        billed_usd_per_million,
        difference_picodollars
    from bill_reasons
),

{{ checks.differences('recomputed', 'stored') }}
