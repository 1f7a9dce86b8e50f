"""Load generator for addresses that take Sentry envelopes. Standard library only, one process, one epoll loop.

It posts realistic Python and JavaScript exception events to a DSN over N keep-alive connections and reports what the
server acknowledged: events/s, latency percentiles, statuses, and (with --ids-out) every event id with its status, so
that acknowledged ids can be compared with stored ids afterwards.

    python -m bench.ingest_load --dsn http://KEY@127.0.0.1:8000/1 --connections 8 --seconds 10
    python -m bench.ingest_load --dsn ... --events 20000 --size medium --encoding gzip --groups 200 --ids-out ids.tsv --json
    python -m bench.ingest_load --selftest          # the ceiling of this client against a trivial server on this machine

Sizes (mean, raw / gzip on the wire): see --selftest.

Notes
* Everything is made before the clock starts: a pool of event bodies (a few variants per group) and, per event, a short
  unique prefix (event id, timestamp, user, trace id) that is sent in front of the shared body with one sendmsg(). With
  gzip the prefix is a stored deflate block and the body a ready-made deflate stream, so that each request is one valid
  single-member gzip stream with its own CRC, at no compression cost while the clock runs.
* Latency is first byte sent (or, with --rate, the moment the event was due; or the connect, where the server closed
  the connection) to last byte of the response.
* "acked" = a 2xx response read in full.
"""

import argparse
import os

from bench.ingest_load.events import SIZES
from bench.ingest_load.report import run, show
from bench.ingest_load.selftest import selftest


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--dsn", help="http://KEY@host:port/PROJECT")
    p.add_argument("--connections", type=int, default=8)
    p.add_argument("--events", type=int, default=0, help="send exactly this many")
    p.add_argument("--seconds", type=float, default=0, help="or send for so long")
    p.add_argument(
        "--rate",
        type=float,
        default=0,
        help="open loop: events/s due; latency then counts from when due",
    )
    p.add_argument("--groups", type=int, default=200)
    p.add_argument("--variants", type=int, default=4, help="different bodies for each group")
    p.add_argument(
        "--zipf", type=float, default=1.1, help="exponent of the distribution of events over groups"
    )
    p.add_argument("--size", choices=list(SIZES), default="medium")
    p.add_argument("--encoding", choices=["gzip", "identity"], default="gzip")
    p.add_argument("--endpoint", choices=["envelope", "store"], default="envelope")
    p.add_argument("--path", help="post here instead of /api/PROJECT/ENDPOINT/")
    p.add_argument("--host-header", help="Host header, where it must differ from the DSN's")
    p.add_argument(
        "--vary-message",
        type=int,
        default=0,
        metavar="N",
        help="split each group in N by fingerprint",
    )
    p.add_argument("--ids-out", help="write 'event id TAB status' for every event that was sent")
    p.add_argument(
        "--dead-s", type=float, default=5, help="give up when nothing was answered for so long"
    )
    p.add_argument(
        "--pregen-rate",
        type=int,
        default=3000,
        help="with --seconds: events/s to make before the clock starts",
    )
    p.add_argument(
        "--seed",
        type=int,
        default=None,
        help="default: random, so that event ids are unique over runs",
    )
    p.add_argument("--json", action="store_true")
    p.add_argument("--selftest", action="store_true")
    a = p.parse_args()
    if a.seed is None:
        a.id_seed = int.from_bytes(os.urandom(8), "big")
        a.seed = 1
    else:
        a.id_seed = a.seed
    if a.selftest:
        selftest(a)
        return
    if not a.dsn or not (a.events or a.seconds):
        p.error("--dsn and one of --events, --seconds")
    show(run(a), a.json)


if __name__ == "__main__":
    main()
