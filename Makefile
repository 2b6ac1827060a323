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
test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest

.PHONY: coverage
coverage: $(INSTALLED) ## run the tests and say which lines they never reach
	$(BIN)/python -m pytest --cov --cov-report=term

.PHONY: torture
torture: $(INSTALLED) ## kill and restart whole runs, and count what was lost (minutes)
	$(BIN)/python -m tests.proofs.torture

.PHONY: crash-matrix
crash-matrix: $(INSTALLED) ## kill runs and the Redis that they share, and count (half an hour)
	$(BIN)/python -m tests.proofs.crash_matrix

.PHONY: bench
bench: $(INSTALLED) ## measure pace and cost against other clients (minutes)
	$(BIN)/python -m tests.bench

.PHONY: lint
lint: $(INSTALLED) ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(INSTALLED) ## check types
	$(BIN)/mypy

.PHONY: imports
imports: $(INSTALLED) ## check that imports point one way
	$(BIN)/lint-imports

.PHONY: check
check: lint types imports test ## all four of these: what CI runs

.PHONY: format
format: $(INSTALLED) ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: ## choose versions anew where pyproject.toml asks for it; UPGRADE=1 takes the newest of all
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && \
	$(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install --quiet uv && \
	"$$tools/bin/uv" pip compile pyproject.toml --output-file requirements.lock --quiet \
	  --no-config --universal --python-version 3.11 --all-extras --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## remove what set-up, checks and builds left behind; never results
	rm -rf .venv .bench .coverage .coverage.* htmlcov .hypothesis .import_linter_cache .mypy_cache \
	  .pytest_cache .ruff_cache build dist
	find worker tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and no python3 here is." \
	  "Install one, or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is not." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual" \
	  "environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv (once, about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
