-- How did each rate of a model change?
-- Grain: row of prices whose model_id is in :model_ids (a JSON array), corrected rows
-- too, those of one use together, the oldest first. usd_per_mtok: micro-dollars per
-- million tokens (or units). state on the day :today: in force, superseded (another row
-- comes first), ended, to come or corrected. replaced_*: the row that applied before.
{% set use = [
    'model_id',
    'region',
    'scope',
    'service_tier',
    'token_kind',
    'min_input_tokens',
] %}
with listed as (
    select * from prices
    where
        model_id in (select value from json_each(:model_ids))
        and (:regions is null or region in (select value from json_each(:regions)))
),

numbered as (
    select
        listed.*,
        corrected_on is null
        and effective_from <= :today
        and (effective_to is null or effective_to > :today) as is_current,
        row_number() over (
            partition by
                {{ columns.each(use) }},
                rate_class
            order by
                corrected_on is not null
                or effective_from > :today
                or coalesce(effective_to <= :today, 0),
                origin,
                effective_from desc
        ) as choice
    from listed
),

-- What a row replaced: the row that it corrects, else what applied on the day before,
-- or, of an origin that ranks lower, on the same day.
replaced as (
    select
        numbered.price_id,
        other.price_id as replaced_price_id,
        other.usd_per_mtok as replaced_usd_per_mtok,
        row_number() over (
            partition by numbered.price_id
            order by
                other.effective_from desc,
                other.origin,
                other.corrected_on desc,
                other.price_id desc
        ) as choice
    from numbered
    inner join listed as other
        on
            {{ columns.each(use, 'other.{0} = numbered.{0}', '\nand ') }}
            and other.rate_class = numbered.rate_class
            and other.price_id <> numbered.price_id
            and numbered.corrected_on is null
            and case
                when other.corrected_on is not null
                    then
                        other.effective_from = numbered.effective_from
                        and other.origin = numbered.origin
                else
                    other.effective_from < numbered.effective_from
                    or (
                        other.effective_from = numbered.effective_from
                        and other.origin > numbered.origin
                    )
            end
),

final as (
    select
        {{ columns.each(use, 'numbered.{}') }},
        numbered.rate_class,
        numbered.effective_from,
        numbered.effective_to,
        numbered.usd_per_mtok,
        case
            when numbered.corrected_on is not null then 'corrected'
            when numbered.effective_from > :today then 'to come'
            when not numbered.is_current then 'ended'
            when numbered.choice = 1 then 'in force'
            else 'superseded'
        end as state,
        numbered.corrected_on,
        replaced.replaced_price_id,
        replaced.replaced_usd_per_mtok,
        numbered.origin,
        numbered.source,
        numbered.checked_on,
        numbered.price_id
    from numbered
    left join replaced
        on replaced.price_id = numbered.price_id and replaced.choice = 1
)

select * from final
order by
    {{ columns.each(use) }},
    rate_class,
    effective_from,
    corrected_on is null,
    corrected_on,
    origin desc,
    price_id
