"""The pages of the site: every public name, every page, and every example is true."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from documents import NAMED, ROOT, blocks, examples, run_pair, run_program, run_shell

import sealframe

DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*"))
    if path.suffix in (".md", ".rst")
}
MARKDOWN = {page: text for page, text in PAGES.items() if (DOCS / f"{page}.md").exists()}
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = [
    pytest.param(code, id=f"{page}-{number}")
    for page, text in MARKDOWN.items()
    for number, code in enumerate(PYTHON.findall(text), 1)
]
PROGRAMS = [
    pytest.param(page, name, id=f"{page}-{name}")
    for page, text in MARKDOWN.items()
    for name in examples(text)
    if not name.endswith("server.py")
]
MODULES = (
    *("cluster", "codecs", "dashboard", "files"),
    *("framing", "framing.inference", "framing.layouts"),
    *("metrics", "noise", "srv", "sync", "wire"),
)


def toctree(text: str) -> list[str]:
    """Return the pages that a page's tables of contents name."""
    fenced = re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    directives = re.findall(r"^\.\. toctree::\n((?:[ ]{3}.*\n|\n)*)", text, re.MULTILINE)
    lines = "\n".join(fenced + directives).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith(":")]


def documented(text: str) -> set[str]:
    """Return the full names of what a page of the reference describes."""
    names: set[str] = set()
    module = ""
    for directive, name in re.findall(r"^ *\.\. ([\w:]+):: *(\S+)", text, re.MULTILINE):
        if directive in ("automodule", "currentmodule"):
            module = name
            names.update({name} if directive == "automodule" else ())
        elif directive in ("autoclass", "autoexception", "autofunction", "autodata", "py:data"):
            names.add(name if name.startswith("sealframe.") else f"{module}.{name}")
        if directive == "automodule" and f"{name}\n   :members:" in text:
            exported = getattr(importlib.import_module(name), "__all__", ())
            names.update(f"{name}.{member}" for member in exported)
    return names


REFERENCE = set().union(
    *(documented(text) for page, text in PAGES.items() if page.startswith("reference/"))
)


def test_every_public_name_is_in_the_reference() -> None:
    assert {f"sealframe.{name}" for name in sealframe.__all__} <= REFERENCE


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_of_a_module_is_in_the_reference(name: str) -> None:
    """Under the module's name or, where it has that too, under the package's."""
    exported = importlib.import_module(f"sealframe.{name}").__all__
    missing = {
        member
        for member in exported
        if not {f"sealframe.{name}.{member}", f"sealframe.{member}"} & REFERENCE
    }
    assert missing == set()


def test_the_import_paths_that_stay_are_those_of_the_reference() -> None:
    listed = re.findall(r"^- ``(sealframe[.\w]*)``:", PAGES["reference/index"], re.MULTILINE)
    assert sorted(listed) == ["sealframe", *(f"sealframe.{name}" for name in MODULES)]
    for page, text in PAGES.items():
        for _, module in re.findall(r"(auto|current)module:: (\S+)", text):
            assert module in {*listed, "sealframe.errors"}, page


def test_the_numbers_of_the_protocol_are_in_the_reference() -> None:
    """All of them, with those that stand on a line of their own for their looks."""
    page = PAGES["reference/wire"]
    assert ".. automodule:: sealframe.wire\n   :members:\n   :undoc-members:\n" in page
    [excluded] = re.findall(r":exclude-members: (.*)", page)
    for name in excluded.split(", "):
        assert {f"sealframe.{name}", f"sealframe.wire.{name}"} & REFERENCE


def test_the_reference_names_nothing_that_is_not_there() -> None:
    for name in REFERENCE:
        module, _, member = name.rpartition(".")
        assert hasattr(importlib.import_module(module), member), name


def test_every_page_can_be_reached() -> None:
    """From the first one, by tables of contents."""
    reached = {"index"}
    waiting = ["index"]
    while waiting:
        page = waiting.pop()
        folder = page.rpartition("/")[0]
        for entry in toctree(PAGES[page]):
            target = f"{folder}/{entry}" if folder else entry
            assert target in PAGES, f"{page} names {entry}, which is not there"
            assert target not in reached, f"{target} stands in two tables of contents"
            reached.add(target)
            waiting.append(target)
    assert reached == PAGES.keys()


def test_links_between_files_lead_somewhere() -> None:
    """On a code host, where nobody builds the site, they are paths."""
    for page, text in MARKDOWN.items():
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in link:
                assert ((DOCS / page).parent / link).is_file(), f"{page} links to {link}"


def compiled(code: str) -> CodeType:
    """Compile a program, or a part of one that could stand in a coroutine."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    result: CodeType = compile(code, "<page>", "exec", flags=flags, dont_inherit=True)
    return result


def is_package(module: ModuleType) -> bool:
    return hasattr(module, "__path__")


@pytest.mark.parametrize("code", CODE)
def test_code_compiles_and_names_what_is_there(code: str) -> None:
    compiled(code)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sealframe"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                submodule = find_spec(f"{node.module}.{alias.name}") if is_package(module) else None
                assert submodule or hasattr(module, alias.name), ast.unparse(node)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sealframe":
            submodule = find_spec(f"sealframe.{node.attr}")
            assert submodule or node.attr in sealframe.__all__, ast.unparse(node)


@pytest.mark.parametrize("page", MARKDOWN)
def test_every_program_runs_or_says_why_not(page: str) -> None:
    """Here, in another test, which a comment names, or nowhere, for a reason."""
    text = MARKDOWN[page]
    named = {block: name for name, word, block in NAMED.findall(text) if word == "python"}
    for code in PYTHON.findall(text):
        kind, _, what = named.get(code, "").partition(": ")
        assert kind in ("example", "run by", "not run"), f"{page}: {code}"
        if kind == "run by":
            assert "program_with" in (ROOT / what).read_text(encoding="utf-8")
        assert len(what) > 5


def steady(text: str) -> str:
    """Replace what differs from run to run: ports, and the ids of connections."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1234", text)
    ids = dict.fromkeys(re.findall(r"\b[0-9a-f]{6}-\d+\b", text))
    for number, id in enumerate(ids, 1):
        text = text.replace(id, f"id-{number}")
    return text


@pytest.mark.parametrize(("page", "name"), PROGRAMS)
def test_examples_run(page: str, name: str, tmp_path: Path) -> None:
    """Each prints what the page says, alone or with the server of the same name."""
    text = MARKDOWN[page]
    programs = examples(text)
    if re.search(r"[Kk]ey|security", programs[name]):
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    if "dashboard" in programs[name]:
        pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    if "clients.txt" in programs[name]:
        pytest.importorskip("filelock", reason="filelock is not installed")
    if name.endswith("client.py"):
        if setup := blocks(text, "sh").get(f"shell: {name.removesuffix('_client.py')}"):
            if sys.platform == "win32":
                pytest.skip("the commands are for a POSIX shell")
            pytest.importorskip("click", reason="the commands are not installed")
            run_shell(setup, tmp_path)
        server = programs[name.replace("client.py", "server.py")]
        printed = run_pair(server, programs[name], tmp_path)
    else:
        (tmp_path / name).write_text(programs[name], encoding="utf-8")
        printed = run_program(tmp_path / name)
    outputs = blocks(text, "text")
    assert steady(printed) == steady(outputs.get(f"output: {name}", printed))


def test_nothing_is_named_and_never_run() -> None:
    """Every server has a client, every output a program."""
    for text in MARKDOWN.values():
        programs = examples(text)
        for name in programs:
            assert name.replace("server.py", "client.py") in programs
        for name in blocks(text, "text"):
            assert name.removeprefix("output: ") in programs
