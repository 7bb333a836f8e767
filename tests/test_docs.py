"""README and docs/ are true: help texts, quotes, pictures, links and commands."""

from __future__ import annotations

import functools
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
import click
import pytest
from click.testing import CliRunner

from etl.cli import main as program
from etl.cli.main import COMMANDS as NAMES
from etl.config import load_config
from etl.demo import write_demo_logs
from etl.monitor import prices
from etl.normalise.offer_files import SERVICE_CODES
from scripts.update_docs import DEMO_NOW, README, ROOT, pages, updated
from tests.aws import ACCOUNT, FakeAws, cloudwatch
from tests.bill.exports import NOVA, usage, write_export
from tests.cli.running import run
from tests.prices.offer_files import Product, offer
from tests.rollup.athena import run_query
from tests.support import HAIKU, call
from tests.sync.support import environment

PAGES = {page: page.read_text(encoding="utf-8") for page in pages()}
TEXT = "\n".join(PAGES.values())
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
# A command runs once, however many pages show it.
COMMANDS = list(
    dict.fromkeys(
        line.strip()
        for language, block in BLOCKS
        for line in block.splitlines()
        if language == "sh" and line.strip().startswith("bedrock-usage ")
    )
)

RATES = [
    (language, block)
    for language, block in BLOCKS
    if language in ("csv", "yaml") or (language == "toml" and "[[rates]]" in block)
]
PYTHON = [block for language, block in BLOCKS if language == "python"]
PROFILES = [
    (block, found[1])
    for language, block in BLOCKS
    if language == "ini" and (found := re.match(r"# ~/.aws/config\n\[profile (.*?)\]\n", block))
]
PLAIN = f"""
import boto3
boto3.client("bedrock-runtime").converse(
    modelId="{HAIKU}", messages=[{{"role": "user", "content": [{{"text": "Hello"}}]}}]
)
"""


def test_the_readme_is_short() -> None:
    assert len(PAGES[README].splitlines()) <= 250, "move what few need into docs/"


def test_quotes_and_generated_pages_are_of_today() -> None:
    texts = updated().items()
    stale = [page.name for page, text in texts if page.read_text(encoding="utf-8") != text]
    assert stale == [], "run make docs"
    # A quote without its marker could become stale unnoticed.
    assert (TEXT.count("<!-- report -->\n\n```"), TEXT.count("<!-- policy -->\n\n```")) == (1, 1)


def test_every_command_has_its_help_text() -> None:
    for name in NAMES:
        assert f"$ bedrock-usage {name} --help" in TEXT


def test_every_command_that_is_shown_exists_with_its_options() -> None:
    lines = {line for _, block in BLOCKS for line in block.splitlines()}
    lines |= set(re.findall(r"`(bedrock-usage [^`]+)`", _prose(TEXT)))
    commands = sorted(line for line in lines if line.startswith("bedrock-usage "))
    assert len(commands) > 40
    for command in commands:
        words = shlex.split(command.partition(" > ")[0])[1:]
        done = CliRunner().invoke(program, [*words, "--help"])
        assert done.exit_code == 0, (command, done.output)


def test_configuration_that_is_shown_is_accepted(tmp_path: Path) -> None:
    shown = [block for language, block in BLOCKS if language == "toml" and "[[rates]]" not in block]
    assert len(shown) > 4
    for block in shown:
        # Only the beginning of a hash is shown.
        (tmp_path / "shown.toml").write_text(block.replace("$...", f"${'a' * 16}${'a' * 43}="))
        load_config(tmp_path / "shown.toml")


def test_the_prices_of_the_example_are_those_that_the_program_knows() -> None:
    for metrics, shown in ((10 * 5 * 3, "$45"), (10 * 5 * 7, "$105"), (1000 * 2 * 3, "$1,800")):
        assert prices.metrics_a_month(metrics) == Decimal(shown.strip("$").replace(",", ""))
        assert shown in TEXT
    # GetMetricData is billed by metric, PutMetricData by request; both at the same rate.
    for requests, shown in ((5 * 7 * 2920, "$1.02"), (10 * 60 * 730, "$4.38"), (10**6, "$10")):
        assert f"{prices.requests(requests):.2f}".removesuffix(".00") == shown.strip("$")
        assert shown in TEXT


def test_links_and_pictures_lead_somewhere() -> None:
    others = (ROOT / "DECISIONS.md", ROOT / "CHANGELOG.md")
    texts = PAGES | {page: page.read_text(encoding="utf-8") for page in others}
    for page, text in texts.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", _prose(text)):
            if not link.startswith("http"):
                _follow(page, link)


def _follow(page: Path, link: str) -> None:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    assert target.is_file(), (page.name, link)
    assert ROOT in target.parents, (page.name, link)
    assert not anchor or anchor in _anchors(target), (page.name, link)


@functools.cache
def _anchors(page: Path) -> set[str]:
    """Return GitHub's anchors for the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _prose(text: str) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def test_the_readme_leads_to_every_page() -> None:
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", PAGES[README])}
    assert [
        page.name for page in PAGES if page != README and f"docs/{page.name}" not in links
    ] == []


def test_messages_name_pages_that_are_there() -> None:
    """A page, or a heading of it: "see docs/files.md" and "docs/troubleshooting.md#no-tokens"."""
    named = {
        link
        for folder in ("etl", "examples", "scripts", "sql")
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix in (".py", ".html", ".js", ".sql")
        for link in re.findall(r"docs/\w+\.md(?:#[\w-]+)?", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    for link in named:
        _follow(README, link)


def test_messages_name_commands_that_exist_with_their_options() -> None:
    joined = re.compile(r'"\s*\n\s*f?"')
    named = {
        line
        for file in (ROOT / "etl").rglob("*.py")
        for line in re.findall(
            r"`(bedrock-usage [a-z][^`{]*)`", joined.sub("", file.read_text(encoding="utf-8"))
        )
    }
    assert len(named) > 40
    for line in named:
        words = line.split()[1:]
        command: click.Command | None = program
        while isinstance(command, click.Group) and words:
            command = command.get_command(click.Context(command), words.pop(0))
        assert command, line
        options = {option for one in command.params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_decisions_have_one_number_each_and_code_cites_those_that_exist() -> None:
    text = (ROOT / "DECISIONS.md").read_text(encoding="utf-8")
    numbers = re.findall(r"^\*\*(\d+)\. ", text, re.MULTILINE)
    assert re.findall(r"[^\n]\n\*\*\d+\. ", text) == [], "not a paragraph of its own"
    assert len(numbers) == len(set(numbers)) > 100
    citations = [
        (file.relative_to(ROOT).as_posix(), cited)
        for folder in ("bench", "etl", "scripts", "sql", "tests")
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix in (".py", ".html", ".js", ".sql", ".yml") and file != Path(__file__)
        for cited in re.findall(r"\bDECISIONS\b(?!\.md)(.{0,20})", file.read_text(encoding="utf-8"))
    ]
    for name, cited in citations:
        found = re.match(r" ((?:\d+, )*\d+)\)", cited)
        assert found, (name, cited)
        assert set(found[1].split(", ")) <= set(numbers), (name, cited)
    assert len(citations) > 30


def test_files_that_pages_name_are_there() -> None:
    others = (ROOT / "DECISIONS.md", ROOT / "CHANGELOG.md")
    named = {
        (page.name, path)
        for page in (*PAGES, *others)
        for path in re.findall(
            r"`((?:bench|docs|etl|examples|scripts|sql|tests)/[\w/]+\.\w+)`",
            page.read_text(encoding="utf-8"),
        )
        if "NAME" not in path
    }
    assert len(named) > 50
    assert {(page, path) for page, path in named if not (ROOT / path).is_file()} == set()


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpaced: None) -> None:
    monkeypatch.chdir(tmp_path)
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
        bucket.create_bucket(Bucket="your-usage-bucket")
        bucket.create_bucket(Bucket="your-athena-results")
        result = run_query([call(2)], tmp_path / "october.csv")
        bucket.upload_file(str(result), "your-athena-results", "october.csv")
        bucket.create_bucket(Bucket="your-billing-bucket")
        write_export(tmp_path / "bill", [usage(NOVA, "input", 1_000, "2026-10-03")])
        for file in (tmp_path / "bill").rglob("*.*"):
            key = str(file.relative_to(tmp_path / "bill"))
            bucket.upload_file(str(file), "your-billing-bucket", key)
        now = datetime.now(UTC)
        for code in SERVICE_CODES:
            aws.price_lists.publish(offer(code, [Product("USE1-NovaPro-input-tokens", "0.0008")]))
        aws.place().deliver(call(1, eventTime=now.strftime("%Y-%m-%dT%H:%M:%SZ"), tokens=(1, 2)))
        for command in COMMANDS:
            words, _, target = command.partition(" > ")
            _, name, *options = shlex.split(words)
            if name in ("serve", "demo"):
                continue  # tests/web and tests/cli run these
            status, out, err = run(name, *options)
            assert status == 0, (command, err)
            if target:
                Path(target).write_text(out)
        imported = set()
        for form, block in RATES:
            Path(f"documented.{form}").write_text(block)
            into = ("--db", f"{form}.db")  # the price list above has these days already
            assert run("prices", "import", f"documented.{form}", *into)[0] == 0, block
            imported.add(run("prices", "list", "--model", HAIKU, *into)[1])
    assert len(RATES) == 3
    assert len(imported) == 1
    assert "alice" in run("report", "users")[1]


def test_each_way_to_name_an_application_is_found_under_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code blocks run unchanged, with the profiles in a file and the variable set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(cloudwatch.OPERATIONS, "PutMetricData", lambda _: {})
    variables = set(re.findall(r"`(AWS_SDK_UA_APP_ID)=(\w+)`", TEXT))
    assert (len(PYTHON), len(PROFILES), len(variables)) == (4, 2, 1)
    with FakeAws() as aws, environment(aws.environment() | {"PYTHONPATH": "examples"}):
        for role in re.findall(r"role/(\w+-BedrockRole)", TEXT):
            aws.role(ACCOUNT, role)
        blocks: list[tuple[str, dict[str, str | None]]] = [(code, {}) for code in PYTHON]
        blocks += [(PLAIN, {name: value}) for name, value in variables]
        for number, (text, profile) in enumerate(PROFILES):
            (tmp_path / f"config-{number}").write_text(text + _default_profile())
            names = {"AWS_CONFIG_FILE": str(tmp_path / f"config-{number}"), "AWS_PROFILE": profile}
            blocks.append(
                (PLAIN, names | {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None})
            )
        _run_code(*blocks)
        assert run("sync", "--since", "1d")[0] == 0
    _, out, _ = run("report", "applications", "--format", "json")
    assert {row["application"]: row["calls"] for row in json.loads(out)["rows"]} == {
        **{"CustomerServiceApp": 1, "DataAnalysisApp": 1, "WebPortal": 1, "MobileApp": 1},
        **{"ChatbotApp": 1, "BackendAPI": 1, "DocumentProcessorApp": 1},
    }


# Each in a process of its own, which need not import boto3 again.
_RUN_EACH = """
import json, os, sys
import boto3, botocore.auth, botocore.client, botocore.credentials, botocore.handlers
for code, variables in json.load(sys.stdin):
    if not os.fork():
        os.environ.update((name, value) for name, value in variables.items() if value is not None)
        for name in (name for name, value in variables.items() if value is None):
            del os.environ[name]
        exec(code)
        sys.exit()
    if os.wait()[1]:
        sys.exit(code)
"""


def _run_code(*blocks: tuple[str, dict[str, str | None]]) -> None:
    """Run each block with these environment variables, or without those that are None."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _RUN_EACH],
        input=json.dumps(blocks),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _default_profile() -> str:
    """Return the profile that the pages' profiles start from; "backend" has its own keys."""
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    keys = f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    return f"{keys}[default]\n{keys}"


def test_it_promises_nothing_that_is_not_there() -> None:
    """Words of later versions, of this machine, and of no use to a reader."""
    for word in ("/work/", "TODO"):
        assert word not in TEXT
