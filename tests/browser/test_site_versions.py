"""The site as it is published: a folder for each version, each with links to the others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from documents import ROOT

from .chromium import visiting
from .serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CONF = """
project, release = "sealframe", {version!r}
html_theme, html_title, templates_path = "furo", "sealframe", ["_templates"]
html_sidebars = {{"**": ["sidebar/versions.html"]}}
"""


def git(folder: Path, *command: str) -> None:
    who = ["-c", "user.name=a test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def write(project: Path, version: str) -> None:
    (project / "docs" / "conf.py").write_text(CONF.format(version=version), encoding="utf-8")
    page = f"Words\n=====\n\nOf {version}.\n"
    (project / "docs" / "index.rst").write_text(page, encoding="utf-8")


def test_versions_are_published_beside_each_other(chromium: Browser, tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="the group docs is not installed")
    project, site = tmp_path / "project", tmp_path / "site"
    shutil.copytree(ROOT / "docs" / "_templates", project / "docs" / "_templates")
    shutil.copytree(ROOT / ".ci", project / ".ci", ignore=shutil.ignore_patterns("*.txt"))
    git(project, "init", "--quiet")
    for version in ("0.9.0", "0.10.0"):
        write(project, version)
        git(project, "add", ".")
        git(project, "commit", "--quiet", "--message", version)
        git(project, "tag", f"v{version}")
    git(project, "tag", "vague")
    write(project, "0.11.0")
    command = [sys.executable, ".ci/site.py", str(site)]
    subprocess.run(command, cwd=project, check=True, timeout=60)
    with serving(site) as origin, visiting(chromium, origin, javascript=False) as visit:
        visit.open("")
        # The newest release, by its number.
        visit.page.wait_for_url(f"{origin}/0.10.0/index.html")
        visit.page.get_by_text("version 0.10.0").click()
        listed = visit.page.locator(".sidebar-versions li").all_inner_texts()
        assert listed == ["0.10.0", "0.9.0", "dev"]
        for version, words in {"0.9.0": "Of 0.9.0.", "dev": "Of 0.11.0."}.items():
            if not visit.page.get_by_role("link", name=version, exact=True).is_visible():
                visit.page.locator("summary").click()
            visit.page.get_by_role("link", name=version, exact=True).click()
            assert visit.page.get_by_text(words).is_visible()
        assert visit.wrong == []
    trees = subprocess.run(
        ["git", "worktree", "list"], cwd=project, check=True, capture_output=True, text=True
    )
    assert len(trees.stdout.splitlines()) == 1
