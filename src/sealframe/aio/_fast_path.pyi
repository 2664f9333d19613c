from asyncio import AbstractEventLoop, Transport
from typing import Any

from typing_extensions import disjoint_base

from ..core.protocol import ProtocolMachine
from ..core.trace import Trace
from ..core.window import Window
from .channels import Channels
from .closer import Closer
from .connection_protocol import ConnectionProtocol
from .intake import Intake
from .keepalive_timer import KeepaliveTimer
from .peer_handlers import OnBytes
from .receive_queue import ReceiveQueue
from .receiver import Receiver
from .send_queue import SendQueue
from .sender import Sender
from .stats import Stats

__all__ = ["Counters", "ReadPath", "ReceivePath", "SendPath"]

@disjoint_base
class Counters:
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    dropped: int
    discarded: int
    unsent: int

@disjoint_base
class ReadPath:
    loop: AbstractEventLoop
    machine: ProtocolMachine
    transport: Transport | None
    closer: Closer
    keepalive: KeepaliveTimer | None
    channels: Channels | None
    trace: Trace | None
    since: float
    stats: Stats
    receiver: Receiver
    sender: Sender
    def get_buffer(self, sizehint: int) -> bytearray | memoryview: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def flush_soon(self) -> None: ...
    def socket_failed(self, number: int) -> None: ...
    def output_failed(self, error: Exception, messages: int) -> None: ...
    def handle_events(self, *, at_fin: bool = False) -> None: ...

@disjoint_base
class ReceivePath:
    protocol: ConnectionProtocol
    queue: ReceiveQueue
    on_message: OnBytes | None
    conn: Any
    intake: Intake
    window: Window | None
    small_reads: int
    def deliver(self, messages: list[bytes]) -> None: ...
    def call_back(self, messages: list[bytes]) -> None: ...
    def deliver_slow_path(self, messages: list[bytes]) -> None: ...
    def must_stop(self) -> bool: ...
    def hold_back(self, messages: list[bytes]) -> None: ...
    def fail_call(self, error: BaseException, left: int) -> None: ...
    def pause_if_full(self) -> None: ...
    def update_window(self) -> None: ...
    def deny(self, messages: list[bytes]) -> None: ...
    def yield_turn(self) -> None: ...

@disjoint_base
class SendPath:
    protocol: ConnectionProtocol
    queue: SendQueue
    credit_limit: int | None
    sent_cost: int
    write_paused: bool
    written: bool
    socket: int | None
    def flush_soon(self) -> None: ...
    def flush(self) -> None: ...
    def end_turn(self) -> None: ...
    def write_now(self, message: bytes) -> bool: ...
