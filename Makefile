# Every target sets up what it needs in .venv, once; a second run starts at once.
PYTHON ?= python3
SERVE ?= 1
# Of `make bench`: runs of each program, files that memory is measured with, calls that are read
# over. These take about 20 minutes; the full figures take about an hour:
# make bench RUNS=5 FILES="100 2000" EVENTS="1000000 10000000"
RUNS ?= 3
FILES ?= 100 1000
EVENTS ?= 300000 3000000
BIN := .venv/bin
# The versions that were tested: `make constraints` renews them.
# More processes than cores, because some tests wait.
PYTEST := $(BIN)/python -m pytest -q -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist worksteal
INSTALL := $(BIN)/python -m scripts.install

# What is imported is compiled once, not by every process that a test starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long check lint wheel-check second-python constraints docs sql screenshots
.PHONY: bench
.PHONY: clean
.DEFAULT_GOAL := test

demo: .venv/installed
	$(BIN)/bedrock-usage demo $(if $(filter 0,$(SERVE)),--no-serve)

test: .venv/installed-dev
	$(PYTEST)

# What a change needs before it is looked at: at most a minute.
check: lint
	$(PYTEST) -m "not slow"

# The same tests with many more rounds of those that draw lots, and those that run for minutes.
test-long: .venv/installed-dev
	TEST_LONG=1 $(PYTEST)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m scripts.check_versions
	$(BIN)/python -m scripts.build_list_prices --check

# The wheel in an empty environment in another folder: demo and serve.
wheel-check: .venv/installed-dev
	$(BIN)/python -m scripts.check_wheel

# The fast tests on another Python that is installed here, if there is one.
second-python: .venv/installed-dev
	$(BIN)/python -m scripts.second_python

# The newest versions that pyproject.toml allows, written down if every test passes with them.
constraints: .venv/bin/python
	$(BIN)/python -m scripts.renew_constraints

docs: .venv/installed-dev
	$(BIN)/python -m scripts.update_docs

# What SQLite gets of a file of sql/: make sql NAME=marts/user_costs
sql: .venv/installed
	@$(BIN)/python -m scripts.print_sql $(NAME)

screenshots: .venv/installed-dev
	$(BIN)/python -m scripts.take_screenshots

bench: .venv/installed-bench .venv/trailscraper/installed
	$(BIN)/python -m bench.load --runs $(RUNS) --memory-files $(FILES)
	$(BIN)/python -m bench.reading --events $(EVENTS)
	$(BIN)/python -m bench.pages --events $(lastword $(EVENTS))
	$(BIN)/python -m bench.sync

clean:
	rm -rf .venv build dist *.egg-info bedrock_usage.db bedrock_usage.db-wal bedrock_usage.db-shm bedrock_usage.db.secret

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bedrock-usage needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[dev]'
	touch .venv/installed $@

# bench.sync runs against the tests' fake AWS.
.venv/installed-bench: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[dev,bench]'
	touch .venv/installed .venv/installed-dev $@

# It pins what we use in other versions. Where it cannot be installed, the benchmark goes without.
.venv/trailscraper/installed: | .venv/bin/python
	$(BIN)/python -m venv .venv/trailscraper
	-.venv/trailscraper/bin/python -m pip install --quiet --disable-pip-version-check 'trailscraper==0.10.0' && touch $@
