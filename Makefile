# make run    install everything into .venv, then the demo: about a minute
# make test   all tests but the long suites
# make check  formatting, lint, types
# make bench  measured figures against their references, into bench/results.json
# make fuzz   TARGET=segment|bundle|bpsec SECONDS=600: search for inputs that break the decoders
# make fmt    format

BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: run test check bench fuzz fmt install

run: $(INSTALLED)
	@$(BIN)/groundloop demo

test: $(INSTALLED)
	$(BIN)/pytest -m "not chaos"

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/pip install --quiet -e .[server]
	$(BIN)/python -m bench

fuzz: $(INSTALLED)
	$(BIN)/pip install --quiet -e .[fuzz]
	$(BIN)/python -m tests.fuzz $(or $(TARGET),segment) $(or $(SECONDS),600)

fmt: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(INSTALLED)

$(INSTALLED): pyproject.toml scripts/install.sh
	@scripts/install.sh
