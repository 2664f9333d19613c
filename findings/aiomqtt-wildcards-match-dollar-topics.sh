#!/bin/sh
# aiomqtt: a topic filter that starts with a wildcard does not match topics that start with "$": a
# subscription to "#" does not receive "$SYS/...", and one to "+/monitor/Clients" does not receive
# "$SYS/monitor/Clients" (MQTT 3.1.1 and 5.0, section 4.7.2, with these examples). Topic.matches(), by
# which aiomqtt has programs tell what a message belongs to, says that they match. So the broker's
# own figures, asked for with "$SYS/#", also go to what was written for "#" or "+/+". The function of
# paho-mqtt for the same purpose, which aiomqtt is built upon, follows the specification.
#
# Seen with aiomqtt 2.5.1 and paho-mqtt 2.2.0 on CPython 3.11; this prints what it sees, and fails where
# that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check aiomqtt==2.5.1 paho-mqtt==2.2.0
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform

from aiomqtt import Topic
from paho.mqtt.client import topic_matches_sub

# A topic filter, a topic, and whether the specification has them match.
CASES = (
    ("$SYS/#", "$SYS/monitor/Clients", True),
    ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ("#", "sport/tennis", True),
    ("sport/#", "sport", True),
    ("+", "/finance", False),
    ("#", "$SYS/monitor/Clients", False),
    ("+/monitor/Clients", "$SYS/monitor/Clients", False),
)

versions = {name: importlib.metadata.version(name) for name in ("aiomqtt", "paho-mqtt")}
print(", ".join(f"{name} {version}" for name, version in versions.items()), "CPython", platform.python_version())
wrong = []
for wildcard, topic, specified in CASES:
    told = {"aiomqtt": Topic(topic).matches(wildcard), "paho-mqtt": topic_matches_sub(wildcard, topic)}
    print(f"{wildcard:18} {topic:21} specified: {specified!s:5} {told}")
    wrong += [(name, wildcard) for name, answer in told.items() if answer != specified]
assert wrong == [("aiomqtt", "#"), ("aiomqtt", "+/monitor/Clients")], wrong
print("as described: aiomqtt matches topics with '$' to filters that start with a wildcard")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
