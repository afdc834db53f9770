# Everything is set up by the target that needs it, once: `make demo` or `make test` may be the
# first command typed. It needs Python 3.11 or newer, a JDK 17 or newer, and Maven the first time.

PYTHON ?= python3
SECONDS ?= 60
KAFKA ?=
ROUNDS ?= 1
SEED ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --strip-extras --allow-unsafe --no-header

.DEFAULT_GOAL := help
.PHONY: help demo test test-all faults simulate check format bench venv lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## run exchange, Kafka and connector for SECONDS=60 and compare (KAFKA=host:port uses yours)
	@$(BIN)/candles demo --seconds $(SECONDS) $(if $(KAFKA),--kafka $(KAFKA))

test: $(READY) ## run the tests, real Kafka included (ARGS="-k words" chooses some)
	$(BIN)/pytest -q -m "not slow" $(ARGS)

test-all: $(READY) ## run the tests, the slow ones too
	$(BIN)/pytest -q $(ARGS)

faults: $(READY) ## strike a run with every fault, ROUNDS=1 times each, and compare (SEED= repeats)
	@$(BIN)/python -m tests.faults --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

simulate: $(READY) ## run the pure parts through SEEDS=2000 seeds of faults, from seed FIRST=0 on
	@$(BIN)/python -m tests.simulation $(or $(FIRST),0) $(or $(SEEDS),2000)

check: $(READY) ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## measure messages a CPU-second, frame to acknowledged record (KAFKA=host:port uses yours)
	@$(BIN)/python -m benchmarks $(if $(KAFKA),--kafka $(KAFKA)) $(ARGS)

venv: $(READY) ## make .venv with all locked dependencies (PYTHON=python3.12 chooses the Python)

lock: ## lock the dependencies with hashes (ARGS=--upgrade takes the newest)
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	$(PYTHON) -m venv "$$tools"; "$$tools/bin/pip" install --quiet pip-tools; \
	"$$tools/bin"/$(COMPILE) $(ARGS) -o requirements/runtime.txt pyproject.toml; \
	"$$tools/bin"/$(COMPILE) $(ARGS) -o requirements/dev.txt pyproject.toml requirements/dev.in

clean: ## remove what the other targets made here (not the cached jars)
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An interrupted set-up leaves no stamp, and is done again; a venv whose Python works is kept.
$(READY): requirements/dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) on this machine: install Python 3.11 or newer, or name yours with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is too old: install Python 3.11 or newer, or name a newer one with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks its venv module: install it (on Debian and Ubuntu the package python3-venv) and try again." >&2; exit 1; }
	@echo "Setting up $(VENV), which takes about half a minute the first time."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r requirements/dev.txt || { \
		echo "pip could not install the dependencies: give it access to a package index and try again." >&2; exit 1; }
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
