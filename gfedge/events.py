"""Live streams: what happens is published once and reaches every client that wants it; no client slows another.

A stream numbers its messages and keeps the last ones for clients that come back; new clients get a snapshot first, and
from there on every change. All of it happens on the event loop. No HTTP here: `sockets` brings messages to WebSockets.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from gfedge import errors, metrics

StreamName = Literal["experiments", "ai-jobs", "training-jobs", "metrics", "alerts"]
TOPICS: dict[StreamName, tuple[str, ...]] = {
    "experiments": ("experiment", "run"),
    "ai-jobs": ("job", "run", "experiment"),
    "training-jobs": ("job", "run", "experiment"),
    "metrics": ("metric",),
    "alerts": ("rule", "alert"),
}
"""What a topic `kind:ID` may be about, by stream."""
VALUE = "value"
"""The type of message that comes only to clients which name its topic."""
PREVIEW = "job.preview"
"""The one type of message that comes only to clients which ask with `previews`."""

KEPT_MESSAGES, KEPT_BYTES = 1024, 2 << 20
"""What a stream keeps for clients that come back."""
KEPT_SECONDS = 300.0
"""How long it goes on keeping after the last client left; then publishing costs next to nothing."""
WAITING_MESSAGES, WAITING_BYTES = 2048, 4 << 20
"""What may wait for one client; the bytes are shared with the other clients that wait for the same."""
GOING_AWAY, BROKEN, FELL_BEHIND = 1001, 1011, 4008
"""Codes with which the server closes: it stops, it failed (its log says why), or the client did not keep up."""

_encode = msgspec.json.Encoder().encode


class Envelope(msgspec.Struct, kw_only=True, frozen=True):
    """Every message of every stream."""

    type: Annotated[str, Meta(description="What happened, as `job.ended`.")]
    seq: Annotated[
        int,
        Meta(
            description="Goes up within a stream, also over restarts. Not each number arrives: filters, and news of "
            "progress that was overtaken. Pass the last one seen as `since_seq` after a broken connection."
        ),
    ]
    at: Annotated[float, Meta(description="Unix seconds.")]
    data: Annotated[Any, Meta(description="By type, as the stream describes.")]


class Subscription(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a client wants of a stream: its first message, and again whenever that changes. `{}` is everything."""

    topics: Annotated[
        list[Annotated[str, Meta(max_length=300)]],
        Meta(max_length=1000, description="As `job:ID`; one that matches is enough. None: all."),
    ] = []
    types: Annotated[
        list[Annotated[str, Meta(max_length=100)]],
        Meta(max_length=100, description="Types of messages. None: all."),
    ] = []
    since_seq: Annotated[
        int | None,
        Meta(description="Go on after this message; where that is too long ago, a `gap` says so."),
    ] = None
    interval: Annotated[
        float,
        Meta(ge=0, le=60, description="Seconds between deliveries; what is overtaken is left out."),
    ] = 0.0
    previews: Annotated[bool, Meta(description="Send unfinished pictures too (ai-jobs).")] = False


Snapshot = Callable[[Subscription], Awaitable[Any]]
"""What a new client sees first. It must take what can change from memory after its last `await`, so that the snapshot
and the messages that follow have neither a gap between them nor anything twice."""


class Message(msgspec.Struct, eq=False, frozen=True):
    """A message as every client gets it, encoded once."""

    seq: int
    type: str
    topics: Collection[str]
    key: str
    text: bytes


class Backlog:
    """Messages in order. One with a key takes the place of an earlier one with that key, which it makes worthless."""

    def __init__(self, most_messages: int, most_bytes: int) -> None:
        self._most = (most_messages, most_bytes)
        self._messages: OrderedDict[Message, None] = OrderedDict()
        self._by_key: dict[str, Message] = {}
        self._bytes = 0

    def add(self, message: Message) -> None:
        if message.key and (overtaken := self._by_key.pop(message.key, None)) is not None:
            del self._messages[overtaken]
            self._bytes -= len(overtaken.text)
        self._messages[message] = None
        self._bytes += len(message.text)
        if message.key:
            self._by_key[message.key] = message

    def pop(self) -> Message:
        """The oldest, which leaves; KeyError where there is none."""
        message, _ = self._messages.popitem(last=False)
        self._bytes -= len(message.text)
        if message.key:
            del self._by_key[message.key]
        return message

    @property
    def over(self) -> bool:
        """Whether it holds more than it may; a single message is never too much."""
        most_messages, most_bytes = self._most
        count = len(self._messages)
        return count > most_messages or (self._bytes > most_bytes and count > 1)

    def after(self, seq: int) -> list[Message]:
        return [message for message in self._messages if message.seq > seq]

    def clear(self) -> None:
        self._messages.clear()
        self._by_key.clear()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._messages)


class Client:
    """One subscriber: what it wants, and what waits for it."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.waiting = Backlog(WAITING_MESSAGES, WAITING_BYTES)
        self.ready = asyncio.Event()
        self.gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The code to close with, once there is a reason to."""
        self.wanted: Subscription | None = None
        self._topics: frozenset[str] = frozenset()

    def want(self, wanted: Subscription) -> None:
        self.wanted, self._topics = wanted, frozenset(wanted.topics)

    def wants(self, type_: str, topics: Collection[str]) -> bool:
        wanted = self.wanted
        return (
            wanted is not None
            and (type_ != VALUE if not self._topics else not self._topics.isdisjoint(topics))
            and (not wanted.types or type_ in wanted.types)
            and (type_ != PREVIEW or wanted.previews)
        )

    def push(self, message: Message) -> None:
        """Puts a message behind those that wait; the client goes where they are too many."""
        if self.gone.done():
            return
        self.waiting.add(message)
        self.ready.set()
        if self.waiting.over:
            self.waiting.clear()
            self.stream.drops.inc()
            self.leave(FELL_BEHIND)

    def take(self) -> bytes | None:
        """The next message to send; None, and not ready, where there is none."""
        if self.waiting:
            return self.waiting.pop().text
        self.ready.clear()
        return None

    def leave(self, code: int) -> None:
        """Ends the subscription. What waits is still sent to a client that keeps up."""
        if not self.gone.done():
            self.gone.set_result(code)
        self.stream.clients.discard(self)
        self.ready.set()


class Stream:
    """The messages of one kind of thing, and who listens."""

    def __init__(self, name: StreamName) -> None:
        self.name = name
        self.clients: set[Client] = set()
        self.snapshot: Snapshot = _nothing
        # Numbers begin at the time in microseconds: a client of the server's former life asks for one that is gone.
        self.seq = time.time_ns() // 1000
        self.drops = metrics.event_clients_dropped_total.labels(name)
        self._kept = Backlog(KEPT_MESSAGES, KEPT_BYTES)
        self._lost = self.seq
        """The last message that is not kept."""
        self._keep_until = 0.0

    @property
    def listened(self) -> bool:
        """Whether anybody listens, or did so lately and may come back."""
        return bool(self.clients) or time.monotonic() < self._keep_until

    def join(self) -> Client:
        client = Client(self)
        self.clients.add(client)
        self._keep_until = time.monotonic() + KEPT_SECONDS
        return client

    def part(self, client: Client) -> None:
        self.clients.discard(client)
        self._keep_until = time.monotonic() + KEPT_SECONDS

    def publish(self, type_: str, data: Any, topics: Collection[str], key: str) -> None:
        self.seq += 1
        if not self.listened:
            self._lost = self.seq
            self._kept.clear()
            return
        message = self._message(type_, data, topics, key)
        self._keep(message)
        for client in tuple(self.clients):
            if client.wants(type_, topics):
                client.push(message)

    async def subscribe(self, client: Client, wanted: Subscription) -> None:
        """Gives a client what it wants from now on, begun by `resumed` or by a `snapshot`; raises Invalid."""
        self._check(wanted)
        if (since := wanted.since_seq) is not None:
            if self._lost <= since <= self.seq:
                client.want(wanted)
                return self._replay(client, since)
            client.push(self._message("gap", {"since_seq": since, "kept_from": self._lost + 1}))
        data = await self.snapshot(wanted)
        # No await from here on: what the snapshot holds is what was published until now.
        client.want(wanted)
        client.push(self._message("snapshot", data))
        return None

    def refuse(self, client: Client, error: errors.ApiError) -> None:
        """Tells a client what was wrong with its message; its subscription stays."""
        client.push(self._message("error", error.problem()))

    # Inside

    def _message(
        self, type_: str, data: Any, topics: Collection[str] = (), key: str = "", seq: int = 0
    ) -> Message:
        seq = seq or self.seq
        envelope = Envelope(type=type_, seq=seq, at=time.time(), data=data)
        return Message(seq, type_, topics, key, _encode(envelope))

    def _keep(self, message: Message) -> None:
        self._kept.add(message)
        while self._kept.over:
            self._lost = self._kept.pop().seq

    def _replay(self, client: Client, since: int) -> None:
        missed = [m for m in self._kept.after(since) if client.wants(m.type, m.topics)]
        client.push(self._message("resumed", {"missed": len(missed)}, seq=since))
        for message in missed:
            client.push(message)

    def _check(self, wanted: Subscription) -> None:
        for number, topic in enumerate(wanted.topics):
            kind, colon, what = topic.partition(":")
            if kind not in TOPICS[self.name] or not colon or not what:
                known = ", ".join(f"{kind}:ID" for kind in TOPICS[self.name])
                raise errors.Invalid(
                    f"topics: {topic!r} is none; {self.name} has {known}",
                    code="bad_topic",
                    field=f"topics[{number}]",
                )


class Events:
    """All streams of this server."""

    def __init__(self, most_clients: int) -> None:
        self._streams = {name: Stream(name) for name in get_args(StreamName)}
        self._most_clients = most_clients
        self._closing = False

    def publish(
        self,
        stream: StreamName,
        type: str,  # noqa: A002  it is the name of the field
        data: Any,
        topics: Collection[str] = (),
        *,
        key: str = "",
    ) -> None:
        """Sends `data` to the clients that want one of the topics. On the event loop only; never waits.

        A message with a `key` makes earlier ones with the same key worthless (progress, a position): a client that
        has not got those yet gets this one alone.
        """
        self._streams[stream].publish(type, data, topics, key)

    def listened(self, stream: StreamName) -> bool:
        """Whether anybody listens or may come back: where nobody does, there is no need to make data."""
        return self._streams[stream].listened

    def wanted(self, stream: StreamName, type: str, topics: Collection[str]) -> bool:  # noqa: A002
        """Whether some client wants such a message now."""
        return any(client.wants(type, topics) for client in self._streams[stream].clients)

    def topics(self, stream: StreamName) -> set[str]:
        """All topics that clients of a stream named."""
        return {
            topic
            for client in self._streams[stream].clients
            if client.wanted is not None
            for topic in client.wanted.topics
        }

    def begin_with(self, stream: StreamName, snapshot: Snapshot) -> None:
        """Says what new clients of a stream see first."""
        self._streams[stream].snapshot = snapshot

    def join(self, stream: StreamName) -> Client:
        """A new client; raises Unavailable."""
        if self._closing:
            raise errors.Unavailable("the server stops", code="stopping")
        if sum(len(one.clients) for one in self._streams.values()) >= self._most_clients:
            raise errors.Unavailable(
                f"{self._most_clients} clients listen already (setting max_listeners): close some",
                code="too_many_listeners",
                headers={"Retry-After": "10"},
            )
        return self._streams[stream].join()

    def close(self) -> None:
        """Sends all clients away, after what waits for them."""
        self._closing = True
        for stream in self._streams.values():
            for client in tuple(stream.clients):
                client.leave(GOING_AWAY)


async def _nothing(wanted: Subscription) -> dict[str, Any]:
    return {}
