"""From the arguments of ``sealframe decrypt`` to its output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ..captures.following import Followed, Following
from ..captures.reading import is_packets, nothing
from ..captures.reassembly import CONNECTIONS, Segment
from ..captures.stream import CaptureError
from ..diagnosis.dump import counted
from ..errors import Exit, complain
from ..output import Output
from . import key_lines, printing
from .dialogue import Dialogue, Frame, Kind
from .key_lines import Keys

Show = Callable[[Followed, Dialogue, Frame], None]


def decrypt(
    capture: Path, key_log: Path | None, *, for_programs: bool, written: Path | None
) -> Exit:
    """Print what was said in a capture.

    :param key_log: None for plain connections alone
    :param for_programs: print JSON
    :param written: a new file that gets the frames in place of stdout
    :return: whether all of it could be read
    :raises CaptureError: there is nothing of sealframe in it, or it is no capture
    :raises MissingExtraError: what reads captures is not installed
    """
    from ..captures.packets import PacketFile, SegmentReader

    keys = key_lines.read(key_log) if key_log is not None else {}
    with ExitStack() as stack:
        file = stack.enter_context(capture.open("rb"))
        if not is_packets(file.read(12)):
            raise CaptureError(f"{capture} is no capture of packets (pcap or pcapng)")
        segments = SegmentReader(PacketFile(file))
        reading = _Reading(keys)
        if written is None:
            reading.read(segments, _printer(for_programs=for_programs))
        else:
            from .writing import frame_file

            frames = stack.enter_context(frame_file(written))
            reading.read(segments, lambda followed, _, frame: frames.write(followed, frame))
            if frames.cut:
                complain(
                    f"{counted(frames.cut, 'frame')} larger than a packet may be, cut in "
                    f"{written}; without -w they are whole"
                )
        if fragments := segments.seen["fragment"]:
            complain(f"{counted(fragments, 'fragment')} of IP left out")
        why_nothing = nothing(segments, len(reading.following.connections))
        return reading.conclude(segments.fault, why_nothing)


def _printer(*, for_programs: bool) -> Show:
    output = Output()
    met: set[int] = set()

    def show(followed: Followed, dialogue: Dialogue, frame: Frame) -> None:
        if for_programs:
            output.line(printing.as_json(followed, frame))
            return
        if followed.number not in met:
            met.add(followed.number)
            output.line(printing.introduced(followed, dialogue, frame.time), "bold")
        output.line(printing.line(followed, frame))

    return show


class _Reading:
    """Goes through a capture once."""

    def __init__(self, keys: Mapping[bytes, Sequence[Keys]]) -> None:
        self._keys = keys
        self._dialogues: dict[int, Dialogue] = {}
        self.following = Following()

    def read(self, segments: Iterable[Segment], show: Show) -> None:
        """Show each frame."""
        for segment in segments:
            for followed, sender, data, time in self.following.take(segment):
                dialogue = self._dialogues.get(followed.number)
                if dialogue is None:
                    dialogue = self._dialogues[followed.number] = Dialogue(self._keys)
                for frame in dialogue.take(sender, data, time):
                    show(followed, dialogue, frame)

    def conclude(self, fault: str, why_nothing: str) -> Exit:
        """Say what could not be read, a line each.

        :param fault: why reading the file ended early
        :param why_nothing: what to say where there was no connection
        """
        faults = [fault] if fault else []
        if skipped := self.following.skipped:
            faults.append(
                f"{counted(skipped, 'segment')} left out, of connections beyond the first "
                f"{CONNECTIONS:,}: cut the capture into smaller ones"
            )
        others = ours = 0
        for followed in self.following.connections:
            dialogue = self._dialogues.get(followed.number)
            if dialogue is None:
                continue
            if dialogue.kind in (Kind.SEALED, Kind.EXTENDED):
                ours += 1
                faults += [f"{printing.named(followed)}: {text}" for text in dialogue.faults]
                faults += [f"{printing.named(followed)}: {text}" for text in _gaps(followed)]
                faults += [
                    f"{printing.named(followed)}: {text}" for text in _open_ends(followed, dialogue)
                ]
            elif not followed.tcp.opened:
                faults.append(
                    f"{printing.named(followed)}: the capture begins in the middle of it, so that "
                    "it cannot be read: begin to capture before it connects"
                )
            else:
                others += 1
        if not self._dialogues:
            raise CaptureError(why_nothing)
        if others:
            complain(
                f"{counted(others, 'other connection')} left out: none begins as those of "
                "sealframe do that are sealed or extended"
            )
        if not ours and not faults:
            raise CaptureError("there is no connection of sealframe in this capture")
        for text in faults:
            complain(text)
        return Exit.FAILED if faults else Exit.DONE


def _gaps(followed: Followed) -> list[str]:
    why = (
        "the capture cut its packets (take it with tcpdump -s 0)"
        if followed.tcp.cut
        else "segments are missing in the capture"
    )
    return [f"{why}: what the {sender} sent was read up to there" for sender in followed.gaps]


def _open_ends(followed: Followed, dialogue: Dialogue) -> list[str]:
    gaps = followed.gaps
    return [
        f"what the {sender} sent may go on behind the end of the capture: no CLOSE, FIN or RST of "
        f"the {sender} is in it"
        for sender in followed.open
        if sender not in gaps and dialogue.may_go_on(sender)
    ]
