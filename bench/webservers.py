"""Web servers that nobody wrote for a bench, and wrk, from Debian's packages; what they hold is not known."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import load
from tests.beds import CACHE, packages

PACKAGES = ("nginx", "wrk", "libluajit-5.1-2", "libluajit-5.1-common")
FOLDER = CACHE / "webservers"

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""

# Waits for a database as most do: in one of the forty threads that Starlette gives whoever says nothing of it.
APPLICATION = """
import sys, time, uvicorn
from fastapi import FastAPI
app = FastAPI()

@app.get("/{path:path}")
def look(path: str) -> dict[str, str]:
    time.sleep(0.2)
    return {"path": path}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""


@contextmanager
def nginx() -> Iterator[int]:
    """nginx with one worker, as packaged; gives its port."""
    packages.unpack(PACKAGES, FOLDER)
    port = load.free_port()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "nginx.conf")
        written.write_text(NGINX.format(folder=folder, port=port))
        with load.running([FOLDER / "usr" / "sbin" / "nginx", "-e", f"{folder}/error.log", "-c", written], port, {}):
            yield port


@contextmanager
def untuned() -> Iterator[int]:
    """A FastAPI application as its tutorial has it; gives its port."""
    port = load.free_port()
    with load.running([sys.executable, "-c", APPLICATION, port], port, {}):
        yield port


def wrk(url: str, connections: int = 64, seconds: int = 4) -> float:
    """Requests a second that it gets answered, by one thread that asks again as soon as it is."""
    packages.unpack(PACKAGES, FOLDER)
    (libraries,) = {found.parent for found in FOLDER.glob("usr/lib/*/libluajit-5.1.so.2")}
    words = [FOLDER / "usr" / "bin" / "wrk", "-t1", f"-c{connections}", f"-d{seconds}", f"{url}/scores"]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    told = subprocess.run(words, check=True, capture_output=True, text=True, env=environment).stdout
    return float(told.rpartition("Requests/sec:")[2].split()[0])
