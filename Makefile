# Needs make and python3 (3.11 or later); everything else is brought into .venv and .tools.
# PYTHON=/path/to/python3.x names the interpreter that .venv is made from.
VENV := .venv/bin
STAMP := .venv/.made-from-lock
export PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help setup programs demo test check system slow run bench bench-docker bench-data bench-edge bench-hosts \
    schemas conformance lock clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(STAMP) ## make .venv from requirements.lock; quick when nothing changed

$(STAMP): requirements.lock pyproject.toml tools/environment.sh
	@tools/environment.sh
	@touch $@

programs: # the programs that only tests use
	@tools/test-programs.sh

demo: setup ## the first steps as a story, in a temporary directory, cleaned up after
	@$(VENV)/python -m examples.demo

test: setup programs check system ## everything a change must pass

check: setup ## format, lint, types, import contracts, fast tests: under a minute
	$(VENV)/ruff format --check
	$(VENV)/ruff check
	$(VENV)/mypy
	$(VENV)/lint-imports
	@tools/pytest.sh -n 2 -m "not system and not slow"

system: setup programs # tests with whole processes and other programs
	@tools/system-tests.sh

slow: setup programs ## long tests, by hand before a release; results go to docs/results.md
	@tools/pytest.sh -o faulthandler_timeout=0 -rs -m slow

run: setup ## start Mooring here: server and node agent in one process
	$(VENV)/mooring up

bench: setup ## measure a server of our own; ARGS="--volumes 100000 --json FILE" and the like
	$(VENV)/python -m bench $(ARGS)

bench-docker: setup programs ## measure Docker volumes beside Docker's own, on a dockerd of its own; as root
	$(VENV)/python -m bench.docker $(ARGS)

bench-data: setup programs ## measure volumes beside the bare file system, with fio; as root
	$(VENV)/python -m bench.data_path $(ARGS)

bench-edge: setup programs ## measure an edge before 1,000 services of a swarm that is only told of; as root
	$(VENV)/python -m bench.edge $(ARGS)

bench-hosts: setup ## measure a server with the agents of ten hosts and 1,000 volumes
	$(VENV)/python -m bench.hosts $(ARGS)

docs/first-steps.md: setup examples/demo.py examples/first-steps.md.in $(wildcard examples/*.yaml)
	$(VENV)/python -m examples.demo --write $@

docs/explain.md: setup $(wildcard tests/situations/*.py)
	$(VENV)/python -m tests.situations.page

schemas: setup ## generate the committed API schemas anew
	$(VENV)/python -m tools.schemas

conformance: setup programs ## run the tests that show rules of Kubernetes, and write docs/conformance.md
	$(VENV)/python -m tools.conformance $(ARGS)

lock: # after a change of the dependencies in pyproject.toml; needs uv
	uv pip compile pyproject.toml --extra dev --universal --generate-hashes \
	    --no-emit-index-url --no-header -q -o requirements.lock

clean: ## remove the environment, the test programs and all caches
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench testbed examples tools -name __pycache__ -type d -prune -exec rm -rf {} +
