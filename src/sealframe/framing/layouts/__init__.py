"""A catalogue of layouts of existing protocols, to be given as ``framing=``.

Each is a constant here, and has an :class:`Entry` that names its source and what peers do in
practice::

    from sealframe.framing.layouts import MODBUS_TCP, get

    client = sealframe.connect("192.0.2.7:502", framing=MODBUS_TCP)
    print(get("modbus-tcp").pipelining)

The tests hold the layouts to bytes that other programs made (:attr:`Entry.recorded`).
``sealframe layouts`` shows the same on the command line. Nothing of it is imported with
``sealframe`` itself.
"""

from __future__ import annotations

from typing import Final

from ...errors import ConfigurationError
from . import (
    administration,
    clusters,
    databases,
    desktop,
    games,
    home,
    industrial,
    medical,
    messaging,
    network,
    payments,
    positioning,
    routing,
    rpc,
    storage,
    telecom,
    text,
    vehicles,
)
from .administration import ADB, GELF_TCP, GIT, JDWP, PYTHON_LOGGING, SSH_AGENT, VARLINK, ZABBIX
from .clusters import EXECNET, GIOP, ICE, PYRO5, REDIS_CLUSTER_BUS, RPYC, SP_TCP, ZOOKEEPER
from .databases import (
    BOLT,
    CASSANDRA,
    CASSANDRA_V5,
    CASSANDRA_V5_COMPRESSED,
    MEMCACHED_BINARY,
    MONGODB,
    MYSQL,
    POSTGRESQL,
    RESP,
    TARANTOOL,
    TDS,
)
from .desktop import DBUS, NATIVE_MESSAGING, X11_REPLIES, X11_REQUESTS
from .entry import Entry
from .games import MINECRAFT, OSC_TCP, SOURCE_RCON
from .home import ESPHOME, MESHTASTIC
from .industrial import (
    AMS,
    DLMS,
    EPICS_CA,
    ETHERNET_IP,
    HSMS,
    IEC_104,
    KNXNET_IP,
    MODBUS_TCP,
    OPC_UA,
    SLMP,
    TPKT,
)
from .medical import DICOM, MLLP
from .messaging import (
    AMQP_0_9_1,
    AMQP_1_0,
    AMQP_1_0_SASL,
    BEANSTALK,
    GEARMAN,
    KAFKA,
    MILTER,
    MQTT,
    NATS,
    RABBITMQ_STREAM,
    STOMP,
    ZMTP,
)
from .network import (
    BGP,
    COAP_TCP,
    DNS_TCP,
    KERBEROS_TCP,
    LDAP,
    OPENFLOW,
    RADIUS_TCP,
    SNMP_TCP,
    STUN_TCP,
    SUN_RPC,
    SYSLOG_COUNTED,
    SYSLOG_LINES,
    TACACS_PLUS,
    TURN_TCP,
)
from .payments import FIX, ISO_8583_ASCII, ISO_8583_BCD, ISO_8583_BINARY, ISO_8583_BINARY_4
from .positioning import RTCM_3, SBF, UBX
from .routing import FRAME_STREAMS, IPFIX, RTR
from .rpc import (
    CAPNP,
    ERLANG_PACKET_1,
    ERLANG_PACKET_2,
    ERLANG_PACKET_4,
    FASTCGI,
    GRPC,
    HTTP_2,
    MULTIPROCESSING,
    PROTOBUF_DELIMITED,
    RSOCKET,
    THRIFT,
    TWISTED_INT16,
    TWISTED_INT32,
    WEBSOCKET,
)
from .storage import BITCOIN, BITTORRENT, ISCSI, NBD, PLAN_9, SFTP, SMB
from .telecom import DIAMETER, SIP, SMPP
from .text import DAP, JSON_LINES, LSP, NETSTRING, RTSP
from .vehicles import DOIP, MAVLINK, SOMEIP, TCPROS

__all__ = [
    "ADB",
    "AMQP_0_9_1",
    "AMQP_1_0",
    "AMQP_1_0_SASL",
    "AMS",
    "BEANSTALK",
    "BGP",
    "BITCOIN",
    "BITTORRENT",
    "BOLT",
    "CAPNP",
    "CASSANDRA",
    "CASSANDRA_V5",
    "CASSANDRA_V5_COMPRESSED",
    "COAP_TCP",
    "DAP",
    "DBUS",
    "DIAMETER",
    "DICOM",
    "DLMS",
    "DNS_TCP",
    "DOIP",
    "ENTRIES",
    "EPICS_CA",
    "ERLANG_PACKET_1",
    "ERLANG_PACKET_2",
    "ERLANG_PACKET_4",
    "ESPHOME",
    "ETHERNET_IP",
    "EXECNET",
    "FASTCGI",
    "FIELDS",
    "FIX",
    "FRAME_STREAMS",
    "GEARMAN",
    "GELF_TCP",
    "GIOP",
    "GIT",
    "GRPC",
    "HSMS",
    "HTTP_2",
    "ICE",
    "IEC_104",
    "IPFIX",
    "ISCSI",
    "ISO_8583_ASCII",
    "ISO_8583_BCD",
    "ISO_8583_BINARY",
    "ISO_8583_BINARY_4",
    "JDWP",
    "JSON_LINES",
    "KAFKA",
    "KERBEROS_TCP",
    "KNXNET_IP",
    "LDAP",
    "LSP",
    "MAVLINK",
    "MEMCACHED_BINARY",
    "MESHTASTIC",
    "MILTER",
    "MINECRAFT",
    "MLLP",
    "MODBUS_TCP",
    "MONGODB",
    "MQTT",
    "MULTIPROCESSING",
    "MYSQL",
    "NATIVE_MESSAGING",
    "NATS",
    "NBD",
    "NETSTRING",
    "OPC_UA",
    "OPENFLOW",
    "OSC_TCP",
    "PLAN_9",
    "POSTGRESQL",
    "PROTOBUF_DELIMITED",
    "PYRO5",
    "PYTHON_LOGGING",
    "RABBITMQ_STREAM",
    "RADIUS_TCP",
    "REDIS_CLUSTER_BUS",
    "RESP",
    "RPYC",
    "RSOCKET",
    "RTCM_3",
    "RTR",
    "RTSP",
    "SBF",
    "SFTP",
    "SIP",
    "SLMP",
    "SMB",
    "SMPP",
    "SNMP_TCP",
    "SOMEIP",
    "SOURCE_RCON",
    "SP_TCP",
    "SSH_AGENT",
    "STOMP",
    "STUN_TCP",
    "SUN_RPC",
    "SYSLOG_COUNTED",
    "SYSLOG_LINES",
    "TACACS_PLUS",
    "TARANTOOL",
    "TCPROS",
    "TDS",
    "THRIFT",
    "TPKT",
    "TURN_TCP",
    "TWISTED_INT16",
    "TWISTED_INT32",
    "UBX",
    "VARLINK",
    "WEBSOCKET",
    "X11_REPLIES",
    "X11_REQUESTS",
    "ZABBIX",
    "ZMTP",
    "ZOOKEEPER",
    "Entry",
    "get",
    "search",
]

FIELDS: Final[dict[str, tuple[Entry, ...]]] = {
    "Industry": industrial.ENTRIES,
    "Vehicles and robots": vehicles.ENTRIES,
    "Satellites": positioning.ENTRIES,
    "Medicine": medical.ENTRIES,
    "Payments and trading": payments.ENTRIES,
    "Telecommunications": telecom.ENTRIES,
    "Networks": network.ENTRIES,
    "Routers and name servers": routing.ENTRIES,
    "Databases": databases.ENTRIES,
    "Clusters and distant objects": clusters.ENTRIES,
    "Messaging": messaging.ENTRIES,
    "Calls and streams": rpc.ENTRIES,
    "Text": text.ENTRIES,
    "Games and stages": games.ENTRIES,
    "Radios and sensors at home": home.ENTRIES,
    "Desktop": desktop.ENTRIES,
    "Storage and networks of equals": storage.ENTRIES,
    "Administration": administration.ENTRIES,
}
"""The entries by field."""

ENTRIES: Final[tuple[Entry, ...]] = tuple(entry for field in FIELDS.values() for entry in field)
"""All entries, field by field."""

_BY_NAME: Final = {entry.name: entry for entry in ENTRIES}


def get(name: str) -> Entry:
    """Return the entry of this name; case, and whether ``-`` or ``_`` is written, do not matter.

    :raises ConfigurationError: there is none
    """
    try:
        return _BY_NAME[name.lower().replace("_", "-")]
    except KeyError:
        found = search(name)
        hint = f"; did you mean {', '.join(e.name for e in found)}?" if found else ""
        raise ConfigurationError(
            f"no layout is called {name!r}{hint or '; sealframe layouts lists all'}"
        ) from None


def search(text: str) -> list[Entry]:
    """Return the entries that have every word of ``text`` in their name, title, source or notes,
    or are spoken on the port that it names. Case does not matter.

    Those that have it in their name come first.
    """
    words = text.lower().replace("_", "-").split()
    found = [entry for entry in ENTRIES if all(_has(entry, word) for word in words)]
    return sorted(found, key=lambda entry: not all(word in entry.name for word in words))


def _has(entry: Entry, word: str) -> bool:
    if word.isdecimal() and int(word) in entry.ports:
        return True
    texts = (entry.name, entry.title, entry.source, entry.notes)
    return any(word in text.lower() for text in texts)
