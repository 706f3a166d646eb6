"""A hub whose workers are processes of this machine, for tests of what the server does with several: started as Ray's is.

`address` names the workers, with commas between. Each has a cache of its own below HUB_CACHE; one that dies comes again.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from gfedge.inference import messages
from gfedge.inference.evidence import CRASH
from gfedge.inference.messages import Letter, Line

NUMBERS = itertools.count(1)


class Hub:
    def __init__(self, line: Line, connect: messages.Connect) -> None:
        self.line, self.begin = line, connect.begin
        self.lines: dict[int, Line] = {}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.over = False
        line.send(messages.State("a hub without Ray"))
        for name in connect.address.split(","):
            threading.Thread(target=self.seat, args=(name,), daemon=True).start()

    def run(self) -> None:
        while (letter := self.line.letter()) is not None:
            order = messages.read_order(letter.message)
            if isinstance(order, messages.End):
                self.processes[order.worker].kill()
            elif letter.worker in self.lines:
                self.lines[letter.worker].post(Letter(0, letter.message, letter.arrays))
        self.over = True
        for process in self.processes.values():
            process.kill()

    def seat(self, name: str) -> None:
        while not self.over:
            self.serve(next(NUMBERS), name)

    def serve(self, number: int, name: str) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "gfedge.inference.worker", str(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        self.processes[number], self.lines[number] = process, (line := Line(ours))
        self.line.send(messages.Known(name), worker=number)
        cache = str(Path(os.environ["HUB_CACHE"]) / name)
        line.send(messages.Begin(self.begin.options, cache))
        while (letter := line.letter()) is not None:
            self.line.post(Letter(number, letter.message, letter.arrays))
        del self.lines[number], self.processes[number]
        how = f"exit code {process.wait()}"
        if not self.over:
            self.line.send(messages.Gone(how, CRASH), worker=number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    first = line.letter()
    assert first is not None
    connect = messages.read_order(first.message)
    assert isinstance(connect, messages.Connect)
    Hub(line, connect).run()
