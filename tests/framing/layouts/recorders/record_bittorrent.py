"""libtorrent with itself: ``pip install libtorrent==2.1.1``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import libtorrent

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """BEP 3: a handshake of 68 bytes, then 4 bytes of length before each message."""
    if data[0] == 19:
        return 68
    if len(data) < 4:
        raise IndexError
    return 4 + int.from_bytes(data[:4], "big")


def session() -> libtorrent.session:
    """Without encryption, and with nobody but the other one."""
    return libtorrent.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "allow_multiple_connections_per_ip": True,
            "in_enc_policy": 2,
            "out_enc_policy": 2,
            "max_out_request_queue": 8,
        }
    )


def main() -> None:
    """Move a small file from one to the other."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        source.mkdir()
        (source / "parts").write_bytes(b"bolt" * 1500)
        files = libtorrent.file_storage()
        libtorrent.add_files(files, str(source / "parts"))
        torrent = libtorrent.create_torrent(files, 16_384, libtorrent.create_torrent.v1_only)
        libtorrent.set_piece_hashes(torrent, str(source))
        info = libtorrent.torrent_info(torrent.generate())
        seeder, leecher = session(), session()
        seeding = seeder.add_torrent({"ti": info, "save_path": str(source)})
        while not seeding.status().is_seeding:
            pass
        tap = Tap(("127.0.0.1", seeder.listen_port()))
        taking = leecher.add_torrent({"ti": info, "save_path": str(target)})
        while taking.status().state != libtorrent.torrent_status.downloading:
            pass
        taking.connect_peer(("127.0.0.1", tap.port))
        while not taking.status().is_seeding:
            pass
        connection = next(one for one in tap.connections if len(one.server.data) > 6000)
        sent = [connection.client, connection.server]
        by = package("libtorrent")
        save("bittorrent", "bittorrent", __file__, [stream(one, by, size_of) for one in sent])


main()
