"""Run a Flask app that calls itself and has no code for OpenTelemetry, because `opentelemetry-instrument` adds it."""

import logging
import threading
import urllib.error
import urllib.request

from flask import Flask
from werkzeug.serving import make_server

app = Flask("shop")
logging.getLogger("werkzeug").setLevel(logging.ERROR)


@app.get("/pay/<order>")
def pay(order: str) -> str:
    app.logger.warning("asking the bank about %s", order)
    if order == "o-13":
        raise ValueError(f"the bank declined {order}")
    return "paid"


def main() -> None:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for order in ("o-7", "o-13"):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/pay/{order}").read()
        except urllib.error.HTTPError as error:
            print("status", error.code)
    server.shutdown()


main()
