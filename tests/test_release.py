"""What a release is made of: nothing that may change unseen, and no rights beside other code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCKS = ROOT / ".ci" / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

PINNED_ACTION = re.compile(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
LOCKED = re.compile(
    r"^([a-z\d-]+)==([^ ]+)[^\\]*\\((?:\n    --hash=sha256:[\da-f]{64} ?\\?)+)$", re.MULTILINE
)

if not WORKFLOWS:
    pytest.skip("the sources of a release are not here", allow_module_level=True)


def jobs(workflow: Path) -> dict[str, str]:
    """Return what stands in each job."""
    text = workflow.read_text("utf-8").partition("\njobs:\n")[2]
    parts = re.split(r"^  ([a-z]+):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def locked(name: str) -> dict[str, Version]:
    """Return what a file of locked requirements names; each of them has a hash."""
    text = (LOCKS / f"{name}.txt").read_text("utf-8")
    found = {match[1]: Version(match[2]) for match in LOCKED.finditer(text)}
    assert len(found) == len(re.findall(r"^[^#\s]", text, re.MULTILINE)), "one is without a hash"
    return found


def wanted(name: str) -> list[Requirement]:
    """Return what pyproject.toml says for such a file."""
    groups, extras = PROJECT["dependency-groups"], PROJECT["project"]["optional-dependencies"]
    build = PROJECT["build-system"]["requires"]
    texts = {
        "build": [*groups["build"], *build],
        "docs": groups["docs"],
        "test": [*groups["test"], *extras["crypto"], *extras["cli"], *extras["speed"]],
    }[name]
    return [Requirement(text) for text in texts if not text.startswith("sealframe[")]


def test_each_python_is_tested_and_has_wheels_that_are() -> None:
    """Where a wheel is missing, pip takes the pure one: it prefers any wheel to the sdist."""
    prefix = "Programming Language :: Python :: 3."
    classifiers = PROJECT["project"]["classifiers"]
    versions = [name.removeprefix(prefix) for name in classifiers if name.startswith(prefix)]
    assert PROJECT["project"]["requires-python"] == f">=3.{versions[0]}"
    build = PROJECT["tool"]["cibuildwheel"]["build"]
    assert set(build) >= {f"cp3{version}-*" for version in versions}
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    threaded = re.findall(r'"3\.(\d+)t"', release["threads"])
    assert {f"cp3{version}t-*" for version in threaded} == {name for name in build if "t-" in name}
    workflow = release["test"]
    for folder in re.findall(r"tests/\w+", workflow):
        assert (ROOT / folder).is_dir(), folder
    matrix = re.search(r"python: \[(.*)\]", workflow)
    assert matrix is not None
    assert matrix[1].split(", ") == [f'"3.{version}"' for version in versions]
    tox = (ROOT / "tox.ini").read_text("utf-8")
    listed = re.search(r"^env_list =\n((?: +.*\n)+)", tox, re.MULTILINE)
    assert listed is not None
    for backend in ("ext", "pure"):
        names = re.findall(rf"^ +py3(?:{{(.*)}}|(\d+))-{backend}$", listed[1], re.MULTILINE)
        found = {number for name in names for number in (name[0] or name[1]).split(",")}
        assert found == set(versions)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_one_commit(workflow: Path) -> None:
    actions = re.findall(r"uses: (.*)", workflow.read_text("utf-8"))
    assert actions
    assert [action for action in actions if not PINNED_ACTION.fullmatch(action)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_nobody_finds_the_credentials_of_the_checkout(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    checkouts = text.count("actions/checkout@")
    kept_secret = re.findall(r"actions/checkout@.*\n +with:\n +persist-credentials: false\n", text)
    assert len(kept_secret) == checkouts


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_has_rights_runs_no_code_of_others(workflow: Path) -> None:
    assert "\npermissions: {}\n" in workflow.read_text("utf-8")
    for name, job in jobs(workflow).items():
        if ": write" in job:
            assert "run:" not in job, name
            assert "checkout" not in job, name
        else:
            assert "permissions:\n      contents: read\n" in job, name


def test_what_is_released_is_built_once_and_listed_with_its_checksums() -> None:
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    dates = 'echo "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)" >>"$GITHUB_ENV"'
    assert [name for name, job in release.items() if dates in job] == ["wheels", "source"]
    assert "sha256sum -- * | tee ../SHA256SUMS" in release["sums"]
    assert "SOURCE_DATE_EPOCH" in PROJECT["tool"]["cibuildwheel"]["linux"]["environment-pass"]
    # One after the other: nothing is published that was not attested before.
    needs = {
        name: re.findall(r"^    needs: (.*)$", job, re.MULTILINE) for name, job in release.items()
    }
    assert [needs[name] for name in ("sums", "attest", "publish", "release")] == [
        ["[test, fallbacks, threads, sbom]"],
        ["sums"],
        ["attest"],
        ["publish"],
    ]
    assert 'pattern: "{dist-*,sbom,sums}"' in release["release"]


def test_wheels_are_not_tested_where_they_are_made() -> None:
    assert not any(option.startswith("test-") for option in PROJECT["tool"]["cibuildwheel"])
    made_and_tested = jobs(ROOT / ".github" / "workflows" / "release.yml")
    assert "pytest" not in made_and_tested["wheels"] + made_and_tested["source"]
    assert "pytest" in made_and_tested["test"]


def test_what_every_job_of_wheels_makes_is_tested() -> None:
    """The same platforms, and the files that are for all; in each the same folders."""
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    platforms = [re.findall(r"os: (.*)", release[name]) for name in ("wheels", "test", "threads")]
    assert platforms[0]
    assert platforms == platforms[:1] * 3
    files = re.findall(r'file: "(.*)"', release["fallbacks"])
    assert files == ["*.tar.gz", "*-py3-none-any.whl"]
    folders = [re.findall(r"tests/\w+", release[name]) for name in ("test", "fallbacks")]
    assert folders == folders[:1] * 2


@pytest.mark.parametrize("name", ["build", "test", "docs"])
def test_what_is_locked_is_what_is_wanted(name: str) -> None:
    """If not: ``.ci/requirements/update.sh``."""
    versions = locked(name)
    for requirement in wanted(name):
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_what_describes_a_release_is_locked() -> None:
    assert "cyclonedx-bom" in locked("sbom")
