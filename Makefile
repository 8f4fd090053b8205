# make run    install what running needs into .venv, then the demo: about a minute
# make test   all tests but the long suites
# make check  formatting, lint, types, known vulnerabilities of what is installed
# make bench  measured figures against their references, into bench/results.json
# make fuzz   TARGET=segment|bundle|bpsec SECONDS=600: search for inputs that break the decoders,
#             or TARGET=scenario|questions|tle|keys|profile|folder|feed|trace: for files that break the readers
# make chaos   SEED=1 RUNS=8: live runs in which processes, clocks, disks and the link fail; then 2,000 virtual ones
# make mutants COUNT=200 SEED=1: plant small faults, and see which ones no test notices; at most an hour on two cores
# make versus groundloop beside what people would use instead, into docs/versus.md; Linux, root, 50 minutes
# make fmt    format

BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: run test check bench fuzz chaos mutants versus fmt install

run: $(INSTALLED)
	@$(BIN)/groundloop demo

test: $(INSTALLED)-dev
	$(BIN)/pytest -n auto --dist worksteal -m "not live and not chaos"
	$(BIN)/pytest -n 4 --dist worksteal -m "live and not chaos"  # they wait more than they work

check: $(INSTALLED)-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python scripts/audit.py

bench: $(INSTALLED)-dev $(INSTALLED)-server
	$(BIN)/python -m bench

fuzz: $(INSTALLED)-dev $(INSTALLED)-fuzz
	$(BIN)/python -m tests.fuzz $(or $(TARGET),segment) $(or $(SECONDS),600)

chaos: $(INSTALLED)-dev
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --runs $(or $(RUNS),8)
	$(BIN)/groundloop campaign outage-storm --chaos --runs 2000 -j 2 --seed $(or $(SEED),1)
	$(BIN)/python -m tests.sim.test_enemy 100000

versus: $(INSTALLED)-dev $(INSTALLED)-versus
	$(BIN)/python -m bench.versus --page docs/versus.md

mutants: $(INSTALLED)-dev $(INSTALLED)-mutants
	$(BIN)/python -m tests.mutants --seed $(or $(SEED),1) --count $(or $(COUNT),200)

fmt: $(INSTALLED)-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(INSTALLED)

$(INSTALLED): pyproject.toml scripts/install.sh
	@scripts/install.sh

# The extras of pyproject.toml.
$(INSTALLED)-%: pyproject.toml scripts/install.sh
	@scripts/install.sh $*
