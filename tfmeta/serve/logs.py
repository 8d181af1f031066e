"""Structured logs: one JSON object a line, of facts about requests and never of their contents.

What a client sends, and messages that quote it, do not come here: a request is logged by the
model, version and signature that the server knows, its code, duration and size.
"""

import datetime
import json
import logging
import sys
import time

LOGGER = logging.getLogger("tfmeta.serve")
# Clients make lines (a refusal is one), and must not fill a disk with them.
MOST_LINES_A_SECOND = 100
_SAID = set()


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record):
        facts = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname,
            "event": getattr(record, "event", None) or record.name,
            **getattr(record, "facts", {}),
        }
        if "facts" not in record.__dict__:
            facts["message"] = record.getMessage()
        if "dropped" in record.__dict__:
            facts["lines_dropped_before"] = record.dropped
        if record.exc_info:
            facts["exception"] = record.exc_info[0].__name__
            facts["where"] = _where(record.exc_info[2])
        return json.dumps(facts, default=str)


class LineLimit(logging.Filter):
    """Lets so many records a second pass, and says how many it dropped."""

    def __init__(self, most=MOST_LINES_A_SECOND, clock=time.monotonic):
        super().__init__()
        self._most, self._clock = most, clock
        self._second, self._seen = None, 0

    def filter(self, record):
        """Whether a record is written."""
        second = int(self._clock())
        if second != self._second:
            dropped, self._second, self._seen = self._seen - self._most, second, 0
            if dropped > 0:
                record.dropped = dropped
        self._seen += 1
        return self._seen <= self._most


def configure(level="INFO", stream=None):
    """Sends this room's logs, and those of the libraries it stands on, to a stream as JSON."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(LineLimit())
    for name, lowest in (("tfmeta.serve", level), ("uvicorn.error", "WARNING"), ("grpc", "ERROR")):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(lowest)


def debug(event, **facts):
    """Logs an event that is of interest when searching for something."""
    _log(logging.DEBUG, event, facts)


def info(event, **facts):
    """Logs an event."""
    _log(logging.INFO, event, facts)


def warning(event, **facts):
    """Logs an event that someone should look at."""
    _log(logging.WARNING, event, facts)


def warning_once(event, **facts):
    """Logs a lasting state the first time only."""
    key = json.dumps([event, facts], sort_keys=True, default=str)
    if key not in _SAID:
        _SAID.add(key)
        warning(event, **facts)


def internal_error(event, **facts):
    """Logs the exception at hand by its type and place, not by its message."""
    LOGGER.error("", exc_info=True, extra={"event": event, "facts": facts})


def _log(level, event, facts):
    LOGGER.log(level, "%s %s", event, facts, extra={"event": event, "facts": facts})


def _where(traceback):
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return places[-6:]


def request(model, api, entrypoint, code, seconds):
    """Logs a request: one that was answered for debugging only."""
    _log(
        logging.DEBUG if code == "OK" else logging.INFO,
        "request",
        {
            "model": model,
            "api": api,
            "entrypoint": entrypoint,
            "code": code,
            "milliseconds": round(seconds * 1000, 3),
        },
    )
