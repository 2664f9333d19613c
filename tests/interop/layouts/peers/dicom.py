"""pynetdicom."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import PatientRootQueryRetrieveInformationModelFind, Verification

NAMES = ["DOE^JANE", "ROE^RICHARD"]


def find(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
    """Answer a query with two patients."""
    del event
    for name in NAMES:
        found = Dataset()
        found.QueryRetrieveLevel = "PATIENT"
        found.PatientName = name
        yield 0xFF00, found


def main() -> None:
    """Associate, echo, find, release."""
    provider, user = AE(), AE()
    for context in (Verification, PatientRootQueryRetrieveInformationModelFind):
        provider.add_supported_context(context)
        user.add_requested_context(context)
    server = provider.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)]
    )
    print(server.socket.getsockname()[1], flush=True)
    association = user.associate("127.0.0.1", int(input()))
    assert association.is_established
    assert association.send_c_echo().Status == 0
    query = Dataset()
    query.QueryRetrieveLevel = "PATIENT"
    query.PatientName = "*"
    answers = association.send_c_find(query, PatientRootQueryRetrieveInformationModelFind)
    found = [str(data.PatientName) for status, data in answers if data is not None]
    assert found == NAMES, found
    association.release()
    assert association.is_released
    server.shutdown()


if __name__ == "__main__":
    main()
