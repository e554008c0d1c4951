"""Who may ask the studio, and what it says to everyone else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biounet.studio.guard import MOST_BODY_BYTES, refusal

GOOD = {"host": "127.0.0.1:8000"}
JSON = {"content-type": "application/json", "content-length": "2"}


def refused(headers: dict[str, str], method: str = "GET", path: str = "/secret/") -> int | None:
    answer = refusal(method, path, {**GOOD, **headers}, "secret", 8000)
    return None if answer is None else answer[0]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:8000"},
        {"origin": "http://127.0.0.1:8000"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_the_page_itself_may_ask(headers: dict[str, str]) -> None:
    assert refused(headers) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:8000"}, 421),  # its name turned to 127.0.0.1
        ({"host": "127.0.0.1:8001"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:8000"}, 403),  # not the name it was asked under
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),  # another port of this machine
    ],
)
def test_others_may_not(headers: dict[str, str], status: int) -> None:
    assert refused(headers) == status
    assert refused({**JSON, **headers}, "POST") == status


@pytest.mark.parametrize("path", ["/", "", "/secre/", "/secret2/", "/Secret/", "//secret/", "*"])
def test_nothing_without_the_token(path: str) -> None:
    assert refused({}, path=path) == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),  # what a form of another site can send
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-length": ""}, 411),
        ({"content-length": "-1"}, 411),
        ({"content-length": str(MOST_BODY_BYTES + 1)}, 413),
        ({"sec-fetch-site": "none"}, 403),
    ],
)
def test_changes_come_as_json_of_a_known_length(headers: dict[str, str], status: int) -> None:
    assert refused(JSON, "POST") is None
    assert refused({**JSON, **headers}, "POST") == status


def test_other_methods_are_refused() -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert refused(JSON, method) == 405


def test_on_the_wire(
    serve: Callable[[Path], Any], write_images: Callable[..., Path], tmp_path: Path
) -> None:
    served = serve(write_images(tmp_path))
    host = {"Host": f"127.0.0.1:{served.port}"}
    page = served.ask("GET", f"/{served.token}/", headers=host)
    assert page.status == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in page.headers
    for headers in ({"Host": "evil.example"}, {**host, "Origin": "http://evil.example"}):
        assert served.ask("GET", f"/{served.token}/api/state", headers=headers).status in (403, 421)
    for path in ("/", "/api/state", "/wrong/api/state", "/static/main.js", "/favicon.ico"):
        assert served.ask("GET", path, headers=host).status == 403
    stop = json.dumps({}).encode()
    assert served.ask("POST", f"/{served.token}/api/stop", stop, host).status == 415
    assert served.post("api/stop", {}).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "static/../server.py",
        "static/%2e%2e/server.py",
        "static/..%2f..%2f..%2fpyproject.toml",
        "static//etc/passwd",
    ],
)
def test_static_files_stay_inside(
    serve: Callable[[Path], Any], write_images: Callable[..., Path], tmp_path: Path, path: str
) -> None:
    served = serve(write_images(tmp_path))
    assert served.get("static/main.js").status == 200
    assert served.get(path).status == 404
