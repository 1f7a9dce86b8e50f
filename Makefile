# make run        the portal on http://127.0.0.1:8000, one machine, no other service   (PORT=9000 for another port)
# make demo       the same, with a simulated shop that sends live traffic
# make test       the whole suite, on SQLite and again on PostgreSQL and Redis   (ARGS="tests/errors -x" for a part)
# make test-fast  the tests that start no server and no browser, on SQLite: under a minute on two cores
# make coverage   the suite on SQLite, the share of code that it reaches, untested code of payments and ingestion
# make pictures   take the pictures of README.md and docs/screenshots again, from the demo; needs Chromium
# make check      format, lint, spelling, templates, types, floors, migrations, deployment settings, commit subjects
# make format     format code, indent templates
# make lock       the requirements, locked again after a change to requirements/*.in
# make audit      known weaknesses of the locked packages (asks a service outside)
# make sbom       a software bill of materials of the locked packages (CycloneDX), in .cache/opsportal.cdx.json
# make image      the container image, built without a daemon; needs buildah   (PYTHON_IMAGE=… for another base)
# make pin-images     pins the images of deploy/ by digests; needs skopeo and the registries
# make release-notes  writes and signs the notes of this version (KEY=path of a private key of OpenSSH)
# make bench      how fast it is, measured here
# Checks before each commit: `pre-commit install`; the hooks run from .venv and fetch nothing (.pre-commit-config.yaml).

PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run demo test test-fast coverage check pictures format lock audit
.PHONY: sbom image pin-images release-notes bench install

run:
	@$(PYTHON) scripts/bootstrap.py run
	@exec $(BIN)/python manage.py serve $(if $(PORT),--port $(PORT)) $(ARGS)

demo: install
	@PORT=$(PORT) exec $(BIN)/python -m demo

install:
	@$(PYTHON) scripts/bootstrap.py dev

test: install
	@$(BIN)/python -m tests.run $(ARGS)

test-fast: install
	@$(BIN)/python -m tests.run --only sqlite -m fast -n auto $(ARGS)

coverage: install
	@$(BIN)/python scripts/measure_coverage.py $(ARGS)

check: install
	@$(BIN)/python scripts/check.py

pictures: install
	@$(BIN)/python -m demo.pictures

format: install
	@$(BIN)/ruff format .
	@$(BIN)/python scripts/check_indentation.py --fix

lock: install
	@$(BIN)/python scripts/lock.py

audit: install
	@$(BIN)/python scripts/audit.py

sbom: install
	@$(BIN)/python scripts/sbom.py

pin-images:
	@$(PYTHON) scripts/pin_images.py $(ARGS)

release-notes: sbom
	@$(BIN)/python scripts/release_notes.py --key $(KEY) .cache/opsportal.cdx.json requirements/run.txt

image:
	@buildah build --format docker $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) -t opsportal $(ARGS) .

bench: install
	@$(BIN)/python -m bench $(ARGS)
