"""``bedrock-usage athena-sql``: print SQL for Amazon Athena."""

from __future__ import annotations

from pathlib import Path

import click

from etl.cli.shared.loading import reading_keys
from etl.cli.shared.options import config_option
from etl.config import load_config
from etl.rollup.athena import STATEMENTS, query_text


@click.command(name="athena-sql")
@click.argument("statement", type=click.Choice(STATEMENTS), metavar="|".join(STATEMENTS))
@config_option
def athena_sql(statement: str, config: Path | None) -> None:
    """Print the SQL by which Amazon Athena counts logs for `load-rollup`.

    `trail` and `logs` create the tables of CloudTrail's and Bedrock's files, `usage` is the query
    over both. Words in capitals are to be replaced: the head of each says by what. The query reads
    the request metadata that the configuration looks at, and no prompts and no answers. It has not
    been run on Athena: see docs/scale.md.
    """
    click.echo(query_text(statement, reading_keys(load_config(config))), nl=False)
