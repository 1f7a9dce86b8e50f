"""Create small builds, each with a minified script, its source map, an upload as sentry-cli makes it, and an event."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from core.clients import services
from core.clients.models import ClientApp, Scope

SOURCE = """import { total } from "./total.js";
export function addToCart(cart, item) {
  return cart.total + item.offer.price;
}
export function checkout(cart) {
  return addToCart(cart, {});
}
"""
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _vlq(number: int) -> str:
    rest = number << 1 if number >= 0 else (-number << 1) | 1
    text = ""
    while True:
        digit, rest = rest & 31, rest >> 5
        text += _DIGITS[digit | (32 if rest else 0)]
        if not rest:
            return text


# The column of a segment, the number, line and column of its source (all counted from 0), and a name.
Token = tuple[int, int, int, int, str]


def source_map(tokens: list[Token], sources: dict[str, str]) -> bytes:
    """Return the source map of a one-line script, encoded as https://tc39.es/ecma426/ specifies."""
    segments, names = [], sorted({token[4] for token in tokens if token[4]})
    before, name_before = (0, 0, 0, 0), 0
    for token in sorted(tokens):
        segment = "".join(_vlq(now - then) for now, then in zip(token[:4], before, strict=True))
        before = token[:4]
        if token[4]:
            segment += _vlq(names.index(token[4]) - name_before)
            name_before = names.index(token[4])
        segments.append(segment)
    return json.dumps(
        {
            "version": 3,
            "sources": list(sources),
            "sourcesContent": list(sources.values()),
            "names": names,
            "mappings": ",".join(segments),
        }
    ).encode()


@dataclass(frozen=True)
class Build:
    """A minified script. `names` are the short names of addToCart and checkout, which differ between builds."""

    names: str = "tn"
    source: str = SOURCE
    path: str = "webpack://shop/./src/cart.js"
    debug_id: str = ""

    @property
    def script(self) -> bytes:
        add, check = self.names[0], self.names[1]
        text = f"function {add}(a,b){{return a.total+b.offer.price}}"
        text += f"function {check}(a){{return {add}(a,{{}})}}{check}({{}});"
        return (text + "\n//# sourceMappingURL=app.js.map").encode()

    def column(self, text: str) -> int:
        return self.script.decode().index(text)

    @property
    def map(self) -> bytes:
        lines, add, check = self.source.splitlines(), self.names[0], self.names[1]
        first, second = (lines[n].split("(")[0].rpartition(" ")[2] for n in (1, 4))
        tokens = [
            (self.column(f"function {add}"), 0, 1, 7, ""),
            (self.column(f"{add}(a,b)"), 0, 1, 16, first),
            (self.column("a.total"), 0, 2, 9, "cart"),
            (self.column("b.offer"), 0, 2, lines[2].index("item.offer"), "item"),
            (self.column(".price"), 0, 2, lines[2].index("price"), ""),
            (self.column(f"function {check}"), 0, 4, 7, ""),
            (self.column(f"{check}(a)"), 0, 4, 16, second),
            (self.column(f"{add}(a,{{}})"), 0, 5, 9, first),
            (self.column(f"{check}({{}});"), 0, 6, 0, second),
        ]
        return source_map(tokens, {self.path: self.source})

    def files(self, prefix: str = "~/static") -> dict[str, tuple[dict[str, Any], bytes]]:
        """Map the path of each uploaded file in the archive to its manifest entry and its content."""
        own = {"debug-id": self.debug_id} if self.debug_id else {}
        return {
            "files/_/_/app.js": (
                {
                    "type": "minified_source",
                    "url": f"{prefix}/app.js",
                    "headers": {**own, "Sourcemap": "app.js.map"},
                },
                self.script,
            ),
            "files/_/_/app.js.map": (
                {"type": "source_map", "url": f"{prefix}/app.js.map", "headers": own},
                self.map,
            ),
        }

    def archive(self, **attributes: str) -> bytes:
        return archive(self.files(), **attributes)

    def event(
        self, *, release: str = "", function: str = "addToCart", **more: Any
    ) -> dict[str, Any]:
        """Return the event that the browser SDK sends for the error in addToCart."""
        add, check = self.names[0], self.names[1]
        url = "https://shop.example/static/app.js"
        frames = [
            _frame(url, "?", self.column(f"{check}({{}});") + 1),
            _frame(url, check, self.column(f"{add}(a,{{}})") + 1),
            _frame(url, add, self.column(".price") + 1),
        ]
        if function == "checkout":
            frames.pop()
        event: dict[str, Any] = {
            "platform": "javascript",
            "exception": {
                "values": [
                    {
                        "type": "TypeError",
                        "value": "b.offer is undefined",
                        "stacktrace": {"frames": frames},
                    }
                ]
            },
            **more,
        }
        if release:
            event["release"] = release
        if self.debug_id:
            event["debug_meta"] = {
                "images": [{"type": "sourcemap", "code_file": url, "debug_id": self.debug_id}]
            }
        return event


def _frame(url: str, function: str, column: int) -> dict[str, Any]:
    place = {"filename": url, "abs_path": url, "lineno": 1, "colno": column}
    return {**place, "function": function, "in_app": True}


def archive(files: dict[str, tuple[dict[str, Any], bytes]], **attributes: str) -> bytes:
    """Return an archive as sentry-cli builds it: a signature and a version in eight bytes, then a zip file."""
    manifest = {"files": {path: entry for path, (entry, _) in files.items()}, **attributes}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path, (_, content) in files.items():
            _write(zipped, path, content)
        _write(zipped, "manifest.json", json.dumps(manifest).encode())
    return b"SYSB\x02\0\0\0" + buffer.getvalue()


def _write(zipped: zipfile.ZipFile, path: str, content: bytes) -> None:
    """Add a file with a fixed modification time, which makes archives of equal files equal."""
    info = zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0))
    zipped.writestr(info, content, zipfile.ZIP_DEFLATED)


class Cli:
    """A client that uploads files as sentry-cli does, with an API key of the app."""

    def __init__(self, app: ClientApp) -> None:
        _, self.token = services.issue_api_key(app=app, scopes=[Scope.RELEASES])
        self.app = app
        self.client = Client(headers={"Authorization": f"Bearer {self.token}"})

    def url(self, path: str) -> str:
        return f"/api/0/organizations/acme/{path}"

    def send_chunks(self, *contents: bytes, field: str = "file") -> Any:
        files = [SimpleUploadedFile(sha1(one), one) for one in contents]
        return self.client.post(self.url("chunk-upload/"), {field: files})

    def assemble(self, content: bytes, *, chunk_size: int = 1024 * 1024, **body: Any) -> Any:
        body = {
            "checksum": sha1(content),
            "chunks": [sha1(one) for one in chunks(content, chunk_size)],
            "projects": [self.app.slug],
            **body,
        }
        return self.client.post(self.url("artifactbundle/assemble/"), body, "application/json")

    def upload(self, content: bytes, **body: Any) -> dict[str, Any]:
        for one in chunks(content, 1024 * 1024):
            assert self.send_chunks(one).status_code == 200
        answer = self.assemble(content, **body)
        assert answer.status_code == 200, answer.content
        return answer.json()  # type: ignore[no-any-return]


def sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def chunks(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]
