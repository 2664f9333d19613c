"""Builds the site as it is published: a folder for each version, and a page that leads on.

    python .ci/site.py build/site

Each tag ``v1.2.3`` is built from its own files as ``1.2.3/``, and what is checked out as ``dev/``;
the side bar of each links to the others. Nothing is kept from one time to the next, so a version
that is there is one whose files are in the repository. Needs the group ``docs`` of pyproject.toml.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DEV = "dev"
TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
# A folder's own address ends in a slash, so a relative one leads into it wherever the site stands.
FRONT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>sealframe</title>
<meta http-equiv="refresh" content="0; url={version}/index.html">
<p><a href="{version}/index.html">sealframe {version}</a></p>
</html>
"""


def released(project: Path) -> list[str]:
    """Return the versions that have a tag, the newest first."""
    tags = subprocess.run(
        ["git", "tag", "--list", "v*"], cwd=project, check=True, capture_output=True, text=True
    ).stdout.split()
    numbers = [tuple(map(int, found.groups())) for tag in tags if (found := TAG.fullmatch(tag))]
    return [".".join(map(str, number)) for number in sorted(numbers, reverse=True)]


def build(tree: Path, versions: list[str], folder: Path) -> None:
    """Build the site of one tree of files."""
    subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-q", "-E", "-A", f"versions={','.join(versions)}"),
            *("-d", f"{folder}.doctrees", str(tree / "docs"), str(folder)),
        ],
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "SEALFRAME_NO_EXTENSIONS": "1"},
        check=True,
    )


def publish(project: Path, site: Path) -> None:
    """Build all versions of a project into a folder that is not there yet."""
    site.mkdir(parents=True)
    site = site.resolve()
    releases = released(project)
    versions = [*releases, DEV]
    with tempfile.TemporaryDirectory() as scratch:
        for version in versions:
            tree = project
            if version != DEV:
                tree = Path(scratch, version)
                add = ["git", "worktree", "add", "--quiet", "--detach", str(tree), f"v{version}"]
                subprocess.run(add, cwd=project, check=True)
            try:
                folder = Path(scratch, f"{version}.html")
                build(tree, versions, folder)
                shutil.copytree(folder, site / version)
            finally:
                if tree != project:
                    remove = ["git", "worktree", "remove", "--force", str(tree)]
                    subprocess.run(remove, cwd=project, check=True)
    (site / "index.html").write_text(FRONT.format(version=versions[0]), encoding="utf-8")
    # Folders that begin with an underscore, as Sphinx makes them, are files like others.
    (site / ".nojekyll").touch()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Builds the site of every version.")
    parser.add_argument("site", type=Path, help="a folder, which is made")
    publish(Path(__file__).parents[1], parser.parse_args().site)
