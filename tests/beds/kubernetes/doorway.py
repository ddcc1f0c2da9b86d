"""A way into a bed's network namespace: what connects to a port of our loopback speaks to an address inside.

    nsenter --net=… python doorway.py LISTENER ADDRESS PORT

LISTENER is the number of an open, listening socket. A socket stays in the namespace it was made in: the listener
in ours, the connections that this program makes in the bed's.
"""

import asyncio
import socket
import sys
from contextlib import suppress


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(listener: socket.socket, address: str, port: int) -> None:
    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(address, port)
        except OSError:  # nobody answers inside: neither do we
            writer.transport.abort()
            return
        await asyncio.gather(_carry(reader, back), _carry(there, writer))

    server = await asyncio.start_server(enter, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3])))
