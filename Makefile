# Every target sets up what it needs. Nothing here is a file that make would write, least of all a
# results log: make deletes a target when it is interrupted, and a log must survive that.

SOURCE ?= backlog.txt
RESULTS ?= $(basename $(SOURCE)).results.jsonl
UNTIL ?= 06:00

# The first of these that is new enough; `make PYTHON=/path/to/python` overrules it.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
UV := .uv/bin/uv
COMMAND := $(BIN)/complete-sessions

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Try it and use it

.PHONY: demo
demo: $(INSTALLED) ## rehearse a whole run against a local stand-in of the API (half a minute)
	@$(BIN)/python config/demo.py

.PHONY: run
run: $(INSTALLED) ## complete every id in SOURCE (backlog.txt)
	$(COMMAND) run "$(SOURCE)" --results "$(RESULTS)"

# make itself always fails with 2: the command's own exit code stands in its message. Where the
# code matters, as in a timer or a scheduler, call the command and not make.
.PHONY: nightly
nightly: $(INSTALLED) ## the same, until UNTIL (06:00); tomorrow it goes on where it stopped
	$(COMMAND) run "$(SOURCE)" --results "$(RESULTS)" --until "$(UNTIL)"

.PHONY: retry-failed
retry-failed: $(INSTALLED) ## send the failed ids of RESULTS again, and no others
	failed=$$($(COMMAND) ids "$(RESULTS)" --outcome failed) && \
	printf '%s\n' "$$failed" | $(COMMAND) run - --results "$(RESULTS)"

.PHONY: report
report: $(INSTALLED) ## what RESULTS says, on the terminal and as a page beside it
	$(COMMAND) report "$(RESULTS)" --html "$(basename $(RESULTS)).html"

## Work on it

.PHONY: test
test: $(INSTALLED_DEV) ## run the tests
	$(BIN)/python -m pytest

.PHONY: test-versions
test-versions: $(UV) ## run the tests with the oldest and the newest versions allowed (minutes)
	$(PYTHON) -m tests.proofs.versions --uv $(UV) $(if $(ONLY),--only $(ONLY))

.PHONY: coverage
coverage: $(INSTALLED_DEV) ## fail where a line or branch of the rooms that decide is never reached (minutes)
	$(BIN)/python -m pytest --cov --cov-report= tests/proofs/simulation \
	  tests/unit/api tests/unit/ledger tests/unit/runner tests/unit/pacing tests/unit/cluster
	$(BIN)/python -m coverage report --fail-under 100 \
	  --include "worker/api/*,worker/ledger/*,worker/runner/*,worker/pacing/*,worker/cluster/*"

.PHONY: torture
torture: $(INSTALLED_DEV) ## kill and restart whole runs, and count what was lost (minutes)
	$(BIN)/python -m tests.proofs.torture

SECONDS ?= 60

.PHONY: simulate
simulate: $(INSTALLED_DEV) ## simulate whole runs, alone and several at once, for SECONDS (60)
	$(BIN)/python -m tests.proofs.simulation --seconds $$(( $(SECONDS) / 2 ))
	$(BIN)/python -m tests.proofs.simulation.cluster --seconds $$(( $(SECONDS) / 2 ))

.PHONY: mutants
mutants: $(INSTALLED) ## break promises one at a time in a copy; the tests must notice each (minutes)
	$(BIN)/python -m tests.proofs.mutants

.PHONY: crash-matrix
crash-matrix: $(INSTALLED_DEV) ## kill runs and the Redis that they share, and count (a quarter of an hour)
	$(BIN)/python -m tests.proofs.crash_matrix

.PHONY: crash-matrix-short
crash-matrix-short: $(INSTALLED_DEV) ## each row of it once, with few ids, as CI does (minutes)
	$(BIN)/python -m tests.proofs.crash_matrix --short

.PHONY: bench
bench: $(INSTALLED_DEV) ## measure pace and cost against other clients (minutes)
	$(BIN)/python -m tests.bench

.PHONY: bench-smoke
bench-smoke: $(INSTALLED_DEV) ## whether every part of the benchmark runs (half a minute)
	$(BIN)/python -m pytest -n 0 tests/bench/smoke.py

.PHONY: lint
lint: $(INSTALLED_DEV) ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(INSTALLED_DEV) ## check types
	$(BIN)/mypy

.PHONY: imports
imports: $(INSTALLED_DEV) ## check that imports point one way
	$(BIN)/lint-imports

.PHONY: check
check: lint types imports test ## all four of these: what CI runs

.PHONY: format
format: $(INSTALLED_DEV) ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(UV) ## choose versions anew where pyproject.toml asks for it; UPGRADE=1 takes the newest of all
	$(COMPILE) --group build --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock

.PHONY: clean
clean: ## remove what set-up, checks and builds left behind; never results
	rm -rf .venv .uv .versions .bench .coverage .coverage.* htmlcov .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache build dist
	find worker tests -name __pycache__ -type d -prune -exec rm -rf {} +

## Set it up

PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check
# A lock is complete. Resolved again, it would break: pip before 24 takes the newest release there
# is of a package that another one asks for with an extra, finds no hash for it, and gives up.
INSTALL_LOCK = $(PIP) install --no-deps --no-compile --require-hashes --requirement
FITS = $(PIP) check || { echo "Start anew: make clean" >&2; exit 1; }

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and no python3 here is." \
	  "Install one, or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is not." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual" \
	  "environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv (once: some seconds, and what the download takes)"
	@$(PYTHON) -m venv .venv
	@$(INSTALL_LOCK) requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(FITS)
	@touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements-dev.lock
	@echo "Adding to .venv what work on it needs"
	@$(INSTALL_LOCK) requirements-dev.lock
	@$(FITS)
	@touch $@

COMPILE = $(UV) pip compile pyproject.toml --quiet --no-config --universal --python-version 3.11 \
  --all-extras --generate-hashes --no-annotate --custom-compile-command "make lock" \
  $(if $(UPGRADE),--upgrade)

$(UV):
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv
