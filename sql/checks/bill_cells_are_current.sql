-- Does what the bill is compared with match the bill's lines and the figures of now?
-- Each row is one of bill_cells that is missing, left over or different.
{% set cell = bill.place + bill.variant + [
    'charge_kind',
    'is_open',
    'is_current',
    'billed_lines',
    'mantle_lines',
    'billed',
    'billed_cost',
    'is_tokens',
    'known',
    'estimated',
    'our_cost',
    'our_basis',
    'rate',
    'list_rate',
] %}
with recomputed as materialized (
    {{ bill_cells.cells('int_bill_days') }}
),

stored as materialized (
    select
        {{ columns.each(cell) }}
    from bill_cells
),

{{ checks.differences('recomputed', 'stored') }}
