# flowbind. `make demo` shows it at work, `make test` runs every test; both install what is missing.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

UV = $$(command -v uv || echo build/uv/bin/uv)
BIN := .venv/bin
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Debian's clang packages may bring clang-14 and no clang; the newest will do.
CLANG ?= $(or $(shell command -v clang),$(shell compgen -c clang- | grep -xE 'clang-[0-9]+' | sort -Vu | tail -n 1),clang)

COMPILED := tests/build tests/wire tests/auth tests/engine tests/network tests/interop \
	tests/cli/test_main.py tests/cli/test_decode.py

# Several processes share the tests; tests/conftest.py says what stays together.
SHARED := -n auto --maxprocesses 4

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

demo: ready ## RFC 7629's own scenario on real packets (root); DEMO="--html demo.html" adds a page
	@$(ROOT) $(BIN)/flowbind lab demo $(DEMO)

test: ready ## every test; those that need root only as root; TEST="-k name" selects
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/pytest $(SHARED) $(TEST); \
	else echo "test: not root, so the tests marked root are left out"; \
	$(BIN)/pytest $(SHARED) -m "not root" $(TEST); fi

check: static ## format, lint, types, layers, and the tests that need no root
	@$(BIN)/pytest $(SHARED) -q -m "not root"

static: ready
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/lint-imports

# Setuptools would take what an earlier build left there into the wheel.
build_wheel = rm -rf build/lib* build/bdist* build/temp* build/flowbind build/__native* && \
	$(UV) build -q --wheel --no-build-isolation -p $(BIN)/python

wheel: ready ## a wheel for any machine, in dist/
	@$(build_wheel)

# It is also laid out in build/compiled, for the tests and the benchmarks.
compiled: ready ## a wheel for this kind of machine, with the hot modules compiled, in dist/
	@tools/install compiler
	@export FLOWBIND_COMPILED=1 CC="$$(command -v cc || echo "$(CLANG)")"; $(build_wheel)
	@rm -rf build/compiled
	@$(UV) pip install -q -p $(BIN)/python --no-deps --target build/compiled dist/flowbind-*-cp*.whl

test-compiled: compiled ## the tests of the compiled modules, on these instead of the source
	@FLOWBIND_COMPILED=1 PYTHONPATH=$(CURDIR)/build/compiled $(BIN)/pytest $(SHARED) -q -m "not root" $(COMPILED)

bpf: ## the BPF objects
	@$(MAKE) -C bpf CLANG="$(CLANG)"

conformance: ready ## docs/conformance.md, from the clauses and the marks of the tests
	@$(BIN)/python -m tests.conformance.table

bench: ready ## what the tunnels and the daemons cost (root); BENCH="--json FILE" keeps the figures
	@$(ROOT) $(BIN)/python -m bench.run $(BENCH)

PARTS ?= dataplane
bench-dataplane: ready ## what the data plane is held to, beside others (root); PARTS="rules peers" chooses
	@mkdir -p build/bench
	@$(ROOT) $(BIN)/python -m bench.run --json build/bench/dataplane.json \
		--plot build/bench/dataplane.svg $(BENCH) $(PARTS)

bench-compiled: compiled ## the same with the compiled modules
	@$(ROOT) env PYTHONPATH=$(CURDIR)/build/compiled $(BIN)/python -m bench.run $(BENCH)

# Of those that need a kernel: packet in and packet out, whatever another kernel could do otherwise. Real
# daemons keep their time there no more, random policies are the same on each, and in 1.5 s programs are
# not replaced twice.
BPF_TESTS = $(filter-out %/test_flow_cache.py tests/bpf/test_differential%,$(wildcard tests/bpf/test_*.py))
VM_TESTS = tests/vm $(BPF_TESTS) \
	tests/dataplane/test_attachments.py $(addprefix tests/netns/test_,packets.py raw.py restart.py) \
	--deselect tests/netns/test_restart.py::test_programs_are_replaced_under_way_and_nothing_is_lost
vm-test: ready ## tests under Debian's stock kernel in a virtual machine (root); VM="-k name" selects
	@$(ROOT) tools/vm/run.py --minutes 60 -- $(CURDIR)/$(BIN)/python -m pytest -v -m root \
		-o timeout=900 -p no:cacheprovider $(VM_TESTS) $(VM)

SEED ?= $(shell od -An -N4 -tu4 /dev/urandom)
HOURS ?= 100
simulate: ready ## both engines in simulated trouble; SEED=n HOURS=n plays a run again
	@$(BIN)/python -m tests.simulation.run --seed $(SEED) --hours $(HOURS) $(SIMULATE)

fuzz: installed ## look for octets that break something; MINUTES=n, TARGET=name
	@UV_PROJECT_ENVIRONMENT=build/fuzz/venv $(UV) sync --locked -q --no-default-groups --group fuzz
	@build/fuzz/venv/bin/python -m fuzz.run --minutes $(or $(MINUTES),7) $(TARGET)

mutate: installed ## change wire/ and auth/, and see which changes no test sees; TARGET=wire.extension
	@UV_PROJECT_ENVIRONMENT=build/mutate/venv $(UV) sync --locked -q --no-default-groups --group mutate
	@nice build/mutate/venv/bin/python -m mutation.run $(TARGET)

clean: ## remove what was built; the lab first, if it is up
	@if [ -x $(BIN)/flowbind ] && compgen -G '/run/netns/fb-*' >/dev/null; then \
	$(ROOT) $(BIN)/flowbind lab down; fi
	@$(MAKE) -C bpf clean
	@rm -rf build dist .venv .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache \
	.import_linter_cache demo.html
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready: installed
	@$(UV) sync --locked -q
	@$(MAKE) -s bpf

installed:
	@tools/install

.PHONY: help demo test check static wheel compiled test-compiled bpf conformance bench bench-dataplane bench-compiled vm-test simulate fuzz mutate clean ready installed
