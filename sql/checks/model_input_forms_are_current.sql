-- Is what each model's input contains as the table of input forms has it?
-- Each row is a model whose forms are missing, left over or different.
with recomputed as (
    select * from int_model_input_forms
),

stored as (
    select * from model_input_forms
),

{{ checks.differences('recomputed', 'stored') }}
