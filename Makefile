# Thin: every target calls one command. Logic lives in src/zvault and demo/.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.stamp
WORKERS ?= 3
BAO := .servers/openbao-2.6.2
HVAC := .servers/hvac-suite
MEMBERS := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)

.PHONY: help setup servers test check conformance demo bench soak clean lock services services-status services-smoke services-stop
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt

$(STAMP)-run: $(UV) pyproject.toml requirements/run.txt requirements/build.txt
	$(UV) pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/run.txt -r requirements/build.txt
	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q src # a server starts twice as fast, also where Python may not write
	@touch $@

$(STAMP)-demo: $(STAMP)-run requirements/demo.txt
	$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements/demo.txt
	@touch $@

$(STAMP)-services: $(STAMP)-run $(MEMBERS) requirements/services.txt
	$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements/services.txt
	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation $(patsubst %/pyproject.toml,-e ./%,$(MEMBERS))
	@touch $@

$(STAMP)-backing: $(STAMP)-services requirements/backing.txt
	$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements/backing.txt
	@touch $@

$(STAMP)-dev: $(STAMP)-demo $(STAMP)-backing requirements/dev.txt
	$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

$(BAO)/.stamp: $(UV) requirements/openbao.txt
	$(UV) venv -q --allow-existing --python $(BIN)/python $(BAO)
	$(UV) pip install -q --python $(BAO)/bin/python --require-hashes -r requirements/openbao.txt
	@touch $@

$(HVAC)/.stamp: $(UV) requirements/hvac-suite.txt requirements/hvac-source.txt
	$(UV) venv -q --clear --python $(BIN)/python $(HVAC)
	$(UV) pip install -q --python $(HVAC)/bin/python --require-hashes -r requirements/hvac-suite.txt
	$(HVAC)/bin/python -m pip download -q --disable-pip-version-check --require-hashes --no-deps --no-binary :all: --no-build-isolation -d $(HVAC)/source -r requirements/hvac-source.txt
	@touch $@

setup: $(STAMP)-run ## make .venv/bin/zvault
servers: $(STAMP)-demo $(BAO)/.stamp ## the real servers that demo and tests talk to
dev: $(STAMP)-dev servers
.PHONY: dev

check: dev ## ruff, mypy, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check ## the whole suite; sets itself up
	$(BIN)/python -m pytest -m "not soak" -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 25

conformance: dev $(HVAC)/.stamp ## hvac's own integration suite against the engine: 286 tests
	$(BIN)/python -m tests.conformance.hvac_suite $(HVAC)

demo: servers $(if $(SERVICES),$(STAMP)-backing) ## a real Vault's store goes 7 -> 8 -> 9 -> 8 -> 7 under load (SERVICES=1: and the services with it)
	$(BIN)/python -m demo $(if $(B2),--b2) $(if $(SERVICES),--services)

services: servers $(STAMP)-backing ## all services on loopback, over the embedded engine, PostgreSQL and Redis
	$(BIN)/python -m launcher up

services-status: $(STAMP)-backing ## which services are ready
	$(BIN)/python -m launcher status

services-smoke: $(STAMP)-backing ## requests through all services, rows read back, metrics in Prometheus
	$(BIN)/python -m launcher smoke

services-stop: $(STAMP)-backing ## stop all that `make services` started
	$(BIN)/python -m launcher down

bench: dev ## engine and OpenBao, gateway and bare proxies, side by side
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.gateway

soak: dev ## the long runs: every crash point, fuzz and abuse, 70,000 entries
	$(BIN)/python -m pytest -m soak
	$(BIN)/python -m demo --entries 70000

lock: $(UV) ## renew the hashed requirement files from pyproject.toml
	scripts/lock-requirements $(UV)

clean: ## drop what setup made
	rm -rf $(VENV) .servers .demo .services

include make/seeds.mk
