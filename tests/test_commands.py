"""Every block of the documents does what the page says: a page is one session, against a real server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from blocks import PAGES, ROOT, Block, blocks, prints
from conftest import Process

SHELL = ("sh", "bash")
LANGUAGES = (*SHELL, "text", "python", "sql")
"""What may stand without a note; all others are files, or say why they are not run."""
ADDRESS = re.compile(r"(127\.0\.0\.1|localhost|edge|edge\.lan):8000\b")
QUERY = "import duckdb, sys; print(duckdb.sql(sys.stdin.read()))"
SERVES = re.compile(
    r"^\s*(([A-Z_]+=\S+ )*gfedge serve\b(?!.* --port)|([A-Z_]+=\S+ )+make run\b)", re.MULTILINE
)
"""A page that says how its server is started has one of its own; the others share one. With `--port` it is one more."""
OTHER_PORTS = (8443, 8444, 9090)
"""What pages let other programs listen on; here each gets a free one."""
SHARED = ("models", "tools", "node_modules")
"""Of the repository, what a page finds in its folder."""
SECONDS = 120.0


def runnable(page: Path) -> list[Block]:
    """The blocks of a page that are run, and what those print."""
    found, runs = [], True
    for block in blocks(page):
        runs = reason(block) is None and (runs or block.language != "text")
        if runs:
            found.append(block)
    return found


def reason(block: Block) -> str | None:
    """Why a block is not run here; None where it is."""
    if "not run" in block.notes:
        return block.notes["not run"]
    if "slow" in block.notes and "GFEDGE_SLOW" not in os.environ:
        return f"{block.notes['slow']}: GFEDGE_SLOW=1"
    needed = {*block.notes.get("needs", "").split(), *({"jq", "curl"} & {*block.text.split()})}
    missing = [one for one in needed if shutil.which(one) is None and not (ROOT / one).exists()]
    return f"not installed: {', '.join(missing)}" if missing else None


NOT_RUN = [block for page in PAGES for block in blocks(page) if reason(block) is not None]


# -- what is not run ----------------------------------------------------------------------------


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: block.place)
def test_not_run(block: Block) -> None:
    pytest.skip(f"{reason(block)}")


def test_no_block_is_passed_over_silently() -> None:
    every = [block for page in PAGES for block in blocks(page)]
    for block in every:
        told = "not run" in block.notes or "file" in block.notes
        assert block.language, f"{block.place}: say what it is (```sh, ```text, ...)"
        assert told or block.language in LANGUAGES, f"{block.place}: a file, or why it is not run"
        if name := block.notes.get("file"):
            named = name.rpartition("/")[2]
            assert named in block.above, f"{block.place}: say above it that it is {named}"
            assert checks(block) or used(name, block), f"{block.place}: nothing uses {name}"
        assert len(block.notes.get("not run", "a long reason")) > 10, block.place
    text = "\n".join(block.text for block in every)
    assert len(every) - len(NOT_RUN) > len(NOT_RUN), text


# -- what is run --------------------------------------------------------------------------------


def serves(page: Path) -> bool:
    """Whether a page says how its server is started."""
    told = [block for block in blocks(page) if "not run" not in block.notes]
    return any(SERVES.search(block.text) for block in told)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The server that `make run` starts: bundled models, a new data folder."""
    process = Process(tmp_path_factory.mktemp("server") / "data", None, **SETTINGS)
    process.start()
    yield process
    process.stop()


SETTINGS = {"device": "cpu", "workers": 2, "min_free_disk": 0, "metrics_interval": 1}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.language != "text" for block in runnable(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_block_of_a_page(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = runnable(page)
    if serves(page):
        session = Session(tmp_path, free_port())
    else:
        server = request.getfixturevalue("server")
        session = Session(tmp_path, int(server.address.rpartition(":")[2]), server.data)
    session.run(found)


class Session:
    """A shell in a folder of its own: blocks share the folder, variables and the server."""

    def __init__(self, folder: Path, port: int, data: Path | None = None) -> None:
        self.folder = folder
        self.port = port
        self.ports = {one: free_port() for one in OTHER_PORTS}
        self.told = folder / ".told"
        self.environment = {
            **{name: one for name, one in os.environ.items() if not name.startswith("GFEDGE_")},
            **{f"GFEDGE_{name.upper()}": str(value) for name, value in SETTINGS.items()},
            "GFEDGE_PORT": str(port),
            "GFEDGE_SERVER": f"http://127.0.0.1:{port}",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "GFEDGE_DATA": str(data or folder / ".data"),
            "GFEDGE_SHARED": "yes" if data else "",
        }

    def run(self, found: list[Block]) -> None:
        self.told.mkdir()
        for name in SHARED:
            if (ROOT / name).exists():
                (self.folder / name).symlink_to(ROOT / name)
        parts = [f". '{ROOT}/tests/session.sh'; cd '{self.folder}'"]
        for number, block in enumerate(found):
            parts += [f"exec >'{self.told}/{number}' 2>&1", self.part(block)]
        script = self.folder / ".session"
        script.write_text("\n".join(parts))
        shell = subprocess.Popen(
            ["bash", str(script)], env=self.environment, start_new_session=True
        )
        try:
            code = shell.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = -1
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        self.hold(found, code)

    def part(self, block: Block) -> str:
        """What a block is in the script of the session."""
        text = ADDRESS.sub(f"127.0.0.1:{self.port}", block.text)
        for port, free in self.ports.items():
            text = re.sub(rf"\b{port}\b", str(free), text)
        if name := block.notes.get("file"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            return f"cat >'{name}' <<'END-OF-FILE'\n{text}END-OF-FILE\n{checks(block)}"
        if block.language == "python":
            given = block.notes.get("given", ":")
            return f"{given}\npython - <<'END-OF-FILE'\n{text}END-OF-FILE"
        if block.language == "sql":
            text = f"python -c '{QUERY}' <<'END-OF-FILE'\n{text}END-OF-FILE"
            return f"( cd {block.notes.get('in', '.')}\n{text}\n)"
        if block.language == "text":
            return ":"
        text = f"{block.notes.get('given', ':')}\n{text}"
        text = text.replace(".venv-mlflow/", f"{ROOT}/.venv-mlflow/").replace(".venv/bin/", "")
        return f"if (\n{text}\n); then exit 1; fi" if "refused" in block.notes else text

    def hold(self, found: list[Block], code: int) -> None:
        """Every block was run to its end, and printed what the page says."""
        before = ""
        for number, block in enumerate(found):
            path = self.told / str(number)
            assert path.exists(), f"{found[number - 1].place} did not end well:\n{before}"
            said = path.read_text().replace(f":{self.port}", ":8000")
            if block.language == "text":
                assert prints(block.text, before), f"{block.place}: printed was\n{before}"
            before = said if block.language != "text" else before
        assert code == 0, f"{found[-1].place} did not end well:\n{before}"


def used(name: str, block: Block) -> bool:
    """Whether a block after it on the page names the file."""
    later = [one.text for one in blocks(block.page) if one.line > block.line]
    return any(name.rpartition("/")[2] in text for text in later)


def checks(block: Block) -> str:
    """The command that checks a file of this name; "" where none is known."""
    name = block.notes["file"]
    for pattern, command in CHECKS.items():
        if re.search(pattern, name):
            return command.format(name=name)
    return ""


SECRETS = (
    "sed -n 's/.*_file: \\([a-z0-9.]*\\).*/\\1/p' {name} | xargs -I NAME sh -c 'echo secret >NAME'"
)
RECEIVERS = "import pathlib, sys; from gfedge.alerts import receivers; receivers.load(pathlib.Path(sys.argv[1]))"
ENTRY_POINTS = (
    "import pathlib, sys; from gfedge.settings import Settings; from gfedge.training import entry_points; "
    "entry_points.read(Settings(data=pathlib.Path(sys.argv[1]).parent))"
)
CHECKS = {
    r"gfedge\.toml$": "gfedge settings --config {name}",
    r"training\.toml$": f"python -c '{ENTRY_POINTS}' {{name}}",
    r"\.toml$": "python -c 'import sys, tomllib; tomllib.load(open(sys.argv[1], \"rb\"))' {name}",
    r"receivers\.yml$": f"{SECRETS}; python -c '{RECEIVERS}' {{name}}",
}
"""What checks a file of this name; others have to be used by a later block of their page."""


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


# -- the test itself ----------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path: Path) -> Callable[[str], None]:
    """Runs a page of this text, of which no block needs a server."""

    def run(text: str) -> None:
        page = tmp_path / "page.md"
        page.write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("blocks.ROOT", tmp_path)
            Session(Path(tempfile.mkdtemp(dir=tmp_path)), 1).run(blocks(page))

    return run


def test_a_wrong_command_is_found(session: Callable[[str], None]) -> None:
    with pytest.raises(
        AssertionError, match=r"page.md:4 did not end well:(.*\n)*.*has no --colour"
    ):
        session("```sh\nA=1\n```\n```sh\ngfedge generate x -o y.png --colour red\necho on\n```\n")


def test_another_output_is_found(session: Callable[[str], None]) -> None:
    session("```sh\nA=1; echo $A $((A + 1))\nseq 3\n```\n\n```text\n1 …\n…\n3\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:5: printed was\s+1 2"):
        session("```sh\necho 1 2\n```\n\n```text\n1 3\n```\n")


def test_a_command_that_should_fail_and_does_not_is_found(session: Callable[[str], None]) -> None:
    session("<!-- refused -->\n```sh\nfalse\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:2 did not end well"):
        session("<!-- refused -->\n```sh\ntrue\n```\n")


def test_a_query_that_fails_is_found(session: Callable[[str], None]) -> None:
    session("```sql\nselect 1 as a\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:1 did not end well:(.*\n)*.*no_such_column"):
        session("```sql\nselect no_such_column\n```\n")
