"""Makes docs/dashboard.png: the dashboard of a real server with real clients, in headless Chromium.

Needs playwright, pillow, the extras crypto and dashboard, and Debian's chromium; it takes five
minutes: that much the charts show. ``python docs/picture_dashboard.py [SECONDS]``
"""

from __future__ import annotations

import asyncio
import math
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.async_api import async_playwright

import sealframe
from sealframe import (
    ClientIdentity,
    Connection,
    ConnectionClosed,
    PrivateKey,
    ServerIdentity,
    ServerOptions,
    dashboard,
)

PICTURE = Path(__file__).parent / "dashboard.png"
PLACES = ("attic", "cellar", "garage", "garden", "hall", "kitchen", "office", "porch", "roof")
THINGS = ("camera", "door", "meter", "sensor")
NAMES = [f"{place}-{thing}" for place in PLACES for thing in THINGS]


async def echo(conn: Connection) -> None:
    """Answer; whoever sends much gets little at a time."""
    conn.join(conn.peer.name.partition("-")[2] if conn.peer and conn.peer.name else "others")
    async for message in conn:
        await conn.send(message)
        if len(message) > 3000:
            await asyncio.sleep(0.02)


async def talk(port: int, identity: ClientIdentity, number: int) -> None:
    """Be one client: some talk much, some in waves, and a camera sends what is large."""
    loop = asyncio.get_running_loop()
    async with sealframe.connect("127.0.0.1", port, security=identity) as conn:
        for count in range(10**9):
            if count % 50 == 0:
                await conn.ping(timeout=10)
            await conn.send(bytes(4000 if NAMES[number].endswith("camera") else 200 + number))
            if number % 12 != 5 or count % 40 == 39:
                await conn.recv()
            wave = 1 + math.sin(loop.time() / 20 + number)
            await asyncio.sleep(0.05 + wave * (0.1 + number % 7 / 20))


async def knock(port: int, server: sealframe.PublicKey) -> None:
    """Come with a key that nobody let in, now and then."""
    stranger = ClientIdentity(PrivateKey.generate(), server=server)
    while True:
        await asyncio.sleep(17)
        try:
            async with sealframe.connect("127.0.0.1", port, security=stranger):
                pass
        except (ConnectionClosed, sealframe.ConnectError, sealframe.HandshakeError):
            pass


async def picture(url: str, seconds: float) -> None:
    """Watch for so long, then take the picture."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1180, "height": 1330})
        await page.goto(url)
        await page.wait_for_selector("body[data-state=live]")
        await asyncio.sleep(seconds)
        await page.wait_for_selector("body[data-state=live]")
        await page.screenshot(path=PICTURE)
        await browser.close()
    # 256 colours are enough for it, and less than half of the bytes.
    Image.open(PICTURE).convert("RGB").quantize(256).save(PICTURE, optimize=True)


async def main(seconds: float) -> None:
    """Run server, clients and browser in one event loop."""
    keys = {name: PrivateKey.generate() for name in NAMES}
    key = PrivateKey.generate()
    identity = ServerIdentity(key, {name: one.public_key for name, one in keys.items()})
    options = ServerOptions(connection_rate=None)
    async with (
        sealframe.serve(echo, "127.0.0.1", 0, security=identity, options=options) as server,
        dashboard.serve(server, port=0) as page,
        asyncio.TaskGroup() as group,
    ):
        tasks = [
            group.create_task(
                talk(server.port, ClientIdentity(keys[name], server=key.public_key), number)
            )
            for number, name in enumerate(NAMES)
        ]
        tasks.append(group.create_task(knock(server.port, key.public_key)))
        await picture(page.url, seconds)
        for task in tasks:
            task.cancel()
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 300))
