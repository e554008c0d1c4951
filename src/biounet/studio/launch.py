"""`biounet studio`: bind to loopback, print the address, serve until Ctrl-C."""

import logging
import secrets
import signal
import socket
import sys
import webbrowser
from pathlib import Path

import torch
import uvicorn

from biounet.errors import InputError
from biounet.studio.contents import Studio
from biounet.studio.folder import open_folder
from biounet.studio.runs import known_before
from biounet.studio.server import make_app

ENDINGS = ("SIGTERM", "SIGHUP")
"""Of a process that is told to end, and of a terminal that is closed."""


def serve(folder: Path, port: int, open_browser: bool, start_from: str | None) -> None:
    """Serve the studio of a folder until Ctrl-C; a training that runs keeps its weights."""
    before = None if start_from is None else known_before(start_from)
    studio = Studio(open_folder(folder), before)
    # One core for the browser: a thread that has to wait for one makes all others of a step wait.
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    token = secrets.token_urlsafe(24)
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise InputError(
            f"port {port}, which cannot be used ({error})", "a free port", "choose another, or none"
        ) from None
    with listening:
        port = listening.getsockname()[1]
        address = f"http://127.0.0.1:{port}/{token}/"
        sys.stdout.write(f"biounet studio: {address}\nCtrl-C ends it; everything is saved.\n")
        sys.stdout.flush()
        if open_browser:
            webbrowser.open(address)
        config = uvicorn.Config(
            make_app(studio, token, port),
            log_level=logging.CRITICAL,  # the address, with its token, stays out of logs
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        for name in ENDINGS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: _end(server))
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            studio.trainer.close()


def _end(server: uvicorn.Server) -> None:
    """As Ctrl-C. (The server hands signals on when it has ended: without this, they kill.)"""
    server.should_exit = True
