"""A chat with rooms: groups of connections, and a hook that notices who leaves, and why.

Run it: python examples/chat_server.py [HOST [PORT]]

Then run chat_client.py in two other terminals. The first message of a client is its name,
each further one is a line for its room, or a command: /join ROOM, /who, /leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import sealframe

LOBBY = "lobby"


class Chat:
    """What the handler and the hook share."""

    server: sealframe.Server

    async def handle(self, conn: sealframe.Connection) -> None:
        """Serve one client."""
        name = text_of(await conn.recv())
        if not name or any(name == name_of(other) for other in self.server.clients.values()):
            await conn.send(b"* that name is taken")
            return
        conn.state.name = name
        self.enter(conn, LOBBY)
        async for message in conn:
            match text_of(message).split(maxsplit=1):
                case ["/join", room]:
                    self.enter(conn, room)
                case ["/who"]:
                    await conn.send(self.who(conn).encode())
                case ["/leave"]:
                    break
                case [*words] if words:
                    self.tell(conn, f"{name}: {' '.join(words)}")

    def enter(self, conn: sealframe.Connection, room: str) -> None:
        """Go from one room to another; each client is in one at a time."""
        self.tell(conn, f"* {name_of(conn)} goes to {room}")
        for left in conn.groups:
            conn.leave(left)
        conn.join(room)
        self.server.group(room).broadcast(f"* {name_of(conn)} is in {room}".encode())

    def tell(self, conn: sealframe.Connection, text: str) -> None:
        """Send a line to the others in the room."""
        for room in conn.groups:
            # It waits for nobody: who does not read holds up no one else.
            self.server.group(room).broadcast(text.encode(), exclude=conn)

    def who(self, conn: sealframe.Connection) -> str:
        [room] = conn.groups
        return f"* in {room}: {', '.join(map(name_of, self.server.group(room)))}"

    def left(self, conn: sealframe.Connection, reason: sealframe.Disconnect) -> None:
        """Tell the others, however it came: a hook, called once for each client."""
        # It is a member no longer; its groups are those that it was in until then.
        self.tell(conn, f"* {name_of(conn)} has left ({reason.kind.value})")
        print(name_of(conn) or conn.id, "has left:", reason.kind.value, reason.text)


def name_of(conn: sealframe.Connection) -> str:
    return getattr(conn.state, "name", "")


def text_of(message: bytes) -> str:
    # What comes from a stranger is shown on terminals: nothing in it may control them.
    text = message.decode(errors="replace").strip()
    return "".join(filter(str.isprintable, text))[:500]


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    chat = Chat()
    async with sealframe.serve(chat.handle, host, int(port), on_disconnect=chat.left) as server:
        chat.server = server
        print(f"listening on {host}:{server.port}")
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
