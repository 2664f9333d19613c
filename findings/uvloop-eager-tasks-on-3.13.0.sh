#!/bin/sh
# uvloop: on CPython 3.13.0, once the standard library's own asyncio.eager_task_factory is set, each
# create_task() of uvloop's event loop raises TypeError: uvloop hands the factory an argument
# "eager_start" that its caller has not given, and that this Python's factory does not take (from
# 3.14 on asyncio's create_task() has it). With asyncio's event loop the same program runs, and with
# uvloop on 3.12 it does, too.
#
# Wants python3.13 to be 3.13.0 (PYTHON names another path to it). Seen with uvloop 0.23.0 on Linux;
# this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check uvloop==0.23.0
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import platform
import sys

import uvloop


async def nothing():
    pass


async def main():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    work = nothing()
    try:
        await loop.create_task(work)
    except TypeError as error:
        return f"TypeError: {error}"
    finally:
        work.close()
        # Or the event loop could not even end.
        loop.set_task_factory(None)
    return "the task ran"


print(f"CPython {platform.python_version()}, uvloop {uvloop.__version__}, {sys.platform}")
seen = {}
for name, factory in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
    with asyncio.Runner(loop_factory=factory) as runner:
        seen[name] = runner.run(main())
    print(f"{name:8} {seen[name]}")
assert seen["asyncio"] == "the task ran", seen
assert "unexpected keyword argument 'eager_start'" in seen["uvloop"], seen
print("as described: uvloop alone refuses the eager task factory")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
