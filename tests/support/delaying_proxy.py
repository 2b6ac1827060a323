"""A TCP proxy on loopback, in a process of its own, that makes Redis as far away as one likes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 65536


@contextmanager
def delaying_proxy(directory: Path, port: int, round_trip_ms: float) -> Iterator[DelayingProxy]:
    """One that leads to a port of 127.0.0.1 and takes so long, there and back together."""
    target = directory / "proxy-target"
    target.write_text(str(port))
    command = [sys.executable, "-m", __name__, str(target), str(round_trip_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield DelayingProxy(target, int(process.stdout.readline()))
        finally:
            process.kill()


class DelayingProxy:
    """It listens on `port`."""

    def __init__(self, target: Path, port: int) -> None:
        self._target = target
        self.port = port

    def lead_to(self, port: int) -> None:
        """Lead connections that are opened from now on to another port."""
        self._target.write_text(str(port))


async def _serve(target: Callable[[], int], way_s: float) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target())
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, far_writer, way_s), _carry(far_reader, writer, way_s))

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way_s: float) -> None:
    """Pass on what comes, each part so long after it came."""
    loop = asyncio.get_running_loop()
    parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def pass_on() -> None:
        while True:
            due, part = await parts.get()
            await asyncio.sleep(due - loop.time())
            if not part:
                break
            writer.write(part)
        writer.close()

    passing = asyncio.ensure_future(pass_on())
    with suppress(OSError):
        while part := await reader.read(_CHUNK):
            parts.put_nowait((loop.time() + way_s, part))
    parts.put_nowait((loop.time(), b""))
    with suppress(OSError):
        await passing


if __name__ == "__main__":
    path = Path(sys.argv[1])
    asyncio.run(_serve(lambda: int(path.read_text()), float(sys.argv[2]) / 2000))
