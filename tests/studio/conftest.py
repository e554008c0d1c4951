"""A studio on a real socket, and requests to it."""

import base64
import http.client
import json
import logging
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import uvicorn
from numpy.typing import NDArray

from biounet.studio.contents import Studio
from biounet.studio.folder import open_folder
from biounet.studio.server import make_app

TOKEN = "token-of-the-tests"


@dataclass(frozen=True)
class Answer:
    """Status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A studio that answers on a port."""

    studio: Studio
    port: int
    token: str = TOKEN

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}/"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {k.lower(): v for k, v in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", f"/{TOKEN}/{path}")

    def post(self, path: str, sent: object) -> Answer:
        headers = {"Content-Type": "application/json"}
        return self.ask("POST", f"/{TOKEN}/{path}", json.dumps(sent).encode(), headers)


def _sent_patch(y: int, x: int, values: NDArray[Any]) -> dict[str, Any]:
    """A patch as the page sends it."""
    packed = base64.b64encode(zlib.compress(values.astype("<u2").tobytes())).decode()
    return {"y": y, "x": x, "height": values.shape[0], "width": values.shape[1], "pixels": packed}


def _write_images(folder: Path, n: int = 2, shape: tuple[int, int] = (60, 80)) -> Path:
    """A folder of 16-bit images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for k in range(n):
        tifffile.imwrite(folder / f"{'abcdef'[k]}.tif", rng.integers(0, 4000, shape, np.uint16))
    return folder


@pytest.fixture(scope="session")
def sent_patch() -> Callable[..., dict[str, Any]]:
    """(y, x, values) -> a patch as the page sends it."""
    return _sent_patch


@pytest.fixture(scope="session")
def write_images() -> Callable[..., Path]:
    """(folder, n, shape) -> the folder, with n 16-bit images a.tif, b.tif, …"""
    return _write_images


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Served]]:
    """Starts studios of folders; they end with the test."""
    running: list[tuple[uvicorn.Server, threading.Thread, Studio, socket.socket]] = []

    def start(folder: Path) -> Served:
        studio = Studio(open_folder(folder), None)
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        config = uvicorn.Config(
            make_app(studio, TOKEN, port), log_level=logging.CRITICAL, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread, studio, listening))
        return Served(studio, port)

    yield start
    for server, thread, studio, listening in running:
        studio.trainer.close()
        server.should_exit = True
        thread.join()
        listening.close()
