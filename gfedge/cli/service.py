"""`gfedge install-service`: the server as a hardened systemd service with a daily backup."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from gfedge.cli.errors import UNUSABLE, CommandError

UNITS = ("gfedge.service", "gfedge-backup.service", "gfedge-backup.timer")
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108
"""Where the service, which sees no homes and has a /tmp of its own, could not start a program."""
BOOTED = Path("/run/systemd/system")
"""There where systemd is the first process, as sd_booted(3) has it; in a container there may be a systemctl alone."""
CONFIG = """\
# Settings of the gfedge service. `gfedge settings` prints every one with its help; `systemctl reload gfedge` reads this again.
# On a network: set host, tls_cert and tls_key (gfedge tls init), and
# admin_token_file = "/var/lib/gfedge/admin-token"
"""
NEXT = """\
now:
  systemctl enable --now gfedge gfedge-backup.timer
  systemctl status gfedge; journalctl -u gfedge -o cat
settings: /etc/gfedge/gfedge.toml; data: /var/lib/gfedge; backups: /var/lib/gfedge/backups"""


def run(args: argparse.Namespace) -> int:
    """Write the units, a file of settings and the user; or only print the units."""
    command = str(Path(args.command_path or _own_command()).absolute())
    if _is_one_file(command):
        raise CommandError(
            f"{command} cannot be a service: one file runs in a child of itself, which systemd does not hear. Take the "
            "folder build, which also starts at once: cp -r dist/gfedge /opt/, then /opt/gfedge/gfedge install-service",
            UNUSABLE,
        )
    found = {name: unit(name, command) for name in UNITS}
    if args.dry_run:
        for name, text in found.items():
            print(f"# /etc/systemd/system/{name}\n{text}")
        return 0
    root = Path(args.root)
    if root == Path("/"):
        _check(command)
    try:
        _install(root, found)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CommandError(str(error)) from None
    print(NEXT)
    return 0


def _install(root: Path, units: dict[str, str]) -> None:
    for name, text in units.items():
        _write(root / "etc/systemd/system" / name, text, 0o644)
    if not (config := root / "etc/gfedge/gfedge.toml").exists():
        _write(config, CONFIG, 0o640)
    if root == Path("/"):
        _user()
        subprocess.run(["systemctl", "daemon-reload"], check=True)


def unit(name: str, command: str) -> str:
    """A unit for the program at this path; raises CommandError for one that a unit and a shell would read differently."""
    if shlex.quote(command) != command or "%" in command:
        raise CommandError(
            f"{command}: put the program where the path has no blanks and signs", UNUSABLE
        )
    text = (Path(__file__).parent / "systemd" / name).read_text(encoding="utf-8")
    return text.format(command=command)


def _own_command() -> str:
    """The program that runs now: the single binary, or the script of this environment."""
    if getattr(sys, "frozen", False):
        return sys.executable
    script = Path(sys.executable).parent / "gfedge"
    return str(script if script.exists() else Path(sys.argv[0]).absolute())


def _is_one_file(command: str) -> bool:
    """Whether this is the one-file binary, which PyInstaller has unpacked to `TMPDIR/_MEI…`, and the service would be too."""
    unpacked = Path(getattr(sys, "_MEIPASS", ""))
    own = Path(command).resolve() == Path(sys.executable).resolve()
    return own and unpacked.name.startswith("_MEI")


def _check(command: str) -> None:
    """Whether this machine can have that service; raises CommandError."""
    if os.geteuid() != 0:
        raise CommandError("this writes to /etc: run it with sudo; --dry-run shows what", UNUSABLE)
    if any(Path(command).resolve().is_relative_to(folder) for folder in HIDDEN):
        raise CommandError(
            f"the service could not start {command}: it sees no home folders. Install gfedge elsewhere "
            "(python3 -m venv /opt/gfedge; or the single binary in /opt), or name it with --command",
            UNUSABLE,
        )
    if shutil.which(command) is None:
        raise CommandError(f"there is no program {command}", UNUSABLE)
    if not BOOTED.is_dir():
        raise CommandError(
            "systemd does not run this machine: --dry-run shows the units, --root DIR writes them for another",
            UNUSABLE,
        )


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _user() -> None:
    """The user that serves, and what it may read and write."""
    words = "--system --user-group --home-dir /var/lib/gfedge --shell /usr/sbin/nologin gfedge"
    if subprocess.run(["id", "gfedge"], capture_output=True, check=False).returncode:
        subprocess.run(["useradd", *words.split()], check=True)
    subprocess.run(["chown", "root:gfedge", "/etc/gfedge/gfedge.toml"], check=True)
