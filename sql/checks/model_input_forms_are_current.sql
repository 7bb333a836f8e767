-- Is what each model's input contains as the table of input forms has it?
-- Each row is a model whose forms are missing, left over or different.
with recomputed as materialized (
    select * from int_model_input_forms
),

stored as materialized (
    select * from model_input_forms
),

{{ checks.differences('recomputed', 'stored') }}
