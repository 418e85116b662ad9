# Every target sets up what it needs (virtual environment, packages, Rust build) and repeats only what changed.
#   make test PYTHON=python3.12       another interpreter (the newest on PATH is the default)
#   make test VENV=.venv-3.11         another environment beside the first
#   make test ARGS="-k retry"         arguments for pytest, the demo or the benchmarks

VENV ?= .venv
ARGS ?=

BIN := $(abspath $(VENV))/bin
PY := $(BIN)/python
CREATED := $(VENV)/.created
BUILT := $(VENV)/.built
DEPS_BUILD := $(VENV)/.deps-build
DEPS_TEST := $(VENV)/.deps-test
DEPS_LINT := $(VENV)/.deps-lint
DEPS_BENCH := $(VENV)/.deps-bench

export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYO3_PYTHON := $(PY)
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# With cargo on PATH, RUST is empty; without it, RUST loads a toolchain fetched into the user's cache.
ifeq ($(shell PATH="$(PATH)" command -v cargo),)
RUST_ENV := $(VENV)/rust.env
RUST := . $(abspath $(RUST_ENV)) &&
endif
RUST_SOURCES := Cargo.toml $(wildcard Cargo.lock) $(shell find rust -name '*.rs' -o -name Cargo.toml)
# maturin refuses to choose between two active environments.
MATURIN := $(RUST) env -u CONDA_PREFIX VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-durable demo-release test simulate chaos lint format bench bench-durable bench-gate memory peers profile build wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(BUILT) ## Run a support-ticket pipeline of a few thousand runs, with its figures
	$(PY) examples/support_tickets.py $(ARGS)

demo-durable: $(BUILT) ## Kill a service in the middle of its work, and see what it makes of that
	$(PY) examples/durable_tickets.py $(ARGS)

demo-release: $(BUILT) ## Release a worse model, and see it rolled back by itself
	$(PY) examples/worse_release.py $(ARGS)

test: $(BUILT) $(DEPS_TEST) ## Run the Rust and the Python tests
	$(RUST) cargo test --workspace --exclude penstock-binding
	$(PY) -m pytest $(ARGS)

# What `make simulate` plays: the planted bugs, one seed, or very many.
SEEDS ?= 10000
ifdef PLANTED
SIMULATED := --features planted -- --planted
else ifdef SEED
SIMULATED := -- $(or $(WORLD),any) $(SEED) $(RUNS) $(POINT)
else
SIMULATED := -- --seeds $(SEEDS) $(if $(WORLD),--world $(WORLD)) $(ARGS)
endif

simulate: | $(RUST_ENV) ## Play simulated worlds with faults (SEEDS=10000, SEED=5 WORLD=stormy, PLANTED=1)
	$(RUST) cargo run --quiet --profile simulate -p penstock-simulator --example simulate $(SIMULATED)

chaos: $(BUILT) $(DEPS_TEST) ## Kill a service hundreds of times (ARGS="--kills=1000 --seed=7")
	PYTHONPATH=tests $(PY) -m durable.crash $(ARGS)

lint: $(BUILT) $(DEPS_LINT) ## Check format, lints, types and the native module's stub
	@$(RUST) { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 || \
		{ $(RUST) rustup component add rustfmt clippy; } || \
		{ echo "make lint needs rustfmt and clippy: install them beside cargo" >&2; exit 1; }
	$(RUST) cargo fmt --all --check
	$(RUST) cargo clippy --workspace --all-targets -- -D warnings
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m pyright --pythonpath $(PY)
	$(PY) -m mypy.stubtest penstock._engine

format: $(DEPS_LINT) $(RUST_ENV) ## Format the code and sort imports
	$(RUST) cargo fmt --all
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

bench: $(BUILT) $(DEPS_BENCH) ## Measure the dispatch path beside asyncio, as a table of ratios
	$(PY) benches/table.py $(ARGS)

bench-gate: $(BUILT) $(DEPS_BENCH) ## Fail where a ratio or an instruction count has become worse
	$(RUST) cargo build --release --quiet -p penstock-engine --example instructions
	$(RUST) $(PY) benches/gate.py $(ARGS)
	$(PY) benches/control_flow.py
	$(PY) benches/limits.py

bench-durable: $(BUILT) $(DEPS_BENCH) ## Measure durable runs beside the bare disk
	$(RUST) cargo build --release --quiet -p penstock-journal --example recorded
	$(PY) benches/durability.py $(ARGS)

memory: $(BUILT) $(DEPS_BENCH) ## Measure what a waiting run takes, beside a sleeping task
	$(PY) benches/memory.py $(ARGS)

peers: $(BUILT) ## Install the packages that `make bench` also compares with
	$(MATURIN) develop --release --extras cli,peers

profile: $(BUILT) $(DEPS_BENCH) ## Write a flame graph of the dispatch path with native frames
	$(RUST) $(PY) benches/flame_graph.py $(ARGS)

build: $(BUILT) ## Build the Rust core, in release profile, into the environment

wheel: $(DEPS_BUILD) $(RUST_ENV) ## Build a wheel into dist/
	$(MATURIN) build --release --out dist

clean: ## Remove the environments and everything built
	rm -rf .venv* target dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find python -name '_engine.*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CREATED):
	@python=$$(scripts/find-python) && echo "environment $(VENV): $$python" && \
		"$$python" -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.deps-%: pyproject.toml $(CREATED)
	$(PY) -m pip install --quiet --group $*
	@touch $@

$(VENV)/rust.env: | $(CREATED)
	@scripts/fetch-rust $(PY) $@

$(BUILT): pyproject.toml $(RUST_SOURCES) $(DEPS_BUILD) | $(RUST_ENV)
	$(MATURIN) develop --release --extras cli
	@touch $@
