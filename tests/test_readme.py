"""The README is true: its help texts, its pictures, its links and its commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner

from etl.cli import main as program
from etl.cli.main import COMMANDS as NAMES
from etl.demo import write_demo_logs
from etl.monitor import prices
from scripts.update_readme import DEMO_NOW, README, updated
from tests.aws import ACCOUNT, FakeAws, cloudwatch
from tests.cli.test_load import run
from tests.support import HAIKU, call
from tests.sync.support import environment

TEXT = README.read_text()
COMMANDS = [
    line.strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.strip().startswith("bedrock-usage ")
]

PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PROFILES = re.findall(r"```ini\n(# ~/.aws/config\n\[profile (.*?)\]\n.*?)```", TEXT, re.DOTALL)
PLAIN = f"""
import boto3
boto3.client("bedrock-runtime").converse(
    modelId="{HAIKU}", messages=[{{"role": "user", "content": [{{"text": "Hello"}}]}}]
)
"""


def test_help_texts_and_the_report_are_of_today() -> None:
    assert updated(TEXT) == TEXT, "README.md is out of date: make docs"


def test_every_command_has_its_help_text() -> None:
    for name in NAMES:
        assert f"$ bedrock-usage {name} --help" in TEXT


def test_every_command_in_a_block_exists_with_its_options() -> None:
    blocks = re.findall(r"```(?:text|sh)\n(.*?)```", TEXT, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("bedrock-usage ")]
    assert len(commands) > 25
    for command in commands:
        words = shlex.split(command.partition(" > ")[0])[1:]
        done = CliRunner().invoke(program, [*words, "--help"])
        assert done.exit_code == 0, (command, done.output)


def test_the_prices_of_the_example_are_those_that_the_program_knows() -> None:
    for metrics, shown in ((10 * 5 * 3, "$45"), (10 * 5 * 7, "$105"), (1000 * 2 * 3, "$1,800")):
        assert prices.metrics_a_month(metrics) == Decimal(shown.strip("$").replace(",", ""))
        assert shown in TEXT
    # GetMetricData asks for metrics, PutMetricData is a request; both at the same rate.
    for requests, shown in ((5 * 7 * 2920, "$1.02"), (10 * 60 * 730, "$4.38"), (10**6, "$10")):
        assert f"{prices.requests(requests):.2f}".removesuffix(".00") == shown.strip("$")
        assert shown in TEXT


def test_links_and_pictures_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("http"):
            assert (README.parent / target).is_file(), target


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("etl.sources.limiter.LOOKUP_SECONDS", 0.0)
    write_demo_logs(tmp_path / "trail-logs", DEMO_NOW)
    assert len(COMMANDS) > 8
    with FakeAws() as aws, environment(aws.environment()):
        aws.lookup_rate = None
        bucket = boto3.client("s3", region_name="us-east-1")
        bucket.create_bucket(Bucket="your-trail-bucket")
        bucket.put_object(
            Bucket="your-trail-bucket",
            Key="AWSLogs/111122223333/CloudTrail/us-east-1/2026/11/02/a.json",
            Body=json.dumps({"Records": [call(2)]}).encode(),
        )
        now = datetime.now(UTC)
        aws.place().deliver(call(1, eventTime=now.strftime("%Y-%m-%dT%H:%M:%SZ"), tokens=(1, 2)))
        for command in COMMANDS:
            words, _, target = command.partition(" > ")
            _, name, *options = shlex.split(words)
            if name in ("serve", "demo"):
                continue  # tests/front and tests/cli run these
            status, out, err = run(name, *options)
            assert status == 0, (command, err)
            if target:
                Path(target).write_text(out)
    assert "alice" in run("report", "users")[1]


def test_each_way_to_name_an_application_is_found_under_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code blocks run as they stand, the profiles in a file, the variable in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(cloudwatch.OPERATIONS, "PutMetricData", lambda _: {})
    variables = set(re.findall(r"`(AWS_SDK_UA_APP_ID)=(\w+)`", TEXT))
    assert (len(PYTHON), len(PROFILES), len(variables)) == (4, 2, 1)
    with FakeAws() as aws, environment(aws.environment() | {"PYTHONPATH": "examples"}):
        for role in re.findall(r"role/(\w+-BedrockRole)", TEXT):
            aws.role(ACCOUNT, role)
        for code in PYTHON:
            _run_code(code)
        for name, value in variables:
            _run_code(PLAIN, **{name: value})
        for number, (text, profile) in enumerate(PROFILES):
            (tmp_path / f"config-{number}").write_text(text + _default_profile())
            names = {"AWS_CONFIG_FILE": str(tmp_path / f"config-{number}"), "AWS_PROFILE": profile}
            _run_code(PLAIN, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, **names)
        assert run("sync", "--since", "1d")[0] == 0
    _, out, _ = run("report", "applications", "--format", "json")
    assert {row["application"]: row["calls"] for row in json.loads(out)["rows"]} == {
        **{"CustomerServiceApp": 1, "DataAnalysisApp": 1, "WebPortal": 1, "MobileApp": 1},
        **{"ChatbotApp": 1, "BackendAPI": 1, "DocumentProcessorApp": 1},
    }


def _run_code(code: str, **variables: str | None) -> None:
    changed = os.environ | variables
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={name: value for name, value in changed.items() if value is not None},
        cwd=README.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), code


def _default_profile() -> str:
    """Return the profile that the README's profiles begin with; "backend" has its own keys."""
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    keys = f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    return f"{keys}[default]\n{keys}"


def test_it_promises_nothing_that_is_not_there() -> None:
    """Words of later versions, of this machine, and of nobody's business."""
    for word in ("/work/", "TODO"):
        assert word not in TEXT
