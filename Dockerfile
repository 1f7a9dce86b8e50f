# Not tested on Docker; tests/deploy/test_files.py checks its commands, ports and paths against the code.
FROM python:3.11-slim-trixie AS build
WORKDIR /app
COPY requirements/uv.txt requirements/run.txt requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/uv.txt \
 && /venv/bin/uv pip install --python /venv/bin/python --no-cache --require-hashes --no-build \
      --compile-bytecode -r requirements/run.txt \
 && /venv/bin/uv pip uninstall --python /venv/bin/python uv

FROM python:3.11-slim-trixie
# PostgreSQL backups need pg_dump, which must not be older than the server.
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client-17 \
 && rm -rf /var/lib/apt/lists/*
# Mount /data: it contains the SQLite file, the secret key, the backups and the collected static files.
RUN useradd --system --uid 10001 --home-dir /app opsportal && install -d -o opsportal /data /data/backups
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
ENV PATH=/venv/bin:$PATH DATA_DIR=/data PYTHONUNBUFFERED=1
USER opsportal
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
