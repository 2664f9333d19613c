"""Whoever builds the same commit gets the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from distributions import QUICKLY, copy_project, run

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]

EPOCH = 1_796_000_000


@pytest.mark.skipif(os.name == "nt", reason="files have no permissions there")
def test_two_builds_of_one_commit_are_the_same_to_the_byte(tmp_path: Path) -> None:
    """In folders of other names, by users with other permissions, from files of other dates."""
    digests = []
    shutil.copytree(copy_project(tmp_path / "one"), tmp_path / "another", symlinks=True)
    for name, umask, older in (("one", 0o022, 0), ("another", 0o077, 100_000)):
        source = tmp_path / name
        for path in source.rglob("*"):
            os.utime(path, (EPOCH - older, EPOCH - older))
            path.chmod(0o777 & ~umask if path.is_dir() or os.access(path, os.X_OK) else 0o600)
        built = tmp_path / f"{name}-dist"
        done = run(
            *("sh", "-c", 'umask "$1"; shift; exec "$@"', "sh", f"{umask:03o}"),
            *(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, source),
            SOURCE_DATE_EPOCH=str(EPOCH),
            SEALFRAME_EXTENSION="yes",
            **QUICKLY,
        )
        assert done.returncode == 0, done.stdout
        found = sorted(built.iterdir())
        assert [path.suffix for path in found] == [".whl", ".gz"]
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found})
    assert digests[0] == digests[1]
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        members = archive.getmembers()
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {
        (EPOCH, 0, 0, "")
    }
    assert {member.mode for member in members if member.isfile()} == {0o644, 0o755}
