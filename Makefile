# Every target sets up what it needs in .venv, once; a second run starts at once.
PYTHON ?= python3
SERVE ?= 1
BIN := .venv/bin

.PHONY: demo test lint docs clean
.DEFAULT_GOAL := test

demo: .venv/installed
	$(BIN)/bedrock-usage demo $(if $(filter 0,$(SERVE)),--no-serve)

test: .venv/installed-dev
	$(BIN)/python -m pytest -q -n auto

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-dev
	$(BIN)/python -m scripts.update_readme

clean:
	rm -rf .venv build dist *.egg-info bedrock_usage.db bedrock_usage.db-wal bedrock_usage.db-shm

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bedrock-usage needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch .venv/installed $@
