# make run    install everything into .venv, then the demo: about a minute
# make test   all tests but the long suites
# make check  formatting, lint, types
# make bench  measured figures against their references, into bench/results.json
# make fmt    format

BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: run test check bench fmt install

run: $(INSTALLED)
	@$(BIN)/groundloop demo

test: $(INSTALLED)
	$(BIN)/pytest -m "not chaos"

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m bench

fmt: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(INSTALLED)

$(INSTALLED): pyproject.toml scripts/install.sh
	@scripts/install.sh
