"""The log: facts by the line, and no more lines than a disk can take."""

import json
import logging

from serving_clients import rest

from tfmeta.serve import logs


def record():
    return logging.LogRecord("tfmeta.serve", logging.INFO, "", 0, "words", (), None)


def test_lines_beyond_a_seconds_share_are_dropped_and_counted():
    now = 10.0
    limit = logs.LineLimit(3, lambda: now)
    assert [limit.filter(record()) for _ in range(5)] == [True, True, True, False, False]
    now = 11.5
    first, second = record(), record()
    assert limit.filter(first)
    assert limit.filter(second)
    assert json.loads(logs.JsonFormatter().format(first))["lines_dropped_before"] == 2
    assert "lines_dropped_before" not in json.loads(logs.JsonFormatter().format(second))
    assert json.loads(logs.JsonFormatter().format(first))["message"] == "words"


def test_a_client_that_is_refused_again_and_again_does_not_fill_the_log(served, log_lines):
    for _ in range(3 * logs.MOST_LINES_A_SECOND):
        logs.request("model", "predict", "REST", "NOT_FOUND", 0.001)
    assert rest(served, "GET", "/v1/models/nobody")[0] == 404
    assert len(log_lines().splitlines()) < 3 * logs.MOST_LINES_A_SECOND
