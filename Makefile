# `make run` measures the reference model on this machine; `make test` checks the program.
# Both set up everything that they need in $(VENV), once. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
RUN_ARGS ?=
PYTEST_ARGS ?=

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check --quiet
sources := src scripts benchmarks bench training tests

# A stamp says that an environment stands as its lock has it; a newer lock makes it stale.
made := $(VENV)/.made
run_ready := $(VENV)/.ready-run
test_ready := $(VENV)/.ready-test

.DEFAULT_GOAL := help
.PHONY: help run test test-long lint bench lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(run_ready) ## measure the reference model on this machine (RUN_ARGS: flags of minionbench run)
	@$(bin)/minionbench run $(RUN_ARGS)

# Two files of tests at a time: a test mostly waits for the server or engine that it has started,
# and more at once would be more than a small machine can serve in good time.
at_once = --numprocesses 2 --dist loadfile

test: $(test_ready) ## run the tests (PYTEST_ARGS: flags of pytest)
	@$(bin)/python -m pytest $(at_once) $(PYTEST_ARGS)

test-long: $(test_ready) ## run the tests that take minutes, too
	@$(bin)/python -m pytest $(at_once) -m "long or not long" $(PYTEST_ARGS)

lint: $(test_ready) ## check format, lint and types
	@$(bin)/ruff format --check $(sources)
	@$(bin)/ruff check $(sources)
	@$(bin)/mypy

bench: $(test_ready) ## measure the harness itself against a server of known timing
	@$(bin)/python -m bench

lock: ## write both lock files anew from pyproject.toml
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv, or make lock UV=/path/to/uv" >&2; exit 3; }
	@$(UV) pip compile $(lock_flags) --output-file requirements.lock pyproject.toml
	@$(UV) pip compile $(lock_flags) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

lock_flags = --quiet --universal --generate-hashes --python-version 3.11 --group build --custom-compile-command "make lock"

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov bench/build
	find $(sources) -name __pycache__ -type d -prune -exec rm -rf {} +

$(made):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there. On Debian or Ubuntu: apt-get install -y python3 python3-venv libgomp1" >&2; exit 3; }
	@$(PYTHON) scripts/preflight.py
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(run_ready): $(made) requirements.lock pyproject.toml
	@echo "Installing the locked packages into $(VENV) …"
	@$(pip) install --require-hashes -r requirements.lock
	@$(pip) install --no-deps --no-build-isolation --editable .
	@touch $@

$(test_ready): $(made) requirements-dev.lock pyproject.toml
	@$(PYTHON) scripts/preflight.py --for-tests
	@echo "Installing the locked packages for development into $(VENV) …"
	@$(pip) install --require-hashes -r requirements-dev.lock
	@$(pip) install --no-deps --no-build-isolation --editable .
	@touch $@
