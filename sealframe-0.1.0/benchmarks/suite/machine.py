"""Where the figures come from."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import ssl
from pathlib import Path
from typing import Any, Final

import sealframe

_PACKAGES: Final = [
    "aiofastnet",
    "cryptography",
    "picows",
    "pyzmq",
    "twisted",
    "uvloop",
    "websockets",
]


def describe_machine() -> dict[str, Any]:
    """Return what the machine is; it has no name."""
    version = platform.release().partition("-")[0]
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {version}",
    }


def describe_python() -> dict[str, Any]:
    """Return what runs, and in which versions."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "openssl": ssl.OPENSSL_VERSION,
        "packages": dict(_versions()),
        "sealframe": sealframe.IMPLEMENTATION,
    }


def python() -> str:
    """Return the version in short, as results are told apart by it."""
    return ".".join(platform.python_version_tuple()[:2])


def _versions() -> list[tuple[str, str]]:
    versions = [("sealframe", sealframe.__version__)]
    for name in _PACKAGES:
        try:
            versions.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
