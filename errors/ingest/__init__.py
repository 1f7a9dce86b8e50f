"""Receive errors over HTTP: the endpoints of the Sentry protocol and the plain JSON endpoint."""
