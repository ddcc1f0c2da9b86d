# Everything runs in .venv, which is made from the locks with hashes and rebuilt only when they change.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
QUICK := -m 'not slow and not database and not measures' --ignore=tests/contract --ignore=tests/provisioning --ignore=tests/beds --ignore=tests/test_secrets_nowhere.py
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help demo surge-demo dev stop test check bench docs lock wheel wheel-test clean

help: ## Show what can be done here
	@echo 'cloudctl, the control plane of a government cloud. Begin with: make demo'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo 'Needs Linux, make, Python 3.11 or newer with venv, and e2fsprogs; root or an ordinary user.'
	@echo 'Another Python: make demo PYTHON=python3.12. Then: .venv/bin/cloudctl --help'

demo: .venv/runs ## Play the main job from end to end on this machine, in four minutes
	@$(BIN)/cloudctl demo

surge-demo: .venv/runs ## Play how a load test finds a service too small, and how it grows; with its pictures
	@$(BIN)/cloudctl demo --surge

dev: .venv/runs ## Run API and worker with an example organisation; Ctrl-C ends them
	@$(BIN)/cloudctl admin dev

stop: .venv/runs ## End what `make dev` or a broken-off demo left running
	@$(BIN)/cloudctl admin stop

test: .venv/tests ## Everything: lint, types, layers, all tests (16 minutes on two cores; the first time builds Kubernetes)
	@mkdir -p build
	@nohup $(BIN)/python -m tests.beds.kubernetes build > build/kubernetes.log 2>&1 &
	@nohup $(BIN)/python -m tests.beds.servers build > build/servers.log 2>&1 &
	@nohup $(BIN)/python -m tests.beds.prometheus build > build/prometheus.log 2>&1 &
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -q -n 3 --dist loadgroup

check: .venv/tests ## Lint, types, layers, and the tests that need no database and no back end (under a minute)
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -q -n 2 $(QUICK)

.PHONY: lint
lint: .venv/tests
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --config pyproject.toml | tail -4
	@PATH=$(CURDIR)/$(BIN):$$PATH ANSIBLE_HOME=$(CURDIR)/.ansible $(BIN)/ansible-lint --offline -q --profile production playbooks

bench: .venv/tests ## Benchmarks beside their references; writes bench/latest.json
	@$(BIN)/python -m bench

docs: .venv/tests ## Write the parts of docs/ that are made from the code
	@$(BIN)/python -m tests.reference

lock: .venv/tests ## Choose the newest versions that pyproject.toml allows, with hashes
	@$(LOCK) --upgrade --group build -o requirements.lock
	@$(LOCK) --upgrade --group build --group dev -c requirements.lock -o requirements-dev.lock

wheel: .venv/runs ## Build the wheel into dist/
	@rm -rf dist build
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist

wheel-test: wheel ## Run the demo from the wheel in an empty virtual environment
	@rm -rf build/wheel-test
	@$(PYTHON) -m venv build/wheel-test
	@build/wheel-test/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@build/wheel-test/bin/python -m pip install --quiet --no-deps dist/cloudctl-*.whl
	@cd / && $(CURDIR)/build/wheel-test/bin/cloudctl demo

clean: ## Remove what was built; data folders stay
	@rm -rf .venv build dist

.venv/runs: requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("cloudctl needs Python 3.11 or newer: make demo PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo 'Python has no venv here; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@echo 'Installing what cloudctl needs into .venv (once) …'
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/tests: .venv/runs requirements-dev.lock
	@echo 'Installing what its tests need into .venv (once) …'
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
