# Every gate is a target, the same here and in CI; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS = never
.DEFAULT_GOAL := help
.PHONY: help run test check lint types migrations workflows unit integration browser coverage chart-docs test-chart image kind test-cluster test-long test-loop audit bench bench-cluster bench-peers bench-loop load

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

.venv/.installed: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.14")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "The venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv sync --frozen --quiet --inexact
	@touch $@

run: .venv/.installed ## Run the whole service: PORT=8000 make run
	@$(BIN)/python -m devserver.run

test: check coverage browser ## All that needs no Helm and no cluster: gates, unit, integration and browser tests, coverage

check: lint types migrations workflows ## The static gates

lint: .venv/.installed ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed ## mypy, strict
	$(BIN)/mypy

migrations: .venv/.installed ## Migrations that are missing, and those that an old pod could not live with
	$(BIN)/python -m bin.migrations

# The release's own source, checked by Go's checksum database; the package on PyPI downloads a binary.
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
workflows: .venv/.installed ## GitHub's workflows and the shell scripts: zizmor, shellcheck, actionlint where Go is installed
	$(BIN)/zizmor --quiet --offline --strict-collection --pedantic .github
	! test -x $(BIN)/shellcheck || $(BIN)/shellcheck bin/kind bin/render .ci/run
	! command -v go > /dev/null || PATH="$(CURDIR)/$(BIN):$$PATH" go run $(ACTIONLINT)

unit: .venv/.installed ## Unit tests
	$(BIN)/python -m pytest tests/unit

# Two processes, each with servers of its own. More would wait for processors, and some tests look at the clock.
AT_ONCE := --numprocesses 2 --dist worksteal
integration: bundle ## Integration tests, on a real PostgreSQL and Valkey
	$(BIN)/python -m pytest $(AT_ONCE) tests/integration

browser: bundle ## Browser tests, against `make run`
	$(BIN)/python -m pytest tests/browser

coverage: bundle ## Unit and integration tests; fails under 95 % of service/ by branches
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(AT_ONCE) tests/unit tests/integration
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

chart-docs: .venv/.installed ## Write the chart's README and schema, from its values.yaml
	$(BIN)/python bin/chart_docs.py

test-chart: .venv/.installed ## The rendered chart; its README and schema are up to date
	$(BIN)/python bin/chart_docs.py --check
	$(BIN)/python -m pytest tests/chart

export REGISTRY
export DOCKER_BUILDKIT = 1
export TAG ?= $(shell sed -n 's/^appVersion: //p' charts/django/Chart.yaml)
image: ## Build the image and push it: REGISTRY=… make image
	@test -n "$(REGISTRY)" || { echo "Set REGISTRY to a registry that Docker pushes to and the cluster pulls from."; exit 1; }
	docker build --tag $(REGISTRY)/service:$(TAG) .
	docker push --quiet $(REGISTRY)/service:$(TAG)

kind: ## A Kubernetes on this machine, with all that test-cluster needs; then REGISTRY=localhost:5001
	@bin/kind

test-cluster: image .venv/.installed ## The chart on the cluster of the current kube context: REGISTRY=… make test-cluster
	$(BIN)/python -m pytest tests/cluster

test-long: .venv/.installed ## 30,000 POSTs while workers recycle and pods roll, on the cluster: REGISTRY=…
	POSTS=30000 ROLLOUTS=3 $(BIN)/python -m pytest --capture=no tests/cluster/test_posts.py

test-loop: .venv/.installed ## skaffold dev, run, render and debug on the cluster: REGISTRY=… make test-loop; on kind without
	$(BIN)/python -m pytest tests/loop

audit: .venv/.installed ## Known vulnerabilities in the lock
	$(BIN)/uv export --frozen --quiet --no-dev --no-emit-project --output-file .venv/requirements.txt
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement .venv/requirements.txt

bench: bundle ## Seconds from `make run` to the first answer
	$(BIN)/python -m tests.bench.start

bench-cluster: image ## Install, upgrade and render times, requests a second, p99 and memory on the cluster: REGISTRY=…
	$(BIN)/python -m tests.bench.cluster

bench-peers: .venv/.installed ## The chart's pod beside sync workers and Granian, in requests a second and p99: REGISTRY=…
	$(BIN)/python -m tests.bench.peers

bench-loop: .venv/.installed ## Seconds from save to seen, 20 times for each kind of file: REGISTRY=…
	ROUNDS=20 $(BIN)/python -m pytest tests/loop/test_dev.py --capture=no -k 'without_a_build or migration'

USERS ?= 20
TIME ?= 60s
URL ?= http://127.0.0.1:8000
load: .venv/.installed ## Load on a running service: USERS=20 TIME=60s make load; a soak is TIME=30m
	@$(BIN)/uv sync --frozen --quiet --inexact --group load
	$(BIN)/locust --locustfile tests/load/locustfile.py --headless --users $(USERS) --spawn-rate 5 --run-time $(TIME) --host $(URL)

.PHONY: bundle
bundle: .venv/.installed ## The front end: esbuild's bundle and the collected static files
	@$(BIN)/python -m devserver.bundle
