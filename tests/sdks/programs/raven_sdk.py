"""Report events with raven, the predecessor of sentry-sdk, which posts to /store/: `raven_sdk.py DSN`."""

import sys
import warnings

warnings.simplefilter("ignore")

import raven  # noqa: E402
from raven.transport.http import HTTPTransport  # noqa: E402

client = raven.Client(sys.argv[1], transport=HTTPTransport)
try:
    {}["missing-seat"]
except KeyError:
    print("exception", client.captureException())
