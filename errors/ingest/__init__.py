"""The HTTP side of ingestion: the endpoints of the Sentry protocol and the plain JSON endpoint."""
