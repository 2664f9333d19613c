"""Makes docs/demo.svg: what ``sealframe demo`` shows on a terminal, as an animation.

The command runs on a pseudo-terminal as it does for everybody, a terminal emulator (pyte) reads
what it writes, and rich draws the screens. It plays three times; where nothing may move, the last
screen is shown. By hand, after a change of the demo: ``python docs/record_demo.py docs/demo.svg``
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS: Final = 92
LINES: Final = 25
_SLOWER: Final = 3
"""It takes some six seconds, which nobody can read."""
_MOMENT: Final = 0.12
"""Seconds that a screen has to stand to be shown."""
_LAST: Final = 6.0
"""Seconds that the last screen stays."""

# rich writes characters of this width, and lines of this height, in pixels.
_WIDTH: Final = 12.2
_HEIGHT: Final = 24.4

_THEME: Final = TerminalTheme(
    (13, 17, 23),
    (209, 215, 224),
    [
        *[(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)],
        *[(88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)],
    ],
)

_SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>sealframe demo: four clients talk, one is cut off and comes back</title>
<style>
text {{ font: 20px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }}
{styles}
.screens {{ transform: translateY(-{last}px); animation: play {seconds:.1f}s step-end 3 }}
@keyframes play {{
{keyframes}
}}
@media (prefers-reduced-motion: reduce) {{ .screens {{ animation: none }} }}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>
<svg x="12" y="12" width="{inner_width}" height="{inner_height}"><g class="screens">
{matrix}
</g></svg>
</svg>
"""


class Screen(NamedTuple):
    """What the terminal showed, from a moment on."""

    time: float
    """In seconds, from the first."""
    lines: list[Text]


def record() -> list[Screen]:
    """Run the demo; return its screens.

    :raises CalledProcessError: it failed
    """
    emulator = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(emulator)
    screen, device = pty.openpty()
    fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "sealframe", "demo"]
    env |= {"TERM": "xterm", "PYTHONUTF8": "1"}
    screens: list[Screen] = []
    start = 0.0
    with subprocess.Popen(command, stdin=device, stdout=device, stderr=device, env=env) as process:
        os.close(device)
        while data := _read(screen):
            stream.feed(data)
            now = time.monotonic()
            start = start or now
            lines = [_line(emulator, number) for number in range(LINES)]
            if not screens or lines != screens[-1].lines:
                # What stands for less than a moment is half drawn, or nobody sees it.
                if screens and now - start - screens[-1].time < _MOMENT:
                    screens.pop()
                screens.append(Screen(now - start, lines))
    os.close(screen)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return screens


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:
        # So Linux says that nobody has the terminal open any more.
        return b""


def _line(emulator: pyte.Screen, number: int) -> Text:
    """Return a line of the screen, with its colours."""
    row = emulator.buffer[number]
    chars = [row[column] for column in range(COLUMNS)]
    line = Text()
    for (colour, bold), run in groupby(chars, key=lambda char: (char.fg, char.bold)):
        # What most terminals draw yellow is brown by its old name.
        name = None if colour == "default" else colour.replace("brown", "yellow")
        line.append("".join(char.data for char in run), Style(color=name, bold=bold or None))
    line.rstrip()
    return line


def draw(screens: list[Screen]) -> str:
    """Return the animation: the screens below one another, of which one is seen at a time."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False
    )
    for screen in screens:
        for line in screen.lines:
            console.print(line, no_wrap=True, overflow="crop", crop=True)
    parts = console.export_svg(
        theme=_THEME, unique_id="d", code_format="{styles}\0{backgrounds}{matrix}"
    )
    styles, matrix = parts.split("\0")
    matrix = re.sub(r' clip-path="[^"]*"', "", matrix)
    matrix = matrix.replace("&#160;", "\N{NO-BREAK SPACE}")
    times = [screen.time * _SLOWER for screen in screens]
    seconds = times[-1] + _LAST
    height = round(LINES * _HEIGHT)
    keyframes = [
        f"{100 * at / seconds:.2f}% {{ transform: translateY(-{number * LINES * _HEIGHT:.1f}px) }}"
        for number, at in enumerate(times)
    ]
    return _SVG.format(
        width=round(COLUMNS * _WIDTH) + 24,
        height=height + 24,
        inner_width=round(COLUMNS * _WIDTH),
        inner_height=height,
        styles=styles.strip(),
        seconds=seconds,
        last=f"{(len(screens) - 1) * LINES * _HEIGHT:.1f}",
        keyframes="\n".join(keyframes),
        matrix="\n".join(filter(None, map(str.strip, matrix.splitlines()))),
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(record()), encoding="utf-8")
