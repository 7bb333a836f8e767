"""The fake's Bedrock, STS, Organizations, EC2, S3 and IAM, as an unmodified boto3 sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws import ACCOUNT, NOW, FakeAws
from tests.support import call, uuid_of

OTHER = "444455556666"
Clients = Callable[..., Any]


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


@pytest.fixture
def bedrock(client: Clients) -> Any:
    return client("bedrock")


def test_models_are_listed(aws: FakeAws, bedrock: Any) -> None:
    aws.place().foundation_model("anthropic.claude-3", "Claude 3")
    arn = aws.place().foundation_model("amazon.nova", "Nova", "Amazon")
    assert len(bedrock.list_foundation_models()["modelSummaries"]) == 2
    (model,) = bedrock.list_foundation_models(byProvider="Amazon")["modelSummaries"]
    assert (model["modelArn"], model["modelName"]) == (arn, "Nova")


def test_profiles_are_listed_by_type_and_page(aws: FakeAws, bedrock: Any) -> None:
    model = aws.place().foundation_model("anthropic.claude-3", "Claude 3")
    aws.place().system_profile("us.anthropic.claude-3", model)
    for number in range(101):
        aws.place().application_profile(f"profile{number}", f"App {number}", model)
    paginator = bedrock.get_paginator("list_inference_profiles")
    pages = list(paginator.paginate(typeEquals="APPLICATION"))
    assert [len(page["inferenceProfileSummaries"]) for page in pages] == [100, 1]
    (system,) = bedrock.list_inference_profiles(typeEquals="SYSTEM_DEFINED")[
        "inferenceProfileSummaries"
    ]
    assert system["models"] == [{"modelArn": model}]
    assert "tags" not in system


def test_a_profile_is_found_by_arn_and_by_id(aws: FakeAws, bedrock: Any) -> None:
    arn = aws.place().application_profile("abc123", "Chat", "arn:m", tags={"application": "chat"})
    for identifier in (arn, "abc123"):
        profile = bedrock.get_inference_profile(inferenceProfileIdentifier=identifier)
        assert profile["inferenceProfileName"] == "Chat"
    tags = bedrock.list_tags_for_resource(resourceARN=arn)["tags"]
    assert tags == [{"key": "application", "value": "chat"}]


def test_a_hidden_profile_is_found_but_not_listed(aws: FakeAws, bedrock: Any) -> None:
    arn = aws.place().application_profile("abc123", "Chat", "arn:m", hidden=True)
    assert bedrock.list_inference_profiles()["inferenceProfileSummaries"] == []
    assert bedrock.get_inference_profile(inferenceProfileIdentifier=arn)["status"] == "ACTIVE"


def test_a_profile_that_is_not_there(bedrock: Any) -> None:
    with pytest.raises(bedrock.exceptions.ResourceNotFoundException) as caught:
        bedrock.get_inference_profile(inferenceProfileIdentifier="none")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_raw_summaries_may_have_times(aws: FakeAws, bedrock: Any) -> None:
    aws.place().application_profile("abc123", "Chat", "arn:m")
    aws.place().inference_profiles[0]["createdAt"] = NOW
    (profile,) = bedrock.list_inference_profiles()["inferenceProfileSummaries"]
    assert profile["createdAt"] == NOW


def test_logging_may_be_configured_or_not(aws: FakeAws, bedrock: Any) -> None:
    ask = bedrock.get_model_invocation_logging_configuration
    assert "loggingConfig" not in ask()
    config = {"s3Config": {"bucketName": "logs"}, "textDataDeliveryEnabled": False}
    aws.place().logging_config = config
    assert ask()["loggingConfig"] == config


def test_an_assumed_role_sees_its_own_account(aws: FakeAws, client: Clients) -> None:
    when = (NOW - timedelta(minutes=1)).isoformat()
    aws.place(OTHER).deliver(call(1, eventTime=when))
    role = aws.role(OTHER, "Reader")
    answer = client("sts").assume_role(RoleArn=role, RoleSessionName="sync")
    session = answer["Credentials"]
    assert session["Expiration"] > datetime.now(UTC)
    identity = client("sts", session=session).get_caller_identity()
    assert identity["Account"] == OTHER
    assert identity["Arn"] == f"arn:aws:sts::{OTHER}:assumed-role/Reader/sync"
    events = client("cloudtrail", session=session).lookup_events()["Events"]
    assert [event["EventId"] for event in events] == [uuid_of(1)]
    assert aws.count("LookupEvents", account=OTHER) == 1


def test_a_role_that_is_not_there_or_wants_another_id_is_denied(
    aws: FakeAws, client: Clients
) -> None:
    sts, role = client("sts"), aws.role(OTHER, "Reader", external_id="right")
    for params in ({"RoleArn": role}, {"RoleArn": role, "ExternalId": "wrong"}):
        with pytest.raises(ClientError) as caught:
            sts.assume_role(RoleSessionName="sync", **params)
        assert code(caught) == "AccessDenied"
    sts.assume_role(RoleSessionName="sync", RoleArn=role, ExternalId="right")
    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
        sts.assume_role(RoleSessionName="sync", RoleArn=f"arn:aws:iam::{OTHER}:role/None")


def test_credentials_of_a_role_may_expire(aws: FakeAws, client: Clients) -> None:
    sts, role = client("sts"), aws.role(OTHER, "Reader")
    old = sts.assume_role(RoleArn=role, RoleSessionName="sync")["Credentials"]
    aws.expire_credentials()
    with pytest.raises(ClientError) as caught:
        client("cloudtrail", session=old).lookup_events()
    assert code(caught) == "ExpiredTokenException"
    new = sts.assume_role(RoleArn=role, RoleSessionName="sync")["Credentials"]
    client("cloudtrail", session=new).lookup_events()


def test_an_unknown_key_is_not_let_in(client: Clients) -> None:
    with pytest.raises(ClientError) as caught:
        client("cloudtrail", session={"AccessKeyId": "AKIANOBODY"}).lookup_events()
    assert code(caught) == "UnrecognizedClientException"


def test_the_organization_lists_its_accounts(aws: FakeAws, client: Clients) -> None:
    organizations = client("organizations")
    with pytest.raises(organizations.exceptions.AWSOrganizationsNotInUseException):
        organizations.list_accounts()
    aws.organization([OTHER, *(f"{number:012d}" for number in range(25))])
    pages = list(organizations.get_paginator("list_accounts").paginate())
    ids = [account["Id"] for page in pages for account in page["Accounts"]]
    assert ids[:2] == [ACCOUNT, OTHER]
    assert len(ids) == 27
    assert len(pages) == 2
    assert organizations.describe_organization()["Organization"]["MasterAccountId"] == ACCOUNT
    member = client("organizations", account=OTHER)
    with pytest.raises(member.exceptions.AccessDeniedException):
        member.list_accounts()


def test_regions_are_enabled_or_not(aws: FakeAws, client: Clients) -> None:
    ec2 = client("ec2")
    enabled = {region["RegionName"] for region in ec2.describe_regions()["Regions"]}
    assert "us-east-1" in enabled
    assert "af-south-1" not in enabled
    assert len(ec2.describe_regions(AllRegions=True)["Regions"]) == len(aws.accounts.regions)
    (one,) = ec2.describe_regions(RegionNames=["eu-south-1"])["Regions"]
    assert one["OptInStatus"] == "opted-in"
    wanted = [{"Name": "opt-in-status", "Values": ["not-opted-in"]}]
    assert len(ec2.describe_regions(AllRegions=True, Filters=wanted)["Regions"]) == 2


def test_a_region_that_is_not_enabled_knows_nobody(client: Clients) -> None:
    with pytest.raises(ClientError) as caught:
        client("cloudtrail", "af-south-1").lookup_events()
    assert code(caught) == "UnrecognizedClientException"
    with pytest.raises(ClientError) as caught:
        client("bedrock", "af-south-1").list_foundation_models()
    assert code(caught) == "UnrecognizedClientException"


def test_s3_and_iam_are_motos(aws: FakeAws, client: Clients) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="trail")
    s3.put_object(Bucket="trail", Key="AWSLogs/a b+ä.json.gz", Body=b"body")
    listed = s3.list_objects_v2(Bucket="trail", Prefix="AWSLogs/")["Contents"]
    assert [(o["Key"], o["Size"]) for o in listed] == [("AWSLogs/a b+ä.json.gz", 4)]
    assert s3.head_object(Bucket="trail", Key=listed[0]["Key"])["ContentLength"] == 4
    assert s3.get_object(Bucket="trail", Key=listed[0]["Key"])["Body"].read() == b"body"
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="trail", Key="none")
    iam = client("iam", account=OTHER)
    assert iam.create_user(UserName="x")["User"]["Arn"] == f"arn:aws:iam::{OTHER}:user/x"
    assert [request.operation for request in aws.requests] == [
        "CreateBucket",
        "PutObject",
        "ListObjectsV2",
        "HeadObject",
        "GetObject",
        "GetObject",
        "CreateUser",
    ]
    assert aws.requests[5].outcome == "404"


def test_buckets_do_not_outlive_the_fake(client: Clients) -> None:
    assert client("s3").list_buckets()["Buckets"] == []
