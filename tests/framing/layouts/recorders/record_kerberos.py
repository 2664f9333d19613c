"""MIT's Kerberos, both ends, over TCP: ``apt-get install krb5-kdc krb5-admin-server krb5-user``."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from .helping import debian, running
from .recording import Tap, free_port, save, stream, wait_for

CLIENT = """[libdefaults]
 default_realm = EXAMPLE.COM
 dns_lookup_kdc = false
 rdns = false
 udp_preference_limit = 1
[realms]
 EXAMPLE.COM = {{
  kdc = 127.0.0.1:{port}
 }}
"""
SERVER = """[kdcdefaults]
 kdc_tcp_listen = 127.0.0.1:{port}
 kdc_listen = ""
[realms]
 EXAMPLE.COM = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/acl
 }}
"""


def size_of(data: bytes) -> int:
    """4 bytes of length before each message."""
    return 4 + int.from_bytes(data[:4], "big")


def main() -> None:
    """Get a ticket for getting tickets, with a wrong password too, and one for a service."""
    port = free_port()
    tap = Tap(("127.0.0.1", port))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "krb5.conf").write_text(CLIENT.format(port=tap.port))
        (Path(folder) / "kdc.conf").write_text(SERVER.format(port=port, folder=folder))
        environment = {
            **os.environ,
            "KRB5_CONFIG": f"{folder}/krb5.conf",
            "KRB5_KDC_PROFILE": f"{folder}/kdc.conf",
            "KRB5CCNAME": f"{folder}/cache",
        }

        def run(*words: str, says: str = "", fails: bool = False) -> None:
            done = subprocess.run(
                words, check=False, input=says, text=True, env=environment, capture_output=True
            )
            assert (done.returncode != 0) == fails, done.stderr

        run("/usr/sbin/kdb5_util", "create", "-s", "-P", "master")
        for name, word in (("anna", "anna's"), ("host/attic.example.com", "its")):
            run("/usr/sbin/kadmin.local", "addprinc", "-pw", word, name)
        with running("/usr/sbin/krb5kdc", "-n", env=environment):
            wait_for(port)
            run("kinit", "anna", says="no\n", fails=True)
            run("kinit", "anna", says="anna's\n")
            run("kvno", "host/attic.example.com")
    by = debian("krb5-kdc", "krb5")
    streams = []
    for passed in tap.connections:
        if passed.client.reads:
            streams += [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("kerberos-tcp", "kerberos-tcp", __file__, streams)


main()
