"""Generate load for servers that accept Sentry envelopes.

The generator uses only the standard library, one process and one epoll loop. It posts realistic Python and JavaScript
exception events to a DSN over N keep-alive connections and reports what the server acknowledged: events/s, latency
percentiles and statuses. With --ids-out, it writes every event id with its status to a file, so that acknowledged ids
can be compared with stored ids afterwards.

    python -m bench.ingest_load --dsn http://KEY@127.0.0.1:8000/1 --connections 8 --seconds 10
    python -m bench.ingest_load --dsn ... --events 20000 --size large --encoding identity --ids-out ids.tsv --json
    python -m bench.ingest_load --selftest          # the limit of this client against a trivial server

--selftest also prints the mean size of a request for each --size, raw and with gzip.

Notes:
* Requests are created before the measurement starts, so that nothing is compressed while it runs. A pool contains event
  bodies (a few variants per group). Each event gets a short unique prefix (event id, timestamp, user), which is sent
  before the shared body with one sendmsg(). With gzip, the prefix is a stored deflate block and the body a compressed
  deflate stream, so that each request is one valid single-member gzip stream with its own CRC.
* Latency is measured from the first sent byte to the last byte of the response. With --rate, latency is measured from
  the time at which the event was due. If the server closed the connection, latency includes the time to connect again.
* "acked" is the number of 2xx responses that were read completely.
"""

import argparse
import os

from bench.ingest_load.events import SIZES
from bench.ingest_load.report import run, show
from bench.ingest_load.selftest import selftest


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dsn", help="http://KEY@host:port/PROJECT")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--events", type=int, default=0, help="send exactly this many")
    parser.add_argument("--seconds", type=float, default=0, help="or send for this time")
    parser.add_argument(
        "--rate",
        type=float,
        default=0,
        help="events that are due per second (open loop); latency is measured from the due time",
    )
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--variants", type=int, default=4, help="different bodies for each group")
    parser.add_argument(
        "--zipf", type=float, default=1.1, help="exponent of the distribution of events over groups"
    )
    parser.add_argument("--size", choices=list(SIZES), default="medium")
    parser.add_argument("--encoding", choices=["gzip", "identity"], default="gzip")
    parser.add_argument("--endpoint", choices=["envelope", "store"], default="envelope")
    parser.add_argument("--path", help="path to post to instead of /api/PROJECT/ENDPOINT/")
    parser.add_argument("--host-header", help="Host header if it differs from the host in the DSN")
    parser.add_argument(
        "--vary-message",
        type=int,
        default=0,
        metavar="N",
        help="split each group into N groups by fingerprint",
    )
    parser.add_argument(
        "--ids-out", help="write 'event id TAB status' to a file for each event sent"
    )
    parser.add_argument(
        "--response-timeout",
        type=float,
        default=5,
        help="stop after this many seconds without a response",
    )
    parser.add_argument(
        "--pregen-rate",
        type=int,
        default=3000,
        help="with --seconds: number of events per second to create in advance",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="default: random, so that event ids differ between runs",
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--selftest", action="store_true")
    options = parser.parse_args()
    if options.seed is None:
        options.id_seed = int.from_bytes(os.urandom(8), "big")
        options.seed = 1
    else:
        options.id_seed = options.seed
    if options.selftest:
        selftest(options)
        return
    if not options.dsn or not (options.events or options.seconds):
        parser.error("--dsn and one of --events and --seconds are required")
    show(run(options), options.json)


if __name__ == "__main__":
    main()
