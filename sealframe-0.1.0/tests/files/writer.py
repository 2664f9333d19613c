"""A program that receives a file from nobody: ``python writer.py DIRECTORY NAME TOTAL [LIMIT]``.

Writes a chunk for each line on its standard input, and says so. A line "finish" ends it. No file
may become larger than the limit, in bytes.
"""

from __future__ import annotations

import hashlib
import sys

from sealframe.errors import FileRefusedError
from sealframe.files.store import Store

KEY = bytes(range(32))
CHUNK = bytes(range(256)) * 16


def main(directory: str, name: str, total: str, limit: str = "") -> None:
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        partial = Store(directory, keep_free=0).begin(name, int(total), KEY)
        print("begun", partial.size, flush=True)
        for line in sys.stdin:
            if line == "finish\n":
                digest = hashlib.sha256(CHUNK * (int(total) // len(CHUNK))).digest()
                partial.finish(digest)
                print("finished", flush=True)
                break
            partial.write(CHUNK)
            print("written", partial.size, flush=True)
    except FileRefusedError as error:
        print("refused", error.code, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
