"""Everything can be imported without ``cryptography``, and says what is missing when used."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sealframe.noise import cipher

# Stands in for an environment where the package was never installed.
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cryptography":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())

import sealframe.noise.cipher, sealframe.noise.handshake, sealframe.trust.keys
from sealframe.errors import MissingExtraError
"""

# The same, with one that is too old for Argon2id.
OLD = """
import sys
sys.modules["cryptography.hazmat.primitives.kdf.argon2"] = None

import sealframe.noise.cipher, sealframe.noise.handshake, sealframe.trust.keys
from sealframe.errors import MissingExtraError
"""

# One that does not write into memory that it is given.
OLDER = """
import cryptography.hazmat.primitives.ciphers.aead as aead
aead.AESGCM = type("AESGCM", (), {})

import sealframe.noise.cipher, sealframe.noise.handshake, sealframe.trust.keys
from sealframe.errors import MissingExtraError
"""

USES = {
    "require": "sealframe.noise.cipher.require()",
    "cipher": "sealframe.noise.cipher.CipherState(bytes(32))",
    "keypair": "sealframe.noise.cipher.generate_keypair()",
    "public key": "sealframe.noise.cipher.public_key(bytes(32))",
    "agreement": "sealframe.noise.cipher.x25519(bytes(32), bytes(32))",
    "handshake": "sealframe.noise.handshake.Handshake('NNpsk0', initiator=True, psk=bytes(32))",
    "passphrase": "sealframe.trust.keys.SharedKey.from_passphrase('correct horse battery staple')",
}


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("missing", [BLOCKER, OLD, OLDER], ids=["missing", "old", "older"])
def test_each_use_names_the_extra(missing: str) -> None:
    script = missing
    for name, use in USES.items():
        # Twice, as the first failure must not be remembered as something else.
        for _ in range(2):
            script += (
                f"\ntry:\n    {use}\nexcept MissingExtraError as error:\n"
                f"    print({name!r}, error, sep=': ')\n"
            )
    result = run(script)
    text = (
        "sealing needs the cryptography package, version 48.0.1 or newer: "
        'run: pip install "sealframe[crypto]"'
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == [f"{name}: {text}" for name in USES for _ in range(2)]


def test_the_version_in_the_errors_is_the_one_that_the_extra_asks_for() -> None:
    metadata = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    needed = metadata["project"]["optional-dependencies"]["crypto"]
    assert f"cryptography>={cipher.MINIMUM_VERSION}" in needed


def test_keys_and_key_files_work_without(tmp_path: object) -> None:
    result = run(
        f"{BLOCKER}\nfrom sealframe.trust.keys import SharedKey\n"
        f"key = SharedKey.generate()\nkey.save({str(tmp_path)!r} + '/link.key')\n"
        f"print(SharedKey.load({str(tmp_path)!r} + '/link.key') == key)\n"
    )
    assert (result.stdout, result.stderr) == ("True\n", "")


def test_import_alone_does_not_load_it() -> None:
    result = run(
        "import sys, sealframe.noise.cipher, sealframe.noise.handshake, sealframe.trust.keys\n"
        "print([name for name in sys.modules if name.startswith('cryptography')])\n"
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")
