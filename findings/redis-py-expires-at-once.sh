#!/bin/sh
# redis-py: expire() sets a key to expire after a time that "can be represented by an integer or a Python
# timedelta object" (its docstring). Of a timedelta it sends the whole seconds: "in half a second" is
# "in 0 seconds", upon which Redis deletes the key at once, and expire() returns True. 1.9 seconds are
# one. pexpire(), of the same docstring, keeps the milliseconds, so the caller has no way to tell
# from the argument. set(ex=...) with the same timedelta raises, since the server refuses 0 there.
#
# Seen with redis-py 8.1.0 and Redis 7.0 on CPython 3.11; this prints what it sees, and fails where that
# changes. It needs redis-server.
set -eu
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill $server; wait $server || true; }; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check redis==8.1.0
redis-server --port 0 --unixsocket "$folder/socket" --save "" --dir "$folder" --logfile "$folder/log" &
server=$!
cat > "$folder/program.py" <<'PROGRAM'
import datetime
import platform
import sys

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

# The server may have only begun to start.
retry = Retry(ConstantBackoff(0.1), 100)
client = redis.Redis(unix_socket_path=sys.argv[1], retry=retry, decode_responses=True)
client.ping()
print(f"redis-py {redis.__version__}, Redis {client.info('server')['redis_version']}, CPython {platform.python_version()}")

seen = {}
for name, set_expiry in (("expire", client.expire), ("pexpire", client.pexpire)):
    for seconds in (0.5, 1.9, 60):
        client.set("key", "value")
        said = set_expiry("key", datetime.timedelta(seconds=seconds))
        left = client.pttl("key")
        print(f"{name:7} in {seconds:4} s: returns {said}; {'the key is gone' if left == -2 else f'{left} ms are left'}")
        seen[name, seconds] = said, left
try:
    client.set("key", "value", ex=datetime.timedelta(seconds=0.5))
except redis.ResponseError as error:
    print(f"set(ex=0.5 s): ResponseError: {error}")
assert seen["expire", 0.5] == (True, -2), seen
assert seen["expire", 1.9][1] <= 1000, seen
assert all(left > 1000 * seconds - 400 for (name, seconds), (_, left) in seen.items() if name == "pexpire"), seen
print("as described: expire() of less than a second deletes")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py" "$folder/socket"
