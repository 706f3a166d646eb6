"""`gfedge tls init`: a certificate of this machine's own, by the openssl command.

By openssl and not by a library: what signs certificates in Python brings a compiler's worth of dependencies for
something that is done once.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

from gfedge import outside
from gfedge.cli.errors import FAILED, UNUSABLE, CommandError

DAYS = 825
"""The longest life that every browser takes."""
MISSING = (
    "the openssl command is not here: install it (Debian and Ubuntu: apt-get install openssl; Windows: Git has "
    "one), or bring a certificate of your own with --tls-cert and --tls-key"
)


def init(args: argparse.Namespace) -> int:
    """Write gfedge.crt and gfedge.key into a folder."""
    folder = Path(args.folder).expanduser()
    certificate, key = folder / "gfedge.crt", folder / "gfedge.key"
    for path in (certificate, key):
        if path.exists():
            raise CommandError(f"{path} is there already: remove it for a new one", UNUSABLE)
    if (openssl := shutil.which("openssl")) is None:
        raise CommandError(MISSING)
    names = list(dict.fromkeys([*_own_names(), *args.name]))
    folder.mkdir(parents=True, exist_ok=True)
    key.touch(0o600)
    _run(openssl, certificate, key, [_alternative(name) for name in names])
    print(f"{certificate} and {key}, for {', '.join(names)}")
    print(f"fingerprint (sha256): {_fingerprint(certificate)}")
    print(f"\ngfedge serve --host 0.0.0.0 --tls-cert {certificate} --tls-key {key}")
    print(f"SSL_CERT_FILE={certificate} gfedge doctor --server https://{names[0]}:8000")
    return 0


def _run(openssl: str, certificate: Path, key: Path, alternatives: list[str]) -> None:
    done = subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-sha256", "-nodes", "-days", str(DAYS), "-subj", "/CN=gfedge"),
            *("-addext", f"subjectAltName={','.join(alternatives)}"),
            *("-addext", "extendedKeyUsage=serverAuth"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=outside.environment(),
    )
    if done.returncode:
        key.unlink(missing_ok=True)
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise CommandError(f"openssl could not make the certificate: {said[0]}", FAILED)


def _own_names() -> list[str]:
    """What this machine may be called by others, and by itself."""
    from gfedge.settings import Settings

    own = socket.gethostname()
    address = Settings(host="0.0.0.0").address.split("//")[1].rpartition(":")[0]  # noqa: S104
    return [own, f"{own.partition('.')[0]}.local", address, "localhost", "127.0.0.1", "::1"]


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        if not re.fullmatch(r"[\w.-]+", name) or not name.isascii():
            raise CommandError(f"{name!r} is not a name of a machine", UNUSABLE) from None
        return f"DNS:{name}"


def _fingerprint(certificate: Path) -> str:
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)).upper()
