"""Who may ask: a page that this server sent, on this machine, with the token in its address.

Loopback alone protects from other machines, but any web site open in the same browser can send
requests to a local port. Hence: the token in front of every path; only names of this machine in
`Host` (a site whose name is turned to 127.0.0.1 would send its own); no other site in `Origin` and
`Sec-Fetch-Site`; changes only as JSON, which no form of another site can send.
"""

import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY_BYTES = 2**25

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def refusal(
    method: str, path: str, headers: Mapping[str, str], token: str, port: int
) -> tuple[int, str] | None:
    """Why a request is refused: status and words; None where it may pass.

    Args:
        path: as sent, the token in front.
        headers: names in lower case.
    """
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
    host = headers.get("host", "")
    if host not in hosts:
        return 421, "The studio answers on this machine only, under 127.0.0.1 or localhost."
    given = path.split("/")[1] if path.startswith("/") else ""
    if not secrets.compare_digest(given.encode(), token.encode()):
        return 403, "This address lacks the studio's token. Use the one that it printed."
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return 403, "Requests from other sites are refused."
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", *(("none",) if method == "GET" else ())):
        return 403, "Requests from other sites are refused. Type or paste the address."
    if method in ("GET", "HEAD"):
        return None
    if method != "POST":
        return 405, "Only GET and POST are understood."
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        return 415, "Changes are sent as JSON."
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return 411, "The length of a change is needed."
    if int(length) > MOST_BODY_BYTES:
        return 413, f"A change of {int(length)} bytes; {MOST_BODY_BYTES} at most."
    return None


class Guard:
    """Refuses, before anything else is looked at; adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token, self._port = app, token, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(k.lower().encode(), v.encode()) for k, v in SECURITY_HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        refused = refusal(
            scope["method"], scope["path"], Headers(scope=scope), self._token, self._port
        )
        if refused is None:
            await self._app(scope, receive, send_secured)
        else:
            status, words = refused
            await PlainTextResponse(words, status)(scope, receive, send_secured)
