# make help    what there is
# make run     a relay with the demo stream
# make test    every test
# make check   lint, format, types

PYTHON ?= python3
WORKERS ?= 4
PORT ?= 8765
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test test-fast bench check system clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/base: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[publish]'
	@touch $@

$(VENV)/dev: pyproject.toml $(VENV)/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(VENV)/base  ## Start a relay with the demo stream (WORKERS=4 PORT=8765)
	$(BIN)/relay-supervisor --workers $(WORKERS) --port $(PORT) --demo

system:
	@sh tests/system_packages.sh browser deploy windows cluster

test: $(VENV)/dev system  ## Install what the tests need and run them all
	$(BIN)/python -m pytest

test-fast: $(VENV)/dev  ## The tests that take little time
	$(BIN)/python -m pytest -m 'not slow and not browser and not windows'

check: $(VENV)/dev  ## Lint, format, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 -p bus -p workers -p relay -p tests.windows.native -p tests.windows.guests
	$(BIN)/python -m pytest -q tests/test_layering.py

bench: $(VENV)/base  ## Measure beside peers (BENCH="500x16k storm --rounds 3"; all takes hours)
	@sh tests/system_packages.sh bench
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	-npm install --silent --no-save --prefix $(VENV)/npm ws@8 bun@1 @trufflesuite/uws-js-unofficial@20.30.0-unofficial.0
	NODE_PATH=$(CURDIR)/$(VENV)/npm/node_modules \
	  PATH="$(CURDIR)/$(VENV)/npm/node_modules/.bin:$$PATH" $(BIN)/python -m tests.bench $(BENCH)
	$(BIN)/python -m tests.bench.report build/bench/rows.jsonl --plot build/bench/fanout.png

clean:  ## Remove what make made
	rm -rf $(VENV) *.egg-info build .pytest_cache .mypy_cache .ruff_cache .hypothesis
