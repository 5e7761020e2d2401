# All checks are make targets, run in the same way locally and in CI. `make` lists them.
PYTHON ?= python3
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS = never
.DEFAULT_GOAL := help
.PHONY: help run test check lint types migrations workflows unit integration browser coverage chart-docs test-chart package image kind test-cluster test-long test-loop audit bench bench-overhead bench-cluster bench-peers bench-loop load bundle

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

.venv/.installed: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required. If you have another Python: make PYTHON=python3.14")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "The Python module venv is not installed. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv sync --frozen --quiet --inexact
	@touch $@

run: .venv/.installed ## Run the service with PostgreSQL and Valkey: PORT=8000 make run
	@$(BIN)/python -m devserver.run

test: check coverage browser ## Run all checks and tests that need neither Helm nor a cluster

check: lint types migrations workflows ## Run all static checks

lint: .venv/.installed ## Check code style and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed ## Check types with mypy, strict
	$(BIN)/mypy

migrations: .venv/.installed ## Check for missing and for backward incompatible migrations
	$(BIN)/python -m bin.migrations

# Built from source, which Go's checksum database verifies; the package on PyPI downloads a binary.
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
workflows: .venv/.installed ## Check GitHub workflows and shell scripts: zizmor, shellcheck, and actionlint if Go is installed
	$(BIN)/zizmor --quiet --offline --strict-collection --pedantic .github
	! test -x $(BIN)/shellcheck || $(BIN)/shellcheck bin/kind bin/render .ci/run
	! command -v go > /dev/null || PATH="$(CURDIR)/$(BIN):$$PATH" go run $(ACTIONLINT)

unit: .venv/.installed ## Run the unit tests
	$(BIN)/python -m pytest tests/unit

# Two pytest processes, each with its own servers. More would compete for CPUs, and some tests measure time.
XDIST := --numprocesses 2 --dist worksteal
integration: bundle ## Run the integration tests with PostgreSQL and Valkey
	$(BIN)/python -m pytest $(XDIST) tests/integration

browser: bundle ## Run the browser tests against `make run`
	$(BIN)/python -m pytest tests/browser

coverage: bundle ## Run unit and integration tests; fail if branch coverage is below 95 %
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(XDIST) tests/unit tests/integration
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

chart-docs: .venv/.installed ## Generate the README and the schema of the chart from its values.yaml
	$(BIN)/python bin/chart_docs.py

test-chart: .venv/.installed ## Test the rendered chart, its generated README and its schema
	$(BIN)/python bin/chart_docs.py --check
	$(BIN)/python -m pytest tests/chart

package: .venv/.installed ## Build the wheel of django-mainstay in dist/
	$(BIN)/uv build --package django-mainstay --wheel --out-dir dist

export REGISTRY
export DOCKER_BUILDKIT = 1
export TAG ?= $(shell sed -n 's/^appVersion: //p' charts/django/Chart.yaml)
image: ## Build and push the image: REGISTRY=… make image
	@test -n "$(REGISTRY)" || { echo "REGISTRY is not set. Set it to a registry that Docker can push to and the cluster can pull from."; exit 1; }
	docker build --tag $(REGISTRY)/service:$(TAG) .
	docker push --quiet $(REGISTRY)/service:$(TAG)

kind: ## Create a local cluster with everything that test-cluster needs; use it with REGISTRY=localhost:5001
	@bin/kind

test-cluster: image .venv/.installed ## Test the chart on the current cluster: REGISTRY=… make test-cluster
	$(BIN)/python -m pytest tests/cluster

test-long: .venv/.installed ## Send 30,000 POSTs while workers recycle and pods roll, on the current cluster: REGISTRY=…
	POSTS=30000 ROLLOUTS=3 $(BIN)/python -m pytest --capture=no tests/cluster/test_posts.py

test-loop: .venv/.installed ## Test skaffold dev, run, render and debug on the current cluster: REGISTRY=… make test-loop (optional on kind)
	$(BIN)/python -m pytest tests/loop

audit: .venv/.installed ## Check the locked dependencies for known vulnerabilities
	$(BIN)/uv export --frozen --quiet --no-dev --no-emit-project --output-file .venv/requirements.txt
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement .venv/requirements.txt

bench: bundle ## Measure the startup time of `make run`
	$(BIN)/python -m tests.bench.start

bench-overhead: bundle ## Measure the CPU time of a request, ours relative to Django alone
	$(BIN)/python -m tests.bench.overhead

bench-cluster: image ## Measure install and upgrade times, throughput, latency and memory on the current cluster: REGISTRY=…
	$(BIN)/python -m tests.bench.cluster

bench-peers: .venv/.installed ## Measure the chart's pod against sync workers and Granian on the current cluster: REGISTRY=…
	$(BIN)/python -m tests.bench.peers

bench-loop: .venv/.installed ## Measure the time from saving a file to seeing the change in skaffold dev: REGISTRY=…
	ROUNDS=20 $(BIN)/python -m pytest tests/loop/test_dev.py --capture=no -k 'saved'

USERS ?= 20
TIME ?= 60s
URL ?= http://127.0.0.1:8000
load: .venv/.installed ## Generate load on a running service with locust: USERS=20 TIME=60s URL=http://127.0.0.1:8000 make load
	@$(BIN)/uv sync --frozen --quiet --inexact --group load
	$(BIN)/locust --locustfile tests/load/locustfile.py --headless --users $(USERS) --spawn-rate 5 --run-time $(TIME) --host $(URL)

bundle: .venv/.installed ## Build the front end and collect static files
	@$(BIN)/python -m devserver.bundle
