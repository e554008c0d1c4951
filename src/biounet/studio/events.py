"""What happens, told to every open page (server-sent events)."""

import asyncio
import json
from collections.abc import AsyncIterator
from threading import Lock
from typing import Any

BEAT_S = 15.0
"""A comment is sent after so long without an event, so that a closed page is noticed."""


class Events:
    """Messages from any thread to all pages that listen."""

    def __init__(self) -> None:
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue[str]]] = set()
        self._lock = Lock()

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Tell every page."""
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        with self._lock:
            listeners = list(self._listeners)
        for loop, queue in listeners:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, text)

    async def stream(self) -> AsyncIterator[str]:
        """The messages from now on, for one page."""
        listener = (asyncio.get_running_loop(), asyncio.Queue[str]())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield "event: hello\ndata: {}\n\n"
            while True:
                try:
                    yield await asyncio.wait_for(listener[1].get(), BEAT_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            with self._lock:
                self._listeners.discard(listener)
