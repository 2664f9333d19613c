"""Drops a file, or a folder with all that is in it, at drop_server.py.

Run it: python examples/drop_client.py PATH [HOST [PORT]]

If the connection breaks, it connects again and goes on where it broke off.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import sealframe
from sealframe.files import Progress


def show(progress: Progress) -> None:
    """Say how far it is; called some ten times a second."""
    print(f"{progress.name}: {progress.sent} of {progress.size} bytes")


async def main(path: str, host: str = "127.0.0.1", port: str = "1234") -> None:
    # Files need an extended connection, or a sealed one.
    async for conn in sealframe.connect(host, int(port), extended=True):
        try:
            receipt = await conn.send_file(path, progress=show)
        except sealframe.ConnectionClosed as error:
            print("cut off:", error)
        except sealframe.FileTransferError as error:
            # Refused, or not to be read: another connection would not help.
            sys.exit(f"not sent: {error}")
        else:
            for name in receipt.names:
                print("arrived:", name)
            for name, reason in receipt.skipped:
                print(f"skipped {name}: {reason}")
            return


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
