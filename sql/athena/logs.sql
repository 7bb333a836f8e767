-- Which calls has Bedrock's invocation logging delivered to a bucket?
-- Athena's SQL. Not run on Athena: checked by sqlglot and DuckDB only.

-- The bodies are not among the columns, so no query can select a prompt or an answer.
-- Replace
--   LOGS_FOLDER   your-bucket/AWSLogs, with the prefix of the logs, if they have one;
--                 without invocation logs, any empty folder of a bucket of yours
--   ACCOUNTS      111122223333,444455556666: without spaces
--   REGIONS       us-east-1,us-west-2
--   SINCE         2026/10/01: the first day that has files
-- Source: Athena user guide, "OpenX JSON SerDe" and "Amazon Data Firehose example", which
-- has folders by the hour (checked 2026-11-30).

-- The OpenX SerDe shows an object in a column of text as JSON, and skips what is no JSON.
create external table if not exists bedrock_logs (
    schematype string,
    `timestamp` string,
    accountid string,
    region string,
    requestid string,
    operation string,
    modelid string,
    errorcode string,
    identity struct<arn: string>,
    performanceconfig struct<latency: string>,
    servicetier string,
    requestmetadata string,
    input struct<
        inputtokencount: string,
        cachereadinputtokencount: string,
        cachewriteinputtokencount: string
    >,
    output struct<outputtokencount: string>
)
partitioned by (
    log_account string,
    log_region string,
    log_hour string
)
row format serde 'org.openx.data.jsonserde.JsonSerDe'
with serdeproperties ('ignore.malformed.json' = 'true')
stored as
inputformat 'org.apache.hadoop.mapred.TextInputFormat'
outputformat 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
location 's3://LOGS_FOLDER/'
tblproperties (
    'projection.enabled' = 'true',
    'projection.log_account.type' = 'enum',
    'projection.log_account.values' = 'ACCOUNTS',
    'projection.log_region.type' = 'enum',
    'projection.log_region.values' = 'REGIONS',
    'projection.log_hour.type' = 'date',
    'projection.log_hour.format' = 'yyyy/MM/dd/HH',
    'projection.log_hour.range' = 'SINCE/00,NOW',
    'projection.log_hour.interval' = '1',
    'projection.log_hour.interval.unit' = 'HOURS',
    'storage.location.template'
    = 's3://LOGS_FOLDER/${log_account}/BedrockModelInvocationLogs/${log_region}/${log_hour}'
)
