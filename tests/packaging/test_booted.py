"""The units in share/systemd under a systemd that has booted, in a container.

In a Debian that mmdebstrap makes, which takes minutes: tox -e container. Needs root, and a Python
of the same version as Debian's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from distributions import ROOT, make_wheels, run

SUITE, PYTHON = "bookworm", (3, 11)
PACKAGES = "python3,python3-venv,systemd,systemd-sysv"

pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or sys.version_info[:2] != PYTHON,
        reason=f"needs root on Linux and Python {PYTHON}, that of Debian {SUITE}",
    ),
]

PROBE = """\
[Unit]
After=sealframe.socket
[Service]
Type=oneshot
StandardOutput=file:/root/probe.log
StandardError=inherit
ExecStart=/bin/sh /root/probe.sh
ExecStopPost=systemctl start --no-block poweroff.target
[Install]
WantedBy=multi-user.target
"""

ASKED = """\
sealframe send hello 127.0.0.1:1234 --key /etc/sealframe/key; echo "sent: $?"
sealframe clients --control /run/sealframe/control; echo "asked: $?"
systemctl kill --signal=KILL sealframe.service
until [ "$(systemctl show sealframe.service -P NRestarts)" = 1 ] &&
    systemctl --quiet is-active sealframe.service
do sleep 0.1; done
mkdir /etc/systemd/system/sealframe.service.d
cp /root/identity.conf /etc/systemd/system/sealframe.service.d/
systemctl daemon-reload; systemctl restart sealframe.service; echo "restarted: $?"
sealframe invite laptop --control /run/sealframe/control >/root/said; echo "invited: $?"
sealframe send hi 127.0.0.1:1234 --identity /root/laptop.key \\
    --invitation "$(grep -o 'SEALFRAME-INVITE-.*' /root/said)"; echo "known: $?"
systemctl stop sealframe.socket sealframe.service
systemctl show sealframe.service -p Result -p ExecMainStatus -p ActiveState
journalctl --no-pager -u sealframe.service
"""


def must(*command: str | Path, **environment: str) -> str:
    """Run a command that has to succeed; return its output."""
    done = run(*command, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar of a small Debian with Python and systemd."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not here")
    tar = tmp_path_factory.mktemp("debian") / "base.tar"
    command = ("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE)
    done = subprocess.run(
        [*command, str(tar)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no Debian could be had here: {done.stdout[-300:]}")
    return tar


def test_the_units_run_under_systemd(debian: Path, tmp_path: Path) -> None:
    """Both: with a shared key, and with identities as the guide has it."""
    if not shutil.which("systemd-nspawn"):
        pytest.skip("systemd-nspawn is not here")
    root = tmp_path / "root"
    root.mkdir()
    must("tar", "-C", root, "-xf", debian)
    make_wheels(root / "wheels")
    must("chroot", root, "python3", "-m", "venv", "/opt/sealframe")
    pip = ("/opt/sealframe/bin/pip", "install", "--quiet", "--no-index", "--find-links", "/wheels")
    must("chroot", root, *pip, "sealframe[cli]")
    (root / "usr/local/bin/sealframe").symlink_to("/opt/sealframe/bin/sealframe")
    (root / "etc/sealframe").mkdir()
    for name, words in (("key", ["--shared"]), ("identity", [])):
        must("chroot", root, "sealframe", "keygen", *words, f"/etc/sealframe/{name}")
    units = root / "etc/systemd/system"
    for unit in (ROOT / "share" / "systemd").iterdir():
        shutil.copy(unit, units)
    page = (ROOT / "docs" / "guides" / "deployment.md").read_text("utf-8")
    identity = page.partition("`systemctl edit sealframe`:\n\n```ini\n")[2].partition("```")[0]
    (root / "root/identity.conf").write_text(identity)
    (root / "root/probe.sh").write_text(ASKED)
    (units / "probe.service").write_text(PROBE)
    must("chroot", root, "systemctl", "enable", "--quiet", "sealframe.socket", "probe.service")
    options = ("--private-network", "--register=no", "--keep-unit")
    booted = run("systemd-nspawn", "--quiet", "--directory", root, "--boot", *options)
    said = (root / "root/probe.log").read_text()
    assert booted.returncode == 0, said
    for line in ("sent: 0", "asked: 0", "restarted: 0", "invited: 0", "known: 0"):
        assert line in said.splitlines(), said
    assert {"Result=success", "ExecMainStatus=0", "ActiveState=inactive"} <= {*said.splitlines()}
    assert "relay, sealed, on" in said
    # It has a user of its own, to whom alone its folder belongs.
    kept = (root / "var/lib/private/sealframe/clients").stat()
    assert kept.st_uid >= 61184
    assert kept.st_mode & 0o777 == 0o600
