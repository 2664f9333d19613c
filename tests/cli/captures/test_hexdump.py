r"""Bytes as people paste them are found again: dumps, literals, digits, packets in dumps."""

from __future__ import annotations

import base64
import io
import random
import shutil
import subprocess
import time
import tracemalloc
from pathlib import Path

import pytest

from sealframe.cli.captures import cells, hexdump, literals, reading
from sealframe.cli.captures.stream import WINDOW, CaptureError, Stream

from .building import CLIENT, SERVER, Talk, ethernet, packet

# Characters that look like hex digits stand beside the bytes, and the last row is short.
DATA = b"\x00\x00\x00\x05hello abcd  beef" + bytes(range(190, 256)) + b"00 11 22 33\n" + bytes(99)


def find(text: str) -> list[Stream]:
    return reading.read(io.BytesIO(text.encode()), "text")


def one(text: str) -> bytes:
    (stream,) = find(text)
    return stream.data


def rows(layout: str) -> str:
    """Return the data as a tool writes it."""
    return "\n".join(row(layout, at, DATA[at : at + 16]) for at in range(0, len(DATA), 16))


def row(layout: str, at: int, part: bytes) -> str:
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
    pairs = part.hex(" ")
    match layout:
        case "xxd":
            return f"{at:08x}: {part.hex(' ', -2):<39}  {shown}"
        case "hexdump -C":
            return f"{at:08x}  {pairs[:23]}  {pairs[24:]}".ljust(60) + f"|{shown}|"
        case "wireshark":
            return f"{at:04x}   {pairs:<47}   {shown}"
        case "collapsed":
            return f"{at:04x} {pairs} {shown}"
        case "tcpdump":
            return f"\t0x{at:04x}:  {part.hex(' ', -2):<39}  {shown}"
        case "gdb":
            numbers = "".join(f"\t0x{byte:02x}" for byte in part)
            return f"0x{0x7FFE0000 + at:x} <buffer+{at}>:{numbers}"
        case "decimal":
            return f"{at:06d}  {pairs}"
    raise ValueError(layout)


@pytest.mark.parametrize(
    "layout", ["xxd", "hexdump -C", "wireshark", "tcpdump", "gdb", "decimal", "collapsed"]
)
@pytest.mark.parametrize("prose", [False, True])
def test_rows_with_offsets(layout: str, prose: bool) -> None:
    text = rows(layout)
    if prose:
        text = f"Hello,\nI get this from the device:\n\n{text}\n\nWhere is the length?\n"
    (stream,) = find(text)
    assert stream.data == DATA
    assert stream.notes[0].startswith(f"read as a dump of {len(DATA)} bytes")


@pytest.mark.parametrize(
    "command",
    [
        *("xxd", "xxd -g1", "xxd -c 8 -g 1", "xxd -u", "xxd -p", "xxd -i", "xxd -b"),
        *("xxd -e", "xxd -e -g2", "xxd -e -g8", "xxd -g4"),
        *("hexdump", "hexdump -C", "hexdump -v", "hexdump -c"),
        *("hexdump -b", "hexdump -d", "hexdump -o", "hexdump -x"),
        *("od -c", "od -A x -c", "od -A d -c", "od -w8 -c"),
        *("od -d", "od -s", "od -i", "od -l", "od -X", "od -O", "od -t d1", "od -t u4"),
        *("od -t o8", "od -t x8", "od -A x -t x4", "od -w4 -t x4", "od -t x4z", "od -A x -x"),
        *(
            "od",
            "od -x",
            "od -b",
            "od -t x1",
            "od -A x -t x1z",
            "od -A d -t x1",
            "od -v -A n -t x1",
        ),
    ],
)
def test_the_tools_themselves(command: str, tmp_path: Path) -> None:
    name, *options = command.split()
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "data").write_bytes(DATA)
    shown = subprocess.run([name, *options, "data"], cwd=tmp_path, capture_output=True, check=True)
    assert one(shown.stdout.decode()) == DATA


OPTIONS = [
    *("od -c", "od -A d -c", "od -A x -c", "od -A n -c", "od -v -c", "od -w8 -c", "od -j 4 -c"),
    *("od -a", "od -A x -a", "od -t u1", "od -A x -t u1", "od -w8 -t u1", "od -j 4 -t u1"),
    *("od -t x1", "od -A d -t x1", "od -A x -t x1", "od -t x1z", "od -w8 -t x1", "od -j 4 -t x1"),
    *("od -A x -x", "od -A d -t x4", "od -w12 -t u2", "od -i", "od -t u8", "od -l"),
    *("hexdump -c", "hexdump -v -c", "hexdump -C", "hexdump -b", "hexdump -d", "xxd", "xxd -g4"),
]


@pytest.mark.parametrize("command", OPTIONS)
def test_what_a_tool_prints_is_read_right_or_not_at_all(command: str) -> None:
    name, *options = command.split()
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    source = random.Random(command)
    for alphabet in (b"ab \n\xc3\xa9", b"0123456789 ", bytes(range(256)), b"\0" * 9 + b"\1 "):
        data = b"\0\0\0\5" + bytes(source.choices(alphabet, k=source.randrange(1, 120)))
        # Rows that are left out, too.
        data += bytes([data[-1]]) * source.choice([0, 0, 50])
        shown = subprocess.run([name, *options], input=data, capture_output=True, check=True)
        try:
            streams = hexdump.read(shown.stdout.decode())
        except CaptureError:
            continue
        expected = data[4:] if "-j" in options else data
        for stream in streams:
            assert stream.data == expected or stream.notes, shown.stdout


CELLS = b"\0\0\0\x05hello   of \xc3\xa9\n" + b" " * 48 + b"ab \\ 12"


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "spaces-cut-off"])
@pytest.mark.parametrize("command", ["od -c", "hexdump -c"])
def test_characters_in_cells(command: str, cut: bool, tmp_path: Path) -> None:
    """Spaces at the end of rows are bytes, and a paste may lack them."""
    name, *options = command.split()
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "data").write_bytes(CELLS)
    shown = subprocess.run([name, *options, "data"], cwd=tmp_path, capture_output=True, check=True)
    text = shown.stdout.decode()
    if cut:
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    assert one(text) == CELLS
    assert one("What is this?\n" + text.replace("\n", "\n    ")) == CELLS


def test_cells_whose_offsets_do_not_fit_are_no_dump() -> None:
    rows = "0000000   a   b\n0000001   c   d\n0000003\n"
    assert one(rows) == rows.encode()


@pytest.mark.parametrize(
    ("text", "data"),
    [
        # Decimal and hexadecimal offsets that could be others, with spaces put in.
        (
            "0000000  \\0  \\0  \\0 005   h   e   l   l   o\n0000009 303 251\n0000011\n",
            b"\0\0\0\5hello\xc3\xa9",
        ),
        (
            "000000  \\0" + "  \\0" * 15 + "\n*\n000040   e   n   d\n000043\n",
            bytes(64) + b"end",
        ),
        ("0000000   h   i   !  \\n" + " " * 48 + "\n0000004\n", b"hi!\n"),
        ("0000000   a   b   c" + "    " * 13 + "\n0000010\n", b"abc" + b" " * 13),
        # Small numbers are no characters, and numbers of three digits not octal.
        ("0000000   0   0   0   5 104 101   1 100\n0000010\n", b"\0\0\0\5he\1d"),
        ("0000000  72  69  76\n0000003\n", b"HEL"),
    ],
)
def test_offsets_and_cells_that_could_be_read_otherwise(text: str, data: bytes) -> None:
    assert [stream.data for stream in cells.read(text)] == [data]


@pytest.mark.parametrize(
    "text",
    [
        # od -a, of which one row has names alone.
        "0000000   a   b   c   d\n0000004   q  sp   r   s\n0000010   t   u\n0000012\n",
        # More spaces than a row has.
        "0000000   a  \\n\n0000016 303 251\n0000100\n",
        # Lines of a table.
        "1000000   a   b\n1000002   c\n",
        "0000000   0   5   1\n0000003\n",
        "0000000   5 200\n0000002\n",
    ],
)
def test_cells_that_may_be_something_else_are_not_read(text: str) -> None:
    assert cells.read(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "000000   1   8   5\n000003\n",
        "000000 nul nul enq   a\n000004\n",
        "0000000 -22077\n0000003\n",
        # od -An -c, whose letters are no hexadecimal digits.
        "   a   a   a   a   b   a   c   a   a\n",
    ],
)
def test_offsets_of_a_dump_that_cannot_be_read_are_no_bytes(text: str) -> None:
    with pytest.raises(CaptureError, match="there are no bytes"):
        hexdump.read(text)


def test_hexadecimal_digits_above_characters_are_no_decimal_ones() -> None:
    text = "0000000  31  38  35  34\n          1   8   5   4\n0000004  32\n          2\n0000005\n"
    assert cells.read(text) == []


def test_rows_left_out_of_cells_say_how_their_offsets_were_read() -> None:
    (stream,) = cells.read("0000000" + "  \\0" * 16 + "\n*\n0000040\n")
    assert stream.data == bytes(32)
    (note,) = stream.notes
    assert "read as octal numbers; as hexadecimal ones they would make 64 bytes" in note


def test_cells_stand_for_no_more_than_is_looked_at() -> None:
    rows = (f"{at:08x}" + "  \\0" * 16 for at in range(0, 60 * 0xFFFF0, 0xFFFF0))
    tracemalloc.start()
    try:
        (stream,) = cells.read("\n*\n".join(rows))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(stream.data) == WINDOW
    assert "only the first" in stream.notes[0]
    assert peak < 8 * WINDOW


def test_characters_behind_the_last_escape_of_a_line_are_bytes() -> None:
    (stream,) = find("I get this:\n\n  \\x00\\x00\\x05hello\n\\x00\\x00\\x02ok\nWhy?\n")
    assert list(stream.parts) == [b"\0\0\x05hello", b"\0\0\x02ok"]
    assert one("It said \\x00\\x05ab\\x01 and closed") == b"\0\x05ab\x01"


SHORT = b"\x00\x00\x00\x05hello\xff"


@pytest.mark.parametrize(
    "text",
    [
        "000000000568656c6c6fff"[2:],
        "00 00 00 05 68 65 6c 6c 6f ff",
        "00:00:00:05:68:65:6C:6C:6F:FF",
        "00-00-00-05-68-65-6C-6C-6F-FF",
        "0000 0005 6865 6c6c 6fff",
        "00000005 68656c6c 6fff",
        "0x00000005 68656c6c6fff",
        "Received 10 bytes: 00 00 00 05 68 65 6c 6c 6f ff",
        "<Buffer 00 00 00 05 68 65 6c 6c 6f ff>",
        "0x00, 0x00, 0x00, 0x05, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0xff",
        "0x0 0x0 0x0 0x5 0x68 0x65 0x6c 0x6c 0x6f 0xff",
        "SEND: 0x0 0x0 0x0 0x5 0x68 0x65 0x6c 0x6c 0x6f 0xff",
        "unsigned char buf[] = { 0x00, 0x00, 0x00, 0x05,\n  0x68, 0x65, 0x6c, 0x6c, 0x6f, 0xff };",
        "byte[] b = {0, 0, 0, 5, 104, 101, 108, 108, 111, (byte)0xff};",
        "[0, 0, 0, 5, 104, 101, 108, 108, 111, -1]",
        "[0 0 0 5 104 101 108 108 111 255]",
        "<<0,0,0,5,104,101,108,108,111,255>>",
        r"b'\x00\x00\x00\x05hello\xff'",
        r"data = bytearray(b'\x00\x00\x00\x05hello\xff')",
        r'"\x00\x00\x00\x05\x68\x65" \ ' + "\n" + r'"\x6c\x6c\x6f\xff"',
        r"\x00\x00\x00\x05\x68\x65\x6c\x6c\x6f\xff",
        r"'\u0000\u0000\u0000\u0005hello\xff'",
        r'b"\0\0\0\005hello\377"',
        "0 0 0 5 68 65 6c 6c 6f ff",
        "Data: 0 0 0 5 104 101 108 108 111 255",
        "2026-11-30 12:30:01.250 RX 00 00 00 05 68 65 6c 6c 6f ff",
        "It sends `00 00 00 05 68 65 6c 6c 6f ff`, and then nothing.",
        "0000   00 00 00 05 68 65 6c 6c 6f ff   ....hello.",
        "00000000: 0000 0005 6865 6c6c 6fff            ....hello.",
        "0000000 0000 0500 6568 6c6c ff6f\n000000a",
        'data = bytes.fromhex("000000 05 68656c6c6fff")',
        'raw = hex_to_bytes("0x0000000568656c6c6fff")',
        'raw = hex_to_bytes("0x00000005 0x68656c6c 0x6fff")',
        r"\x{00}\x{00}\x{00}\x{05}\x{68}\x{65}\x{6c}\x{6c}\x{6f}\x{ff}",
        r'read(3, "\0\0\0\5hello\377", 512) = 10',
        "00h 00h 00h 05h 68h 65h 6Ch 6Ch 6Fh FFh",
        "$00 $00 $00 $05 $68 $65 $6c $6c $6f $ff",
        "0 0 0 5 104 101 108 108 111 -1",
        "0x7ffe0000:\t0x05000000\t0x6c6c6568\n0x7ffe0008:\t0xff6f",
        "80000000: 05000000 6c6c6568 ff6f    ....hello.",
    ],
)
def test_one_message(text: str) -> None:
    assert one(text) == SHORT


def test_each_line_was_one_read() -> None:
    (stream,) = find("00 01 61\n00 02 61 62\n00 01 63\n")
    assert (stream.data, stream.boundaries) == (b"\0\1a\0\2ab\0\1c", (3, 7, 10))
    (stream,) = find("b'\\x00\\x01a'\nb'\\x00\\x02ab'")
    assert (stream.data, stream.boundaries) == (b"\0\1a\0\2ab", (3, 7))
    # Lines of one length are a text that was wrapped.
    (stream,) = find("00 01 61\n00 02 61\n62")
    assert (stream.data, stream.boundaries) == (b"\0\1a\0\2ab", ())


@pytest.mark.parametrize(
    "front",
    [
        "[   12.345678] mydev: %08x: ",
        "|%08x| ",
        "│%08x│ ",
        "00000000`0012%04x  ",
        "Nov 30 12:30:01 host kernel: [ 9.5] rx: %04x: ",
    ],
)
def test_words_and_tables_around_the_offsets(front: str) -> None:
    """The last row is short: it is found by its offset, not by how many bytes it has."""
    lines = []
    for at in range(0, len(DATA), 16):
        part = DATA[at : at + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{front % at}{part.hex(' '):<47}  |{shown}|")
    assert one("What is this?\n\n" + "\n".join(lines)) == DATA


def test_what_nc_wrote_is_of_both_directions() -> None:
    text = (
        "> 00000000 00 01 61  # ..a\n< 00000000 00 02 6f 6b  # ..ok\n> 00000003 00 01 62  # ..b\n"
    )
    client, server = find(text)
    assert (client.data, client.sender) == (b"\0\1a\0\1b", "client")
    assert (server.data, server.sender) == (b"\0\2ok", "server")


def test_few_bytes_behind_the_words_of_other_lines() -> None:
    text = (
        "12:30:01 RX 00 00 00 05 68 65 6c 6c 6f\n"
        "12:30:02 RX 00 00 00 01 61\n"
        "12:30:03 RX 00 00 00 02 61 62\n"
    )
    (stream,) = find(text)
    assert list(stream.parts) == [b"\0\0\0\5hello", b"\0\0\0\1a", b"\0\0\0\2ab"]


def test_numbers_without_offsets_say_how_they_were_read() -> None:
    assert "od -t x1" in find(" 0000 0500 6568 6c6c\n 006f\n")[0].notes[-1]
    # Nobody knows how many rows are missing.
    assert find(" 00 00 00 00\n*\n 00 05 68 65\n")[0].notes == (
        "no dump was found in this text: its characters are taken as the bytes",
    )


def test_spaces_alone_are_not_taken_for_their_offsets(tmp_path: Path) -> None:
    assert one("000000" + " " * 64 + "\n*\n000020" + " " * 32 + "\n000028\n") == b" " * 40
    cut = "000000\n*\n000020\n000028\n"
    assert one(cut) == cut.encode()


def test_a_text_with_encoded_parts_is_no_dump() -> None:
    for text in ('{"hash": "00112233445566778899aabbccddeeff"}', f"GET / {'Ab0' * 20}"):
        assert one(text) == text.encode()


def test_characters_beside_the_bytes_without_offsets() -> None:
    text = (
        "They look like records:\n"
        "06 00 00 00 3C 00 7A 2D ....<.z-\n"
        "EC 4E 14 DE 61 62 20 63 .N..ab c\n"
        "66 66 20 39 30 41 42 27 ff 90AB'\n"
    )
    assert one(text) == bytes.fromhex("060000003C007A2D EC4E14DE61622063 6666203930414227")


def test_a_long_row_takes_no_longer_than_its_bytes() -> None:
    began = time.process_time()
    assert one("41 " * 12_000) == b"A" * 12_000
    # More than 5 s where each beginning of it is compared with what follows.
    assert time.process_time() - began < 1


def test_base64() -> None:
    data = SHORT * 8
    assert one(base64.encodebytes(data).decode()) == data
    text = base64.b64encode(data).decode()
    assert one(f"It is this, in Base64: {text}") == data
    assert one(f'data = base64.b64decode("{text}")') == data
    assert one(base64.urlsafe_b64encode(data).decode()) == data
    # A word is none, and what is not whole.
    (stream,) = reading.read(io.BytesIO(b"z" * 40), "file")
    assert stream.data == b"z" * 40
    assert literals.read_base64(base64.b64encode(data).decode().rstrip("=")[:-1]) == []


def test_an_address_of_hardware_in_a_line_is_no_dump() -> None:
    text = b"from 00:1a:2b:3c:4d:5e to all, 12:30:01, 40 of them\n"
    (stream,) = reading.read(io.BytesIO(text), "file")
    assert stream.data == text


def test_a_text_without_a_dump_says_so() -> None:
    (stream,) = reading.read(io.BytesIO(b"5:hello,5:world,"), "file")
    assert stream.notes == (
        "no dump was found in this text: its characters are taken as the bytes",
    )


def test_both_directions_of_a_followed_stream() -> None:
    text = (
        "00000000  00 01 61 00  01                                   ..a..\n"
        "    00000000  00 02 6f 6b                                       ..ok\n"
        "00000005  62                                                b\n"
        "00000006  00 01 63                                          ..c\n"
    )
    client, server = find(text)
    assert (client.sender, client.data, client.boundaries) == (
        "client",
        b"\0\1a\0\1b\0\1c",
        (5, 6, 9),
    )
    assert (server.sender, server.data) == ("server", b"\0\2ok")


def test_a_row_that_lost_its_indentation_is_of_the_same_stream() -> None:
    lines = rows("wireshark").split("\n")
    assert one("\n".join([lines[0], *("    " + line for line in lines[1:])])) == DATA


def test_wiresharks_arrays_of_both_peers() -> None:
    client, server = find(
        "char peer0_0[] = { /* Packet 4 */\n0x00, 0x01, 0x61 };\n"
        "char peer1_0[] = { /* Packet 6 */\n0x00, 0x02, 0x6f, 0x6b };\n"
        "char peer0_1[] = { /* Packet 7 */\n0x00, 0x01, 0x62 };\n"
    )
    assert (client.sender, client.data, client.boundaries) == ("client", b"\0\1a\0\1b", (3, 6))
    assert (server.sender, server.data) == ("server", b"\0\2ok")


def test_offsets_that_begin_again() -> None:
    (stream,) = find("0000   00 01 61   ..a\n\n0000   00 02 61 62   ..ab\n")
    assert (stream.data, stream.boundaries) == (b"\0\1a\0\2ab", (3, 7))


def test_rows_that_are_missing() -> None:
    lines = rows("xxd").split("\n")
    (stream,) = find("\n".join(lines[:3] + lines[5:]))
    assert stream.data == DATA[:48]
    assert not stream.complete
    assert "missing behind 0x30" in stream.notes[1]


def test_rows_that_stand_for_more_than_is_looked_at() -> None:
    (stream,) = find("0000000 0000 0000 0000 0000 0000 0000 0000 0000\n*\nfffffff0\n")
    assert len(stream.data) == WINDOW


@pytest.mark.parametrize("again", [False, True])
def test_rows_left_out_stand_for_no_more_than_is_looked_at_in_all(again: bool) -> None:
    row = "  " + "00 " * 16
    if again:
        text = f"00000000{row}\n*\n000ffff0{row}\n" * 60
    else:
        text = "\n*\n".join(f"{at:08x}{row}" for at in range(0, 60 * 0xFFFF0, 0xFFFF0))
    tracemalloc.start()
    try:
        (stream,) = hexdump.read(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(stream.data) == WINDOW
    assert not stream.complete
    assert peak < 12 * WINDOW


def test_rows_left_out_of_single_bytes_have_octal_offsets() -> None:
    (stream,) = hexdump.read("0000000" + " 00" * 16 + "\n*\n0000040 00 00 00\n0000043\n")
    assert stream.data == bytes(35)
    assert "read as numbers of base 8; they could be of base 16 too" in stream.notes[0]


@pytest.mark.parametrize("link", ["raw", "ethernet"])
def test_packets_in_a_dump(link: str) -> None:
    talk = (
        Talk().open().say("client", b"\0\3one", b"\0\4fou").say("client", b"r").say("server", b"!")
    )
    text = ""
    for number, one in enumerate(talk.packets):
        data = bytes(one) if link == "raw" else ethernet(one)
        text += f"12:00:0{number}.000000 IP 192.0.2.1.50000 > 192.0.2.2.502: Flags [P.]\n"
        for at in range(0, len(data), 16):
            text += f"\t0x{at:04x}:  {data[at : at + 16].hex(' ', -2):<39}  ...\n"
    client, server = find(text)
    assert (client.data, client.boundaries) == (b"\0\3one\0\4four", (5, 10, 11))
    assert server.data == b"!"
    assert client.name == "text, 192.0.2.1:50000 → 192.0.2.2:502"


def test_a_packet_as_one_line_of_digits() -> None:
    assert one(ethernet(packet(CLIENT, SERVER, 1, b"\0\3one" * 9)).hex()) == b"\0\3one" * 9


@pytest.mark.parametrize(
    "data",
    [
        b"5:hello,5:world,",
        b'{"id":1,"method":"x","params":[1,2]}\n{"id":2,"method":"y","params":[3]}\n',
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
        b"0005hello0006worlds",
        b"\x00\x00\x00\x0500 00",
        b"caf\xe9 00 01 02",
    ],
)
def test_what_is_no_dump(data: bytes) -> None:
    (stream,) = reading.read(io.BytesIO(data), "file")
    assert stream.data == data
    assert not any("read as a dump" in note for note in stream.notes)


def test_raw_takes_the_characters() -> None:
    (stream,) = reading.read(io.BytesIO(b"00 01 02"), "file", raw=True)
    assert stream.data == b"00 01 02"


def test_a_text_without_bytes() -> None:
    with pytest.raises(CaptureError, match="there are no bytes in this text"):
        hexdump.read("Where is the length?")


def test_a_large_file_is_looked_at_in_part(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    (stream,) = reading.read_file(path)
    assert len(stream.data) == WINDOW
    assert not stream.complete
    assert "only the first 1,048,576 bytes" in stream.notes[0]
