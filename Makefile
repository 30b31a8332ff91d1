# Everything starts from a bare checkout: set-up finds or installs what it needs, and says so.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON_CHECK := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
FIND_PYTHON = $(firstword $(foreach p,$(or $(PYTHON),python3.11 python3.12 python3),$(shell $(p) -c '$(PYTHON_CHECK)' 2>/dev/null && echo $(p))))
BIN := .venv/bin

.PHONY: help setup run test check lint types imports bench lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install what running needs, into .venv and static/vendor
	@$(call setup,)

run: setup ## Set up and run everything on http://localhost:8000 (PORT=… for another)
	@exec $(BIN)/footfall up

test: ## Set up and run every test (TESTS="tests/visits -k clock" for some)
	@$(call setup,--dev --browser)
	@$(BIN)/python scripts/run_tests.py $(TESTS)

check: lint types imports test ## Exactly what CI runs

lint: setup-dev ## Style of Python and templates
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/djlint --lint --quiet templates

types: setup-dev ## mypy, strict
	@$(BIN)/mypy

imports: setup-dev ## Which package may import which
	@$(BIN)/lint-imports

bench: setup-dev ## Measure beside references; see bench/README.md (BENCH=collect for one)
	@$(BIN)/python -m bench $(BENCH)

lock: setup-dev ## Renew the lock files from pyproject.toml
	@$(BIN)/python scripts/lock.py

clean: ## Remove what set-up made; data in var/ stays
	rm -rf .venv node_modules static/vendor .mypy_cache .ruff_cache .pytest_cache

.PHONY: setup-dev
setup-dev:
	@$(call setup,--dev)

define setup
python="$(FIND_PYTHON)"; \
if [ -z "$$python" ]; then \
  echo "Footfall needs Python 3.11 or 3.12. Install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
fi; \
$$python scripts/setup.py $(1)
endef
