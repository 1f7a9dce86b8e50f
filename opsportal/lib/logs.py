"""Logs: one JSON object a line, or readable text on a terminal."""

import logging
import logging.config
import sys

from django.conf import settings


def configure() -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"text": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "stream": sys.stderr,
                    "formatter": "text",
                }
            },
            "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
        }
    )
