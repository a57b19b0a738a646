# make demo, make check, make test, make long, make benchmark: each sets up what it needs.

PYTHON ?= python3
BIN := .venv/bin
DEMO ?= build/demo
ENGINE := tests/with-engine
RAM := $(shell [ -w /dev/shm ] && echo /dev/shm)
PYTEST := $(BIN)/pytest --timeout=900

.PHONY: help venv demo check test long soak benchmark clean

help:
	@echo "make demo       three instances of the demo project, with their URLs"
	@echo "make check      lint, types, what needs no engine and little time; under a minute"
	@echo "make test       everything but the slow, on the real engine"
	@echo "make long       crash, load, third-party projects"
	@echo "make soak       every kill point and many random verbs: hours, before a release"
	@echo "make benchmark  speed, beside a floor and peers"

venv: $(BIN)/.installed

$(BIN)/.installed: pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q \
	  && apt-get install -yq python3-venv; } \
	  || { echo "Python has no venv module: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,browser]'
	@touch $@

demo: venv
	@$(BIN)/treedock doctor --fix
	@$(BIN)/treedock demo $(DEMO) 2>/dev/null
	@cd $(DEMO) && $(CURDIR)/$(BIN)/treedock up auth payments search
	@cd $(DEMO) && $(CURDIR)/$(BIN)/treedock list --json | $(CURDIR)/$(BIN)/python $(CURDIR)/tests/previews.py
	@echo "Stop them:   cd $(DEMO) && $(CURDIR)/$(BIN)/treedock down --all"
	@echo "Remove them: cd $(DEMO) && $(CURDIR)/$(BIN)/treedock clean --all"

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/mypy & types=$$!; \
	  PYTEST_DEBUG_TEMPROOT=$(RAM) $(PYTEST) -q -n 2 -m "not engine and not browser and not deep and not long"; \
	  tests=$$?; wait $$types && exit $$tests

test: venv
	@tests/install-browser
	@tests/install-compose
	@tests/install-lfs
	$(PYTEST) -q -n 2 --dist worksteal -m "not engine and not browser and not long"
	TREEDOCK_TEST_ENGINE=1 $(ENGINE) $(PYTEST) -n 2 --dist loadfile -m "(engine or browser) and not long"

long: venv
	TREEDOCK_TEST_ENGINE=1 $(ENGINE) $(PYTEST) -n 2 --dist worksteal -m long

soak: venv
	TREEDOCK_TEST_ENGINE=1 TREEDOCK_SOAK=1 TREEDOCK_EXAMPLES=100 $(ENGINE) $(PYTEST) -n 2 --dist worksteal -m long tests/crash tests/scenarios/test_crash.py tests/scenarios/test_databases.py

benchmark: venv
	$(ENGINE) $(BIN)/python benchmarks/run.py

clean:
	-@[ ! -d build/demo ] || { cd build/demo && $(CURDIR)/$(BIN)/treedock clean --all --force; \
	  $(CURDIR)/$(BIN)/treedock cache prune --max-size 0; }
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis
