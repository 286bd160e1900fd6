# `make demo` shows what plausible does, `make test` checks everything; each installs what it needs into .venv first.
PYTHON ?= $(or $(shell command -v python3.11),python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt

.PHONY: demo test quick lint types imports docs tests browser constraints clean

demo: .venv/installed  ## the whole way from members to a report, on shipped data
	$(BIN)/plausible demo

test: lint types imports docs tests  ## all that CI checks

quick: .venv/installed-dev  ## the tests that take milliseconds
	$(BIN)/pytest -q -n 2 --benchmark-disable -m "not slow and not browser"

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	$(BIN)/mypy

imports: .venv/installed-dev
	$(BIN)/lint-imports

docs: .venv/installed-dev  ## the documentation in site/; any broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

tests: .venv/installed-dev browser
	$(BIN)/pytest -q -n 2 --dist worksteal --benchmark-disable --durations 10

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'plausible needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ...'; exit 1; }
	$(PYTHON) -m venv .venv
	$(INSTALL) --upgrade pip

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[train]'
	@touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[train,calibrate,dicom,codecs]' --group dev --group docs
	@touch $@ .venv/installed

# Pages are tested in Debian's chromium. Without it, or without the right to install it, those tests are skipped.
browser:
	@if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo 'installing chromium for the tests of the pages'; \
	  { timeout 300 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 900 \
	    apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null \
	    || echo 'chromium could not be installed: tests of the pages are skipped'; \
	fi

constraints: .venv/installed-dev  ## write down the versions that are installed now
	{ sed -n '/^#/p' constraints.txt; \
	  { $(BIN)/pip list --format freeze; } 2>/dev/null | grep -viE '^(plausible|setuptools|nvidia-|cuda-|triton)' \
	  | sed 's/+[a-z0-9.]*$$//' | sort -f; } > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean:
	rm -rf .venv site dist build plausible_demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache
