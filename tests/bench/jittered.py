"""A way on which requests are late: `python -m tests.bench.jittered PORT SECONDS`.

What a client sends reaches PORT up to SECONDS later, each request by another time; answers come
back at once. Its own port is the first line of its output.
"""

from __future__ import annotations

import asyncio
import random
import sys

_CHUNK = 65536


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter, jitter_s: float) -> None:
    try:
        while data := await source.read(_CHUNK):
            if jitter_s:
                await asyncio.sleep(random.uniform(0.0, jitter_s))
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


async def main() -> None:
    port, jitter_s = int(sys.argv[1]), float(sys.argv[2])

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass(reader, back, jitter_s), _pass(there, writer, 0.0))

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
