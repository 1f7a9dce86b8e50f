# Written by the book, but not tried: no Docker engine was at hand. Please tell us what you find.
FROM python:3.11-slim-trixie AS build
WORKDIR /app
COPY requirements/uv.txt requirements/run.txt requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/uv.txt \
 && /venv/bin/uv pip install --python /venv/bin/python --no-cache --require-hashes --no-build \
      --compile-bytecode -r requirements/run.txt \
 && /venv/bin/uv pip uninstall --python /venv/bin/python uv

FROM python:3.11-slim-trixie
# For backups of PostgreSQL: pg_dump must not be older than the server.
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client-17 \
 && rm -rf /var/lib/apt/lists/*
# /data holds the SQLite file, the secret key, the backups and the collected static files: mount it.
RUN useradd --system --uid 10001 --home-dir /app opsportal && install -d -o opsportal /data /data/backups
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
ENV PATH=/venv/bin:$PATH DATA_DIR=/data PYTHONUNBUFFERED=1
USER opsportal
VOLUME /data
EXPOSE 8000
# Alive, not healthy: a dependency that is away must not get the container killed. Any answer will do: with ALLOWED_HOSTS set
# it is a 400, because nobody calls the portal 127.0.0.1.
HEALTHCHECK --interval=15s --timeout=3s --start-period=40s \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/livez'); c.getresponse()"]
STOPSIGNAL SIGTERM
# The supervisor: web and worker in one container. `--no-worker` and `--no-web` part them.
ENTRYPOINT ["python", "manage.py"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
