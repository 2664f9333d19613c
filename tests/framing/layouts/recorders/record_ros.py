"""rospy, a publisher and a subscriber: ``apt-get install python3-rospy python3-rosmaster``.

Run with Debian's own Python.
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from .helping import debian, running
from .recording import Tap, free_port, save, stream, wait_for

PUBLISHER = """
import rospy
from std_msgs.msg import String
rospy.init_node("talker", disable_signals=True)
topic = rospy.Publisher("/chatter", String, queue_size=9)
while not topic.get_num_connections():
    rospy.rostime.wallsleep(0.05)
for text in ("turn", "", "a longer text " * 30, "end"):
    topic.publish(text)
rospy.rostime.wallsleep(30)
"""


def size_of(data: bytes) -> int:
    """4 bytes of length, little-endian, before the header and before each message."""
    return 4 + int.from_bytes(data[:4], "little")


def main() -> None:
    """Subscribe through a proxy: the publisher's address is asked for over XML-RPC."""
    from xmlrpc.client import ServerProxy

    import rospy
    from std_msgs.msg import String

    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{port}"
        os.environ.update(
            ROS_MASTER_URI=url, ROS_IP="127.0.0.1", ROS_LOG_DIR=folder, ROS_HOME=folder
        )
        with running("rosmaster", "--core", "-p", str(port)):
            wait_for(port)
            with running(sys.executable, "-c", PUBLISHER):
                rospy.init_node("listener", disable_signals=True)
                master: Any = ServerProxy(url)
                while True:
                    _, _, (publishers, _, _) = master.getSystemState("/record")
                    if ["/chatter", ["/talker"]] in publishers:
                        break
                _, _, node = master.lookupNode("/record", "/talker")
                talker: Any = ServerProxy(node)
                _, _, (_, host, own) = talker.requestTopic("/record", "/chatter", [["TCPROS"]])
                tap = Tap((host, own))
                heard: list[str] = []
                from rospy.impl import tcpros_base

                connect = tcpros_base.TCPROSTransport.connect

                def through(self: Any, address: str, _port: int, *rest: Any, **named: Any) -> Any:
                    return connect(self, address, tap.port, *rest, **named)

                tcpros_base.TCPROSTransport.connect = through
                rospy.Subscriber("/chatter", String, lambda message: heard.append(message.data))
                while len(heard) < 4:
                    rospy.rostime.wallsleep(0.05)
    [passed] = tap.connections
    by = debian("python3-rospy", "rospy")
    streams = [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("tcpros", "tcpros", __file__, streams)
    os._exit(0)


main()
