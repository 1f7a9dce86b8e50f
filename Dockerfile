# buildah builds this image without a daemon (deploy/README.md). The base image can be any image of Debian 13 with
# Python 3.11. In production, name it by its digest:
# --build-arg PYTHON_IMAGE=docker.io/library/python:3.11-slim-trixie@sha256:…
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-trixie
FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
COPY requirements/uv.txt requirements/run.txt requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/uv.txt \
 && /venv/bin/uv pip install --python /venv/bin/python --no-cache --require-hashes --no-build \
      --compile-bytecode -r requirements/run.txt \
 && /venv/bin/uv pip uninstall --python /venv/bin/python uv

FROM ${PYTHON_IMAGE}
# PostgreSQL backups need pg_dump, which must not be older than the server.
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client-17 \
 && rm -rf /var/lib/apt/lists/*
# Mount /data: it contains the SQLite file, the secret key, the backups and the collected static files.
RUN useradd --system --uid 10001 --user-group --home-dir /app opsportal \
 && install -d -m 700 -o opsportal -g opsportal /data /data/backups
WORKDIR /app
COPY --from=build /venv /venv
# The code belongs to root, so that the portal cannot change it. Nothing is written outside /data and /tmp.
COPY . .
RUN /venv/bin/python -m compileall -q .
ENV PATH=/venv/bin:$PATH DATA_DIR=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
VOLUME /data
EXPOSE 8000
# Check liveness, not health, because an unavailable dependency must not restart the container. Any response counts:
# with ALLOWED_HOSTS set, it is a 400, because the host is 127.0.0.1.
HEALTHCHECK --interval=15s --timeout=3s --start-period=40s \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/livez'); c.getresponse()"]
STOPSIGNAL SIGTERM
# The supervisor runs web and worker in one container; `--no-worker` and `--no-web` separate them.
ENTRYPOINT ["python", "manage.py"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
