# Everything works from a fresh clone: needs python3 >= 3.11 with venv, and nothing else.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
DATA ?= data
SERVE_FLAGS ?=
PYTEST_FLAGS ?= -n 2 --dist loadfile
BENCH_FLAGS ?=
EXTRAS = $(shell $(BIN)/python -c "import tomllib; print(','.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']))")

.PHONY: constraints help install serve test test-slow tx-tests lint format bench bench-quick eval clean

help:
	@echo "make serve        start on http://$(HOST):$(PORT), data in $(DATA)/ (HOST=, PORT=, DATA=, SERVE_FLAGS=)"
	@echo "make install      build $(VENV) with the exact versions of constraints.txt"
	@echo "make test         the whole test suite"
	@echo "make tx-tests     HL7's terminology ecosystem tests, from ../shared/data/tx-tests when they are there"
	@echo "make lint         ruff and mypy"
	@echo "make eval         precision, recall and F1 of extraction and coding on gold notes (EVAL_FLAGS=--mistakes)"
	@echo "make bench        measure against floors in the same run; make bench-quick for the regression gate"
	@echo "make clean        remove what was built and measured (never $(DATA)/)"

# The server alone; `make test` and `make lint` add the development tools.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(call venv)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

define venv
	if [ -z "$(PYTHON)" ]; then \
		echo "python3 >= 3.11 is needed. On Debian: sudo apt-get install python3 python3-venv" >&2; exit 1; \
	fi; \
	if [ ! -x $(BIN)/python ]; then \
		$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "python3 cannot make a virtual environment. On Debian: sudo apt-get install python3-venv" >&2; exit 1; }; \
	fi
endef

install: $(VENV)/.installed

serve: $(VENV)/.installed
	@exec $(BIN)/fhir-server serve --host $(HOST) --port $(PORT) --data-dir $(DATA) $(SERVE_FLAGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_FLAGS) -m "not slow"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

eval: $(VENV)/.installed
	$(BIN)/python -m fhir_server.processing.evaluate $(EVAL_FLAGS) tests/processing/gold/*.txt
	$(BIN)/python -m fhir_server.processing.evaluate_coding $(EVAL_FLAGS) tests/processing/gold/coding/*.txt

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tx-tests: $(VENV)/.dev
	$(BIN)/python -m tests.tx $(TX_FLAGS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

bench-quick: $(VENV)/.dev
	$(BIN)/python -m benchmarks --quick $(BENCH_FLAGS)

# Pins the newest versions that the declared dependencies allow, extras included.
constraints:
	mkdir -p build && $(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install --quiet --disable-pip-version-check '.[$(EXTRAS)]'
	build/pins/bin/python -m pip freeze --exclude fhir-server > constraints.txt
	rm -rf build

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis benchmarks/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
