"""pynetdicom, service class user and provider: ``pip install pynetdicom==3.0.4``."""

from __future__ import annotations

import struct

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import PatientRootQueryRetrieveInformationModelFind, Verification

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """PS3.8, 9.3.1: type, reserved, four bytes of length."""
    return 6 + int(struct.unpack_from(">I", data, 2)[0])


def find(event: evt.Event) -> object:
    """Answer a query with two patients."""
    del event
    for name in ("DOE^JANE", "ROE^RICHARD"):
        found = Dataset()
        found.QueryRetrieveLevel = "PATIENT"
        found.PatientName = name
        yield 0xFF00, found


def main() -> None:
    """Echo, find, release."""
    provider = AE()
    provider.add_supported_context(Verification)
    provider.add_supported_context(PatientRootQueryRetrieveInformationModelFind)
    port = free_port()
    server = provider.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_FIND, find)]
    )
    tap = Tap(("127.0.0.1", port))
    user = AE()
    user.add_requested_context(Verification)
    user.add_requested_context(PatientRootQueryRetrieveInformationModelFind)
    association = user.associate("127.0.0.1", tap.port)
    association.send_c_echo()
    query = Dataset()
    query.QueryRetrieveLevel = "PATIENT"
    query.PatientName = "*"
    list(association.send_c_find(query, PatientRootQueryRetrieveInformationModelFind))
    association.release()
    server.shutdown()
    by = package("pynetdicom")
    [connection] = tap.connections
    save(
        "dicom",
        "dicom",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
