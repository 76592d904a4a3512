# SPDX-License-Identifier: Apache-2.0
"""Starts and drives the fake upstream, and recomputes the context that it says it saw. README.md explains the terms.

    with FakeUpstream(["a:platform:sk-a", "b:platform:sk-b"]) as up:
        up.script("a", {"status": 500}, count=2)
        ...
        assert up.stats()["accounts"]["b"]["foreign"] == 0
"""
import hashlib
import json
import os
import pathlib
import subprocess
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
ECHO_MAX = 1024


def binary():
    """FAKE_UPSTREAM in the environment, else the newest of the build directories."""
    if os.environ.get("FAKE_UPSTREAM"):
        return os.environ["FAKE_UPSTREAM"]
    found = sorted(ROOT.glob("build/*/fake-upstream"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise FileNotFoundError("fake-upstream is not built: ninja -C build/debug fake-upstream")
    return str(found[-1])


class FakeUpstream:
    def __init__(self, accounts, *args, program=None):
        self.specs = {spec.split(":")[0]: spec.split(":", 2) for spec in accounts}
        command = [program or binary(), *args]
        for spec in accounts:
            command += ["--account", spec]
        self.own = {}  # account -> address of its own port
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "account":
                self.own[words[1]] = words[3]
            if words[0] == "listening":
                self.address = words[2]
                break
        else:
            raise RuntimeError("fake-upstream ended with %s" % self.process.wait())
        host, _, port = self.address.rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """SIGTERM; the exit status: 0, or 1 where the loop had a live handle left."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(timeout=20)
        self.process.stdout.close()
        return status

    def key(self, account):
        spec = self.specs[account]
        return spec[2] if len(spec) > 2 else ""

    def base_url(self, account, named=False):
        """What an account's base URL is set to. named: the path names the account (needed for several without key)."""
        path = "/backend-api/codex" if self.specs[account][1] == "codex" else "/v1"
        return "http://%s%s%s" % (self.own.get(account, self.address), "/a/" + account if named else "", path)

    def ws_url(self, account, named=False):
        return "ws" + self.base_url(account, named)[len("http"):] + "/responses"

    def control(self, method, path, order=None):
        data = None if order is None else (order if isinstance(order, bytes) else json.dumps(order).encode())
        request = urllib.request.Request("http://%s/_fake%s" % (self.address, path), data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read().decode("utf-8", "surrogatepass"))
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from None

    def stats(self, account=None):
        stats = self.control("GET", "/stats")
        return stats["accounts"][account] if account else stats

    def requests(self, account=None, last=1000, base64=False, answer=False):
        """Oldest first. headers is a list of pairs."""
        query = "?last=%d" % last + ("&account=" + account if account else "")
        query += ("&body=base64" if base64 else "") + ("&answer=1" if answer else "")
        return self.control("GET", "/requests" + query)["requests"]

    def context(self, response_id):
        return self.control("GET", "/context?id=" + response_id)["entries"]

    def script(self, account, do, count=1, any_request=False, upgrade=False):
        """do: a dictionary, or JSON text where Python's json cannot write it (1e400, a member twice)."""
        do = do if isinstance(do, str) else json.dumps(do)
        order = '{"account":"%s","count":%d,"any":%s,"upgrade":%s,"do":%s}' % (
            account, count, json.dumps(any_request), json.dumps(upgrade), do)
        return self.control("POST", "/script", order.encode())

    def account(self, account, **order):
        """mode="down", retry_after=3, models=["m"], chat=False, do={..} (standing script; None removes it), upgrade={..} (the same
        for upgrades), token={..} (for the token URL)"""
        return self.control("POST", "/account", dict(order, account=account))

    def login(self, account, **order):
        """lives=SECONDS: a new login, whose access tokens live so long; expire=True: all access tokens have expired. Returns
        access_token, refresh_token, renewed, reused, revoked, expires."""
        return self.control("POST", "/login", dict(order, account=account))

    def reset(self, account=None, forget=False):
        return self.control("POST", "/reset", {"forget": forget, **({"account": account} if account else {})})

    def close_idle(self, account=None, abort=False):
        return self.control("POST", "/close", {"abort": abort, **({"account": account} if account else {})})

    def sockets(self, account=None):
        """The open ones: socket, account, turns, running, lanes (named ones)."""
        return [s for s in self.control("GET", "/sockets")["sockets"] if account in (None, s["account"])]

    def socket(self, account=None, **order):
        """To all open sockets (of the account), or to socket=N: send=.., ping=True, deaf=True, and close=1012 with reason,
        eof=True or abort=True. Returns how many there were."""
        return self.control("POST", "/sockets", dict(order, **({"account": account} if account else {})))["sockets"]


def marker(**do):
    """Text to put into a user message: marker(status=500, times=1)."""
    return "{{fake: %s}}" % json.dumps(do)


# ---- the context, recomputed ----

def _content(value):
    if isinstance(value, str):
        return value
    return "".join(_part(part) for part in value) if isinstance(value, list) else ""


def _part(part):
    for name in ("text", "refusal"):
        if isinstance(part.get(name), str):
            return part[name]
    for name in ("image_url", "file_id", "file_url", "filename"):
        if isinstance(part.get(name), str):
            return "[%s %s]" % (part.get("type", ""), part[name])
    return "[%s]" % part.get("type", "")


def entry(item):
    """The canonical entry of one item, or None for reasoning. item_reference: give the item that it names."""
    kind = item.get("type") or "message"
    if kind == "reasoning":
        return None
    if kind == "message":
        return "%s:%s" % (item.get("role", ""), _content(item.get("content")))
    call = item.get("call_id") or ""
    if call and kind.endswith("_output"):
        return "output:%s:%s" % (call, _content(item.get("output")))
    if call and kind.endswith("_call"):
        return "call:%s:%s:%s" % (call, item.get("name", ""), item.get("arguments", item.get("input", "")))
    return "%s:%s" % (kind, item.get("encrypted_content") or call)


def entries(items):
    """items: the whole history, oldest first; a string is one user message."""
    if isinstance(items, str):
        return ["user:" + items]
    return [e for e in (entry(item) for item in items) if e is not None]


def context_hash(history):
    """history: list of entries."""
    digest = bytes(32)
    for text in history:
        digest = hashlib.sha256(digest + text.encode()).digest()
    return digest.hex()


def expected_text(history):
    """The text that an account answers when it saw exactly this history (a list of entries)."""
    users = [e[len("user:"):] for e in history if e.startswith("user:")]
    echo = (users[-1] if users else "").encode()[:ECHO_MAX].decode(errors="ignore")
    return "seen %d %s: %s" % (len(history), context_hash(history), echo)
