"""The log: lines for people, or one JSON object a line for journals and collectors."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, Literal

TEXT = "%(asctime)s %(levelname)s %(message)s"
PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
"""syslog's, which `journalctl -p` asks for."""


class JsonLines(logging.Formatter):
    """`{"time": Unix seconds, "level": ..., "logger": ..., "message": ...}`, with `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "priority": PRIORITIES.get(record.levelname, 6),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)


def begin(level: str, form: Literal["text", "json"]) -> None:
    """Logs to stderr from here on."""
    said = logging.StreamHandler(sys.stderr)
    said.setFormatter(JsonLines() if form == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[said])
