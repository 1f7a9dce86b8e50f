# make run    the portal on http://127.0.0.1:8000, one machine, no other service   (PORT=9000 for another port)
# make demo   the same, with a simulated shop that sends live traffic
# make test   the whole suite, on SQLite and again on PostgreSQL and Redis   (ARGS="tests/errors -x" for a part)
# make check  format, lint, types, floors, missing migrations, deployment settings
# make lock   the requirements, locked again after a change to requirements/*.in
# make audit  known weaknesses of the locked packages (asks a service outside)
# make bench  how fast it is, measured here

PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run demo test check lock audit bench install

run:
	@$(PYTHON) scripts/bootstrap.py run
	@exec $(BIN)/python manage.py serve $(if $(PORT),--port $(PORT)) $(ARGS)

demo: install
	@PORT=$(PORT) exec $(BIN)/python -m demo

install:
	@$(PYTHON) scripts/bootstrap.py dev

test: install
	@$(BIN)/python -m tests.run $(ARGS)

check: install
	@$(BIN)/python scripts/check.py

lock: install
	@$(BIN)/python scripts/lock.py

audit: install
	@$(BIN)/python scripts/audit.py

bench: install
	@$(BIN)/python -m bench $(ARGS)
