# make run        start the portal on http://127.0.0.1:8000, without any other service   (PORT=9000 for another port)
# make demo       start the portal with a simulated shop that sends live traffic
# make test       run all tests on SQLite, and again on PostgreSQL and Redis   (ARGS="tests/errors -x" for a part)
# make test-fast  run the tests that start no server and no browser, on SQLite
# make coverage   run all tests on SQLite, and list the code of payments and ingestion that no test reaches
# make pictures   take the pictures of README.md and docs/screenshots again, from the demo; needs Chromium
# make check      check format, lint, spelling, templates, types, layers, migrations, settings and commit subjects
# make format     format code and indent templates
# make lock       lock the requirements again after a change to requirements/*.in
# make audit      list known vulnerabilities of the locked packages; needs the internet
# make sbom       write a software bill of materials (CycloneDX) to .cache/opsportal.cdx.json
# make image      build the container image without a daemon; needs buildah   (PYTHON_IMAGE=… for another base)
# make pin-images     pin the images of deploy/ by digests; needs skopeo and the registries
# make release-notes  write and sign the notes of this version (KEY=path of a private key of OpenSSH)
# make bench      measure the speed on this machine
# To check before each commit, run `pre-commit install`. The hooks run from .venv and fetch nothing.

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
