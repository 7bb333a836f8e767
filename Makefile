# Every target sets up what it needs in .venv, once; later runs start at once.
PYTHON ?= python3
SERVE ?= 1
# For `make bench`: runs of each program, numbers of files for the memory measurement, numbers of
# calls in the warehouses. These take about 20 minutes; the full figures take about an hour:
# make bench RUNS=5 FILES="100 2000" EVENTS="1000000 10000000"
RUNS ?= 3
FILES ?= 100 1000
EVENTS ?= 300000 3000000
# The day on which the price list was last gone through. A fixed one, so that no commit fails only
# because time has passed: `bedrock-usage prices check` says what has become old since.
PRICES_REVIEWED := 2026-11-29
BIN := .venv/bin
# More processes than cores, because some tests wait.
PYTEST := $(BIN)/python -m pytest -q -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist worksteal
# Installs the tested versions of constraints.txt; `make constraints` renews them.
INSTALL := $(BIN)/python -m scripts.install

# Compile modules once, not in every process that a test starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long spark check lint wheel-check second-python constraints docs sql screenshots
.PHONY: bench
.PHONY: clean
.DEFAULT_GOAL := test

demo: .venv/installed
	$(BIN)/bedrock-usage demo $(if $(filter 0,$(SERVE)),--no-serve)

test: .venv/installed-dev
	$(PYTEST)

# The tests of Apache Spark as well, which need Java 17; without it `make test` skips them. The
# packages take half a gigabyte.
spark: .venv/installed-spark
	$(PYTEST) tests/rollup

# The checks before a review: at most a minute.
check: lint
	$(PYTEST) -m "not slow"

# All tests, with many more rounds of the randomised ones, and those that run for minutes.
test-long: .venv/installed-dev
	TEST_LONG=1 $(PYTEST)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m scripts.check_versions
	$(BIN)/python -m scripts.build_list_prices --check
	$(BIN)/bedrock-usage prices check --as-of $(PRICES_REVIEWED)

# Demo and serve from the wheel, in an empty environment in another folder.
wheel-check: .venv/installed-dev
	$(BIN)/python -m scripts.check_wheel

# The fast tests on another installed Python, if there is one.
second-python: .venv/installed-dev
	$(BIN)/python -m scripts.second_python

# Pin the newest versions that pyproject.toml allows, if every test passes with them.
constraints: .venv/bin/python
	$(BIN)/python -m scripts.renew_constraints

docs: .venv/installed-dev
	$(BIN)/python -m scripts.update_docs

# Print the SQL that SQLite gets from a file of sql/: make sql NAME=marts/user_costs
sql: .venv/installed
	@$(BIN)/python -m scripts.print_sql $(NAME)

screenshots: .venv/installed-dev
	$(BIN)/python -m scripts.take_screenshots

bench: .venv/installed-bench .venv/trailscraper/installed
	$(BIN)/python -m bench.load --runs $(RUNS) --memory-files $(FILES)
	$(BIN)/python -m bench.reading --events $(EVENTS)
	$(BIN)/python -m bench.pages --events $(lastword $(EVENTS))
	$(BIN)/python -m bench.sync
	$(BIN)/python -m bench.bill
	$(BIN)/python -m bench.attribution
	$(BIN)/python -m bench.calibrate

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

.venv/installed-spark: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[dev,spark]'
	touch .venv/installed .venv/installed-dev $@

# bench.sync runs against the tests' fake AWS.
.venv/installed-bench: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[dev,bench]'
	touch .venv/installed .venv/installed-dev $@

# A separate environment, because it pins other versions of our dependencies. If it cannot be
# installed, the benchmark runs without it.
.venv/trailscraper/installed: | .venv/bin/python
	$(BIN)/python -m venv .venv/trailscraper
	-.venv/trailscraper/bin/python -m pip install --quiet --disable-pip-version-check 'trailscraper==0.10.0' && touch $@
