"""The artifact store against nginx, md5sum and cp: one large object in and out."""
import os
import shutil
import subprocess
import time

from mh.programs import EMULATOR, free_port, wait_for

from measure.machine import pinned
from measure.scene import DEADLINE_S, Http
from measure.table import Row, Series

BYTES = 1 << 30

NGINX = """daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  server {{ listen 127.0.0.1:{port}; root {dir}; }} }}
"""


def _program(name):
    """Where a peer is; /usr/sbin is not on everybody's path."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _seconds(*argv):
    begun = time.monotonic_ns()
    done = subprocess.run(pinned(None, list(argv)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=DEADLINE_S, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr[-300:]}")
    return (time.monotonic_ns() - begun) / 1e9


def _answers(port, path):
    def there():
        try:
            Http(port).connection.request("GET", path)
            return True
        except OSError:
            return False
    wait_for(there, DEADLINE_S, "a server to answer")


def _nginx(scene):
    """The port of an nginx that serves the scene's directory, or None where there is none."""
    program = _program("nginx")
    if not program:
        return None
    port = free_port()
    conf = scene.path("nginx.conf")
    with open(conf, "w") as f:
        f.write(NGINX.format(dir=scene.dir, port=port))
    scene.start("nginx", [program, "-c", conf], cpu=None)
    _answers(port, "/")
    return port


def _emulator(scene):
    port = free_port()
    scene.start("store", [EMULATOR, "--listen", f"127.0.0.1:{port}", "--data-dir", scene.path("store"),
                          "--log-level", "warn"], cpu=None)
    _answers(port, "/_millhand/health")
    _seconds("curl", "-sSf", "-X", "PUT", f"http://127.0.0.1:{port}/bench")
    return port


def _make_file(path, size):
    block = os.urandom(1 << 20)
    with open(path, "wb") as f:
        for _ in range(size >> 20):
            f.write(block)


def s3(scene, plan):
    """An object of 1 GiB: get against nginx, put against md5sum and cp; needs curl, and nginx."""
    size = max(64 << 20, int(BYTES * plan.scale) >> 20 << 20)
    body, copy = scene.path("body"), scene.path("copy")
    _make_file(body, size)
    port, peer = _emulator(scene), _nginx(scene)
    url = f"http://127.0.0.1:{port}/bench/body"
    got = {"get": [], "nginx": [], "put": [], "md5sum": [], "cp": []}
    for _ in range(plan.rounds):
        plan.noise.wait()
        got["md5sum"].append(_seconds("md5sum", body))
        got["cp"].append(_seconds("sh", "-c", 'cp "$0" "$1" && sync "$1"', body, copy))
        os.unlink(copy)
        got["put"].append(_seconds("curl", "-sSf", "-H", "Expect:", "-T", body, url))
        got["get"].append(_seconds("curl", "-sSf", "-o", "/dev/null", url))
        if peer:
            got["nginx"].append(_seconds("curl", "-sSf", "-o", "/dev/null", f"http://127.0.0.1:{peer}/body"))
    speeds = {k: [size / 1e9 / s for s in v] for k, v in got.items()}
    nginx = Series("nginx", "GB/s", speeds["nginx"]) if peer else None
    longer = Series("the longer of md5sum and cp with sync", "s", [max(a, b) for a, b in zip(got["md5sum"], got["cp"])])
    get = Series("get", "GB/s", speeds["get"], base=nginx, limit=(">=", 0.8, "ratio") if peer else None,
                 note="" if peer else "no nginx here")
    return [Row(f"artifact store: {size >> 20} MiB", get, *([nginx] if nginx else []),
                Series("put", "s", got["put"], base=longer, limit=("<=", 1.25, "ratio")), longer,
                Series("  md5sum", "s", got["md5sum"]), Series("  cp and sync", "s", got["cp"]))]


ROWS = {"s3": s3}
