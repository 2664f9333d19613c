"""jsonlines: ``pip install jsonlines==4.0.0``."""

from __future__ import annotations

import io

import jsonlines

from .recording import Sent, package, save, stream


def main() -> None:
    """Write values; each is a line."""
    file = io.StringIO()
    with jsonlines.Writer(file) as writer:
        writer.write_all([{"name": "bolt"}, [], "a\nb", None, {"long": "n" * 300, "ä": 1.5}])
    sent = Sent("client", [file.getvalue().encode()])
    by = package("jsonlines")
    one = stream(sent, by, lambda data: data.index(b"\n") + 1)
    save("json-lines", "json-lines", __file__, [one])


main()
