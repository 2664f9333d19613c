"""What holds for every test: no nonce is ever used twice under one key."""

from __future__ import annotations

import argparse
import gc
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from compiled import check_built
from example_counts import examples
from hypothesis import settings
from nonce_recorder import NonceRecorder
from parameter_sets import part, tried
from ports import reserved_port

import sealframe

recorder = NonceRecorder()

# How long an example takes says nothing here, least of all on a busy machine.
settings.register_profile("sealframe", deadline=None, max_examples=examples(100))
settings.load_profile("sealframe")


@pytest.fixture
def port() -> Iterator[int]:
    """A port of 127.0.0.1 that is the test's own, and on which nobody listens yet."""
    with reserved_port() as port:
        yield port


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", type=_part, default=(1, 1), help="of the sets of parameters: 2/5")


def _part(text: str) -> tuple[int, int]:
    try:
        return part(text)
    except ValueError as error:
        # Of other errors only the name of this function would be told.
        raise argparse.ArgumentTypeError(str(error)) from None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "fixed_keys(reason): seals under keys that other seals used too, known answers for "
        "example; its nonces are not recorded",
    )
    check_built()
    if sealframe.IMPLEMENTATION == "python":
        # Or each program that a test starts would say that it lacks what is compiled.
        os.environ["SEALFRAME_NO_EXTENSIONS"] = "1"
    recorder.install()
    # A process that ignores SIGINT, as in a shell's background, hands that down: what a test starts
    # would go on after Ctrl-C, and the test wait for its end.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# After -k and -m: of what these leave of a test, a part is tried.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("fixed_keys"):
            if not marker.kwargs.get("reason"):
                raise pytest.UsageError(f"{item.nodeid}: fixed_keys needs reason=...")
    run = tried((item.nodeid for item in items), *config.getoption("part"))
    if left_out := [item for item in items if item.nodeid not in run]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid in run]


def pytest_collection_finish() -> None:
    # Many tests collect garbage, and would go through these thousands of tests each time.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    recorder.active = item.get_closest_marker("fixed_keys") is None
    return (yield from _checked())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _checked())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    return (yield from _checked())


def _checked() -> Generator[None, object, object]:
    result = yield
    if found := recorder.take_violations():
        pytest.fail(
            "\n".join([*found, "A test that does this on purpose is marked fixed_keys(reason)."]),
            pytrace=False,
        )
    return result
