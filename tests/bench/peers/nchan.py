"""nginx with the nchan module: worker processes that share messages in shared memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr crit;
worker_processes {workers};
worker_rlimit_nofile 20000;
load_module {module};
events {{ worker_connections 19000; }}
http {{
  access_log off;
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  nchan_shared_memory_size 512M;
  server {{
    # Without it nearly all viewers go to one worker.
    listen 127.0.0.1:{port} reuseport backlog=4096;
    location ~ ^/publish/(.+)$ {{
      nchan_publisher websocket;
      nchan_channel_id $1;
      nchan_message_buffer_length 2;
    }}
    location ~ ^/view/(.+)$ {{
      nchan_subscriber websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


def about() -> None:
    """Tell of this peer, or why it is not here."""
    nginx = shutil.which("nginx")
    if nginx is None or not MODULE.exists():
        sys.exit("nginx or its nchan module is not installed")
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True).stderr
    version = f"nginx {said.rpartition('/')[2].strip()}"
    print(json.dumps({"name": "nchan", "version": version, "workers": "own"}))


def main() -> None:
    """Become nginx."""
    if sys.argv[1:] == ["--about"]:
        about()
        return
    folder = tempfile.mkdtemp(prefix="bench-nchan-")
    config = Path(folder, "nginx.conf")
    config.write_text(
        CONFIG.format(folder=folder, module=MODULE, port=sys.argv[1], workers=sys.argv[2])
    )
    os.execvp("nginx", ["nginx", "-c", str(config), "-p", folder, "-e", "stderr"])


main()
