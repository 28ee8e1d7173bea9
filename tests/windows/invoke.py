"""Runs inside the Windows Python: calls one function and writes down what it returned.

``python -m tests.windows.invoke JOB`` where JOB is a JSON file: ``target`` (MODULE:FUNCTION),
``arguments``, ``result`` (path of the answer) and ``patience`` (seconds until every thread's
stack is written to standard error). A coroutine function runs on the Proactor loop.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import inspect
import json
import os
import sys
import traceback
from pathlib import Path

__all__ = ["main"]


def main(job_path: str) -> int:
    job = json.loads(Path(job_path).read_text("utf-8"))
    faulthandler.dump_traceback_later(job["patience"])
    module, _, name = job["target"].partition(":")
    status = 0
    try:
        function = getattr(importlib.import_module(module), name)
        result = function(*job["arguments"])
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        answer = {"result": result}
    except BaseException:
        answer = {"error": traceback.format_exc()}
        status = 1
    faulthandler.cancel_dump_traceback_later()
    path = Path(job["result"])
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(answer), "utf-8")
    os.replace(temporary, path)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
