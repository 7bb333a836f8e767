"""``python -m etl`` is ``bedrock-usage``."""

from etl.cli import main

main(prog_name="bedrock-usage")
