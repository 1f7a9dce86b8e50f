"""Generate load: Sentry envelopes over keep-alive connections (`python -m bench.ingest_load --help`)."""
