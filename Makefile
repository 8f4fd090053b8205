# make run    install what running needs into .venv, then the demo: about a minute
# make test   all tests but the long suites
# make check  formatting, lint, types
# make bench  measured figures against their references, into bench/results.json
# make fuzz   TARGET=segment|bundle|bpsec SECONDS=600: search for inputs that break the decoders,
#             or TARGET=scenario|questions|tle|keys|profile|folder: for files that break the readers
# make fmt    format

BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: run test check bench fuzz fmt install

run: $(INSTALLED)
	@$(BIN)/groundloop demo

test: $(INSTALLED)-dev
	$(BIN)/pytest -m "not chaos"

check: $(INSTALLED)-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)-dev $(INSTALLED)-server
	$(BIN)/python -m bench

fuzz: $(INSTALLED)-dev $(INSTALLED)-fuzz
	$(BIN)/python -m tests.fuzz $(or $(TARGET),segment) $(or $(SECONDS),600)

fmt: $(INSTALLED)-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(INSTALLED)

$(INSTALLED): pyproject.toml scripts/install.sh
	@scripts/install.sh

# The extras of pyproject.toml.
$(INSTALLED)-%: pyproject.toml scripts/install.sh
	@scripts/install.sh $*
