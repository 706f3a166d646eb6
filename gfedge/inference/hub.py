"""The process between the server and its workers on a Ray cluster: `python -m gfedge.inference.hub FD` (cluster.py).

It is Ray's driver, and not the server is, because Ray ends a driver that has lost its cluster. It keeps an actor on each
GPU, or on nodes without, passes letters on unread, and says which workers come and go.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gfedge import __version__
from gfedge.inference import messages
from gfedge.inference.actor import GROUPS, Actor
from gfedge.inference.evidence import CRASH, KILL
from gfedge.inference.messages import Letter, Line
from gfedge.inference.places import Place, places

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between looks at the nodes."""
START_SECONDS, ANSWER_SECONDS = 120.0, 30.0
"""In which an actor says something; it has a pulse."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY_SECONDS, KNOCK_SECONDS = 60.0, 5.0
PROCESS_DIED = "worker process has died"
"""What Ray says of an actor that ended by itself, not with its node."""


class Hub:
    """The workers of a cluster."""

    def __init__(self, line: Line, connect: messages.Connect) -> None:
        self.line = line
        self.connect = connect
        self.where = connect.address
        self.numbers = itertools.count(1)
        self.seats: dict[str, Seat] = {}
        self.listening: dict[int, Seat] = {}
        """By the number of the actor that is there now."""
        self.problems: dict[str, str] = {}
        self.over = threading.Event()

    def run(self) -> None:
        """Until nobody sends orders any more. Ray is met in the main thread, so that its handlers of signals can be undone."""
        threading.Thread(target=self.take, name="hub-orders", daemon=True).start()
        self.reach()
        let_signals_pass()
        self.look()
        for seat in list(self.seats.values()):
            seat.leave()
        ray.shutdown()

    def take(self) -> None:
        """Passes orders on."""
        while (letter := self.line.letter()) is not None:
            if not letter.worker:
                self.end(letter)
            elif (seat := self.listening.get(letter.worker)) is not None:
                seat.post(letter)
        self.over.set()

    def end(self, letter: Letter) -> None:
        """A worker that hangs, or whose device is lost."""
        order = messages.read_order(letter.message)
        if isinstance(order, messages.End) and (seat := self.listening.get(order.worker)):
            seat.verdict = order
            seat.kill()

    def say(self, message: messages.Report, number: int = 0) -> None:
        with contextlib.suppress(OSError):  # the server is gone, and this process follows
            self.line.send(message, worker=number)

    # The cluster

    def look(self) -> None:
        """Keeps a seat for a worker wherever there can be one, as long as the node that this process has joined lives."""
        home = ray.get_runtime_context().get_node_id()
        options, actors = self.connect.begin.options, self.connect.actors
        while not self.over.is_set():
            try:
                nodes = ray.nodes()
                if not any(node["Alive"] for node in nodes if node["NodeID"] == home):
                    log.error("Ray's node on this machine has ended")
                    # As Ray does where the head has: no actor of this driver starts again.
                    os._exit(1)
                self.settle(places(nodes, options, actors))
            except RayError as error:
                self.say(messages.State(f"Ray does not answer ({self.where}): {_reason(error)}"))
            else:
                self.say(messages.State(self.state()))
            self.over.wait(LOOK_SECONDS)

    def reach(self) -> None:
        """Tries until the cluster answers. One that is not there raises at once."""
        where, pause = self.where, FIRST_PAUSE
        self.say(messages.State(f"connecting to Ray ({where})"))
        while not self.over.is_set():
            try:
                knock(where)
                self.say(
                    messages.State(f"what listens at {where} has not answered as a Ray head yet")
                )
                ray.init(
                    address=where,
                    namespace="gfedge",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                    **({"include_dashboard": False} if where == "local" else {}),
                )
            except (OSError, RuntimeError, ValueError, RayError) as error:
                text = str(error).strip().split("\n", 1)[0]
                self.say(messages.State(f"Ray cannot be reached ({where}): {text}"))
            else:
                return
            self.over.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE / 3)

    def settle(self, wanted: dict[str, Place]) -> None:
        for name in self.seats.keys() - wanted.keys():
            self.seats.pop(name).leave()
            self.problems.pop(name, None)
        for name, place in wanted.items():
            if name in self.seats and self.seats[name].place != place:
                self.seats.pop(name).leave()
            if name not in self.seats:
                self.seats[name] = Seat(self, name, place)

    def state(self) -> str:
        where = f"Ray ({self.where})"
        if self.problems:
            return f"{where}: " + "; ".join(f"{k}: {v}" for k, v in sorted(self.problems.items()))
        if not self.seats and self.connect.begin.options.device == "cuda":
            return f"{where} counts no GPU on any node"
        if not self.seats:
            return f"{where} has no node with a GPU, or with a CPU to spare"
        gpus = sum(seat.place.gpus for seat in self.seats.values())
        return f"{where}: {len(self.seats)} workers, {gpus} of them on GPUs"


class Seat:
    """A place with an actor, which is made again when it dies."""

    def __init__(self, hub: Hub, name: str, place: Place) -> None:
        self.hub = hub
        self.name = name
        self.place = place
        self.actor: Any = None
        self.leaving = threading.Event()
        self.verdict: messages.End | None = None
        """Why it was ended from here."""
        threading.Thread(target=self.run, name=f"seat {name}", daemon=True).start()

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self.leaving.is_set():
            began, number = time.monotonic(), next(self.hub.numbers)
            how, weight = self.serve(number)
            if self.verdict is not None:
                how, weight = self.verdict.how, self.verdict.weight
            self.hub.listening.pop(number, None)
            self.hub.say(messages.Gone(how, weight), number)
            self.kill()
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY_SECONDS else pause
            self.leaving.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def serve(self, number: int) -> tuple[str, int]:
        """One actor from its start to its end; how that came, and what it says against its work."""
        self.verdict = None
        self.hub.say(messages.Known(self.name), number)
        try:
            self.actor = self.make()
            self.hub.listening[number] = self
            self.listen(number)
        except GetTimeoutError:
            return self.problem("it does not answer, or its node has no room for it"), KILL
        except RayActorError as error:
            weight = CRASH if PROCESS_DIED in str(error) else KILL
            return self.problem(_reason(error)), weight
        except RayError as error:
            return self.problem(_reason(error)), KILL
        return "its node left", KILL

    def make(self) -> Any:
        begin = self.hub.connect.begin
        options = msgspec.structs.replace(
            begin.options,
            workers=self.place.threads,
            device="cuda" if self.place.gpus else "cpu",
        )
        made = ray.remote(concurrency_groups=GROUPS)(Actor).options(
            num_cpus=self.place.cpus,
            num_gpus=self.place.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(self.place.node, soft=False),
        )
        return made.remote(__version__, messages.encode(messages.Begin(options, begin.cache)))

    def listen(self, number: int) -> None:
        """Passes reports on."""
        fetch = partial(self.actor.reports.options(concurrency_group="reports").remote)
        coming, patience = fetch(), START_SECONDS
        while not self.leaving.is_set():
            letters = ray.get(coming, timeout=patience)
            coming, patience = fetch(), ANSWER_SECONDS
            self.hub.problems.pop(self.name, None)
            for message, arrays in letters:
                with contextlib.suppress(OSError):
                    self.hub.line.post(Letter(number, message, arrays))

    def post(self, letter: Letter) -> None:
        order = self.actor.order.options(concurrency_group="orders")
        order.remote(letter.message, *letter.arrays)

    def problem(self, text: str) -> str:
        if not self.leaving.is_set():
            self.hub.problems[self.name] = text
        return text

    def kill(self) -> None:
        if self.actor is not None:
            ray.kill(self.actor)

    def leave(self) -> None:
        self.leaving.set()
        self.kill()


def _reason(error: RayError) -> str:
    """One line of what Ray says, which is a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    died = [
        line
        for line in lines
        if line.startswith(("The actor is dead", "The actor died because its"))
    ]
    return (died or lines or [type(error).__name__])[-1].partition(" Some common causes")[0][:300]


def knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would try for long, and then end this process."""
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()


def let_signals_pass() -> None:
    """They are the server's, which ends this process by its socket."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    let_signals_pass()
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    letter = line.letter()
    # Ray prints pages about dead nodes, coloured; they stand in its own logs, and the server's may be JSON.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        if letter and isinstance(found := messages.read_order(letter.message), messages.Connect):
            Hub(line, found).run()


if __name__ == "__main__":
    main()
