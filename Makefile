# `make help` lists what there is. Every target sets up what it needs; a second run redoes nothing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory --warn-undefined-variables
.DEFAULT_GOAL := help

# Reports of the tests can be followed also where output goes to a file or a pipe.
export PYTHONUNBUFFERED := 1
# The lab compiles and downloads for minutes when its cache is cold; nothing may ask questions.
export DEBIAN_FRONTEND := noninteractive

PY := .venv/bin/python
LAB := $(PY) -m e2e.lab
PYTEST := $(PY) -m pytest
# Tests of one file stay together: they share an API server and what they wait for.
WORKERS := -n 2 --dist loadfile
CHART := charts/kok
# What tests run, made once and kept in the lab's cache; tests would make it too, but without a word.
HELM := helm@v4.3.1
PROMTOOL := promtool@debian
SERVERS := etcd@v3.6.10 etcd@v3.5.21 etcd@v3.6.8 etcd@v3.6.11 etcd@v3.7.3 kube-apiserver@v1.37.1 \
	etcdctl@v3.6.10 etcdutl@v3.6.10 versitygw@v1.8.0 proxy-server@v0.34.0 proxy-agent@v0.34.0

# Scenarios that are a part of `make test`; all others have to be asked for by name.
KEPT := first-cluster etcd-members etcd-retained upgrade-patch

# Parameters of `make e2e`, `make bench` and of the tests.
S ?= first-cluster
B ?=
ARGS ?=

say = @echo "==> $(1)" >&2
build = @for it in $(1); do \
	echo "==> $$it: from the cache, or made now" >&2; \
	$(LAB) binary "$${it%@*}" --version "$${it\#*@}" >/dev/null; \
done

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' Makefile

##@ The main things

.PHONY: demo
demo: setup ## From nothing to a business cluster with a working node
	@$(LAB) missing
	@$(PY) -m e2e.demo

.PHONY: test
test: forecast lint types crds-check chart unit integration ## All checks and tests, the kept e2e scenarios too
	@# One that fails is run once more, alone, and told of at the end: it is to be mended.
	@flaky=; for scenario in $(KEPT); do \
		$(MAKE) e2e S=$$scenario || { flaky="$$flaky $$scenario"; $(MAKE) e2e S=$$scenario; }; \
	done; \
	[ -z "$$flaky" ] || echo "==> FLAKY, passed only when run once more:$$flaky" >&2
	$(call say,all checks and tests passed)

.PHONY: forecast
forecast: setup
	@$(LAB) missing $(HELM) $(SERVERS)

.PHONY: setup
setup: ## Make the virtual environment .venv from the lock file (other targets do it too)
	@scripts/setup

##@ Checks and tests

.PHONY: lint
lint: setup ## Format, style, imports between packages, YAML
	$(call say,format style imports and yaml)
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@.venv/bin/lint-imports
	@.venv/bin/yamllint --strict .

.PHONY: types
types: setup ## Static types (mypy, strict)
	$(call say,mypy)
	@$(PY) -m mypy
	@$(PY) -m mypy scripts/conditions.py scripts/fields.py

.PHONY: format
format: setup ## Rewrite the code as `make lint` wants it
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

.PHONY: crds
crds: setup ## Write crds/ and the chart's copy from the models in src/kok/api
	@$(PY) -m kok.api.crd crds $(CHART)/crds

.PHONY: docs
docs: setup ## Write docs/conditions.md and docs/etcd-fields.md from the code
	@$(PY) scripts/conditions.py
	@$(PY) scripts/fields.py

.PHONY: crds-check
crds-check: setup
	$(call say,crds and docs are what the code says)
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(PY) -m kok.api.crd "$$fresh" >/dev/null; \
	diff -r "$$fresh" crds && diff -r "$$fresh" $(CHART)/crds || { echo "run make crds" >&2; exit 1; }
	@$(PY) scripts/conditions.py --check
	@$(PY) scripts/fields.py --check

.PHONY: chart
chart: setup ## Lint the Helm chart and render it in all its shapes
	$(call say,helm lint and template)
	$(call build,$(HELM))
	@helm=$$($(LAB) binary helm --version $(HELM:helm@%=%)); \
	for values in $(CHART)/ci/*.yaml; do \
		echo "$$values"; \
		"$$helm" lint --strict --quiet --values "$$values" $(CHART); \
		"$$helm" template kok $(CHART) --namespace kok-system --values "$$values" >/dev/null; \
	done

.PHONY: unit
unit: setup ## Unit tests [ARGS=...]
	$(call build,$(HELM) $(PROMTOOL))
	$(call say,unit tests)
	@$(PYTEST) $(WORKERS) tests/unit $(ARGS)

.PHONY: integration
integration: setup ## Tests against a real API server and etcd [ARGS=...]
	$(call build,$(HELM) $(SERVERS))
	$(call say,integration tests)
	@# What fails is run once more, alone, and told of: it is to be mended.
	@$(PYTEST) $(WORKERS) tests/integration tests/crds $(ARGS) || { \
		code=$$?; [ $$code -eq 1 ] || exit $$code; \
		echo "==> once more, alone: what failed" >&2; \
		$(PYTEST) --last-failed --last-failed-no-failures none tests/integration tests/crds; \
		echo "==> FLAKY, passed only when run once more: what is listed above as failed" >&2; }

.PHONY: e2e
e2e: setup ## One scenario in the lab [S=first-cluster, or a pattern such as 'first-*']
	$(call say,e2e scenario $(S))
	@$(LAB) missing
	@$(PY) -m e2e.run '$(S)'

.PHONY: bench
bench: setup ## Measure speed and memory, write docs/benchmarks.md [B=name]
	@$(PY) -m e2e.bench $(B)

##@ The lab: a meta cluster and hosts on this machine

.PHONY: lab-up
lab-up: setup ## Bring the lab up; a second time changes nothing
	@$(LAB) missing
	@$(LAB) up

.PHONY: lab-status
lab-status: setup ## Say what of the lab is there and how it is
	@$(LAB) status

.PHONY: lab-down
lab-down: setup ## Remove the lab: hosts, networks, volumes, state
	@$(LAB) down

.PHONY: lab-kubeconfig
lab-kubeconfig: setup ## Print the path of the meta cluster's kubeconfig
	@$(LAB) kubeconfig

##@ Housekeeping

.PHONY: lock
lock: setup ## Resolve the dependencies of pyproject.toml anew into the lock files
	@scripts/lock

.PHONY: clean
clean: ## Remove what was generated here; the lab and its cache stay
	@rm -rf .venv .venv.lock build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
