-- How many files were read?
-- Grain: one row.
select count(*) as files from log_files
