-- Compares two queries of the same columns. The caller defines both as CTEs.

{% macro differences(expected, stored) %}
missing as (
    select * from {{ expected }}
    except
    select * from {{ stored }}
),

left_over as (
    select * from {{ stored }}
    except
    select * from {{ expected }}
)

select
    'missing' as problem,
    *
from missing
union all
select
    'left over' as problem,
    *
from left_over
{% endmacro %}
