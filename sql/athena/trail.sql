-- Which events has CloudTrail delivered to a bucket?
-- Athena's SQL. Not run on Athena: checked by sqlglot and DuckDB only.

-- Only fields that the usage of Bedrock is read from. Replace
--   TRAIL_FOLDER  your-bucket/AWSLogs, or your-bucket/AWSLogs/o-yourorganisation for the
--                 trail of an organisation; with the trail's prefix, if it has one
--   ACCOUNTS      111122223333,444455556666: without spaces
--   REGIONS       us-east-1,us-west-2
--   SINCE         2026/10/01: the first day that has files
-- Source: Athena user guide, "Create the table for CloudTrail logs in Athena using
-- partition projection" (checked 2026-11-30).
create external table if not exists bedrock_trail (
    eventtime string,
    eventsource string,
    eventname string,
    eventtype string,
    eventcategory string,
    eventid string,
    requestid string,
    sharedeventid string,
    awsregion string,
    recipientaccountid string,
    useragent string,
    errorcode string,
    requestparameters string,
    responseelements string,
    additionaleventdata string,
    serviceeventdetails string,
    addendum struct<
        originalrequestid: string,
        originaleventid: string
    >,
    resources array<struct<arn: string>>,
    useridentity struct<
        type: string,
        principalid: string,
        arn: string,
        accountid: string,
        username: string,
        invokedby: string,
        onbehalfof: struct<userid: string>,
        sessioncontext: struct<
            sessionissuer: struct<arn: string, username: string>,
            sourceidentity: string,
            webidfederationdata: struct<federatedprovider: string>
        >
    >
)
partitioned by (
    log_account string,
    log_region string,
    log_day string
)
row format serde 'org.apache.hive.hcatalog.data.JsonSerDe'
stored as
inputformat 'com.amazon.emr.cloudtrail.CloudTrailInputFormat'
outputformat 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
location 's3://TRAIL_FOLDER/'
tblproperties (
    'projection.enabled' = 'true',
    'projection.log_account.type' = 'enum',
    'projection.log_account.values' = 'ACCOUNTS',
    'projection.log_region.type' = 'enum',
    'projection.log_region.values' = 'REGIONS',
    'projection.log_day.type' = 'date',
    'projection.log_day.format' = 'yyyy/MM/dd',
    'projection.log_day.range' = 'SINCE,NOW',
    'projection.log_day.interval' = '1',
    'projection.log_day.interval.unit' = 'DAYS',
    'storage.location.template'
    = 's3://TRAIL_FOLDER/${log_account}/CloudTrail/${log_region}/${log_day}'
)
