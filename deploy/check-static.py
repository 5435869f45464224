#!/usr/bin/env python3
"""Runs a static `jobhook` where there is nothing else: `./just check-static`.

    deploy/check-static.py PROGRAM

In a root folder with the program, a resolv.conf, a configuration and no other file, it is the server, the client and the
entrypoint (`jobhook exec`) of an action, and the action's hook is an address whose name only a server of
names knows: one that this script is. It takes a network and a root of its own, as an ordinary user too
(`unshare`, with user namespaces allowed).
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HOST = "jobhook.example"
PORT = 8088
CONFIG = f"""
[server]
public_url = "http://{HOST}:{PORT}"
[runners.wrapped]
type = "LocalRunner"
actions = ["Wrapped"]
command = "/jobhook"
args = ["exec", "--lines", "always", "--", "/jobhook", "--version"]
"""


def answer_names():
    """A server of names that knows HOST, by IPv4 (RFC 1035)."""
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))

    def serve():
        while True:
            query, client = names.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            asked = query[12 : end - 4]
            kind = struct.unpack("!H", query[end - 4 : end - 2])[0]
            wanted = b"".join(bytes([len(part)]) + part.encode() for part in HOST.split(".")) + b"\0"
            is_known = asked == wanted
            found = is_known and kind == 1
            flags = 0x8180 if is_known else 0x8183
            head = query[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0)
            record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
            names.sendto(head + query[12:end] + (record if found else b""), client)

    threading.Thread(target=serve, daemon=True).start()


def check(program):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    answer_names()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("etc", "proc", "dev", "data"):
            (root / name).mkdir()
        (root / "data").chmod(0o700)
        (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        (root / "jobhook.toml").write_text(CONFIG)
        shutil.copy(program, root / "jobhook")
        # These come from the container's engine, not from its image.
        subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
        for name in ("null", "random", "urandom"):
            (root / "dev" / name).touch()
            subprocess.run(["mount", "--bind", f"/dev/{name}", root / "dev" / name], check=True)
        try:
            run_in(root)
        finally:
            for name in ("proc", "dev/null", "dev/random", "dev/urandom"):
                subprocess.run(["umount", "--lazy", root / name], check=False)


def run_in(root):
    environment = {"JOBHOOK_URL": f"http://{HOST}:{PORT}", "JOBHOOK_DATA_DIR": "/data"}

    def start(*arguments):
        command = [shutil.which("chroot"), root, "/jobhook", *arguments]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)

    # The hook's address is not one of this machine, as far as the server can see.
    token, _ = start("token", "create", "check", "--scope", "launch").communicate(timeout=60)
    environment["JOBHOOK_TOKEN"] = token.strip()
    server = start("serve", "--config", "/jobhook.toml", "--listen", f"127.0.0.1:{PORT}")
    try:
        print(server.stdout.readline().strip())
        launch = start("launch", "Wrapped", "--wait", "--json")
        action = json.loads(launch.communicate(timeout=60)[0])
        log, _ = start("logs", action["uuid"]).communicate(timeout=60)
        print(action["status"], log, sep="\n", end="")
        assert action["status"] == "SUCCESS", action
        # Once from the pipe of the runner, and once over the hook, by its name.
        assert log.count("jobhook 0.") == 2, log
        said = action["witness"].get("said")
        assert said == "SUCCESS", action["witness"]
    finally:
        server.terminate()
        server.wait(timeout=60)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if os.environ.get("JOBHOOK_CHECK_STATIC") != "inside":
        os.environ["JOBHOOK_CHECK_STATIC"] = "inside"
        apart = ["unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"]
        os.execvp(apart[0], [*apart, sys.executable, *sys.argv])
    check(Path(sys.argv[1]).resolve())
