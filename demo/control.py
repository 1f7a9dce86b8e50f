"""Serve the control page of the demo on loopback. The page explains the story and has a button that starts it."""

import threading
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from demo.story import CHAPTERS, Scene, Story

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>opsportal demo</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 42rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; }}
li {{ margin-bottom: 1rem; }}
[aria-current] > strong {{ text-decoration: underline; }}
button {{ padding: .5rem 1rem; font: inherit; }}
</style></head>
<body><main><h1>The demo's story</h1>
<p>A release breaks the checkout of a ticket shop. The portal detects the problem and shows its cost and its possible
cause. After the rollback, most buyers return and pay. The story takes about {length}.</p>
<p role="status"><strong>{state}</strong></p>
<form method="post" action="/start"><button{disabled}>Start the story</button></form>
<ol>{chapters}</ol>
<p><a href="{portal}/admin/system-health/">Open the portal</a></p>
</main></body></html>
"""


class ControlPage:
    """A server that serves the control page until `close()` is called."""

    def __init__(self, story: Story, portal_url: str, *, port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(story, portal_url))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True, name="control").start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def render(story: Story, portal_url: str) -> str:
    current = next((chapter for chapter in CHAPTERS if chapter.scene == story.scene), None)
    state = f"Now: {current.title}" if current else "The story has not started."
    if story.scene == Scene.FINISHED:
        state = "The story has ended. You can start it again."
    minutes = story.length_seconds / 60
    return _PAGE.format(
        refresh='<meta http-equiv="refresh" content="2">' if story.is_running else "",
        length=f"{minutes:g} minute{'' if minutes == 1 else 's'}",
        state=escape(state),
        disabled=" disabled" if story.is_running else "",
        portal=escape(portal_url),
        chapters="".join(
            ("<li aria-current='step'>" if chapter is current else "<li>")
            + f"<strong>{escape(chapter.title)}</strong><br>{escape(chapter.text)} "
            f'<a href="{escape(portal_url + chapter.page)}">Watch</a></li>'
            for chapter in CHAPTERS
        ),
    )


def _handler(story: Story, portal_url: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self._is_own_host():
                return self.send_error(HTTPStatus.FORBIDDEN)
            if self.path != "/":
                return self.send_error(HTTPStatus.NOT_FOUND)
            body = render(story, portal_url).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)
            return None

        def do_POST(self) -> None:
            """Start the story, unless another site's page sent the request."""
            origin = self.headers.get("Origin")
            if not self._is_own_host() or (
                origin is not None and urlsplit(origin).netloc != self.headers["Host"]
            ):
                return self.send_error(HTTPStatus.FORBIDDEN)
            if self.path != "/start":
                return self.send_error(HTTPStatus.NOT_FOUND)
            story.start()
            self.send_response(HTTPStatus.SEE_OTHER)
            self.send_header("Location", "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def _is_own_host(self) -> bool:
            name = self.headers.get("Host", "").rpartition(":")[0]
            return name in ("127.0.0.1", "localhost")

        def log_message(self, *_: object) -> None:
            """Print nothing, because the terminal shows the output of the shop."""

    return Handler
