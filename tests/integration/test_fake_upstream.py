# SPDX-License-Identifier: Apache-2.0
"""The fake upstream by itself, without a gateway: whoever tests with it relies on what is asserted here."""
import asyncio
import http.client
import json
import re
import pathlib
import random
import socket
import struct
import sys
import time

import aiohttp
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "upstream"))
import fake_upstream as fake  # noqa: E402

ACCOUNTS = ["a:platform:sk-a", "b:platform:sk-b", "x:codex:tok-x", "y:codex:tok-y", "s:stateless"]


@pytest.fixture(scope="module")
def shared():
    up = fake.FakeUpstream(ACCOUNTS, "--account-listen", "b=127.0.0.1:0")
    yield up
    assert up.stop() == 0


@pytest.fixture
def up(shared):
    shared.reset(forget=True)
    return shared


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def events(self):
        """(event name, JSON) of each event; [DONE] is None."""
        found = []
        for unit in self.body.decode().split("\n\n"):
            name = data = None
            for line in unit.split("\n"):
                if line.startswith("event: "):
                    name = line[7:]
                if line.startswith("data: "):
                    data = (data or "") + line[6:]
            if data is not None:
                found.append((name, None if data == "[DONE]" else json.loads(data)))
        return found


def call(up, account, body, path=None, method="POST", headers=None, conn=None):
    """One request on a connection of its own (or conn), to its end."""
    prefix = "/backend-api/codex" if up.specs[account][1] == "codex" else "/v1"
    mine = conn or http.client.HTTPConnection(up.host, up.port, timeout=20)
    all_headers = {"content-type": "application/json", **(headers or {})}
    if up.key(account):
        all_headers["authorization"] = "Bearer " + up.key(account)
    data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
    mine.request(method, path or prefix + "/responses", data, all_headers)
    answer = mine.getresponse()
    result = Answer(answer.status, answer.headers, answer.read())
    if conn is None:
        mine.close()
    return result


def turn(up, account, given, **more):
    body = {"model": "gpt-fake", "input": given, **more}
    if up.specs[account][1] == "codex":
        body = {"store": False, "stream": True, **body}
        if isinstance(given, str):
            body["input"] = [{"role": "user", "content": given}]
    return call(up, account, body)


def text_of(response):
    return "".join(p["text"] for i in response["output"] if i["type"] == "message" for p in i["content"])


def raw(up, account, body, read_for=5.0):
    """The bytes of an answer and how it ended: 'eof', 'reset' or 'silent'."""
    s = socket.create_connection((up.host, up.port))
    data = json.dumps({"model": "gpt-fake", "stream": True, **body}).encode()
    s.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" %
              (up.key(account).encode(), len(data), data))
    s.settimeout(read_for)
    got = b""
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                return got, "eof"
            got += piece
    except ConnectionResetError:
        return got, "reset"
    except socket.timeout:
        return got, "silent"
    finally:
        s.close()


# ---- the context ----

def test_answer_says_what_was_seen(up):
    given = [{"role": "developer", "content": "be ü\u0000"}, {"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "data:x"}]}]
    answer = turn(up, "a", given).json()
    assert text_of(answer) == fake.expected_text(fake.entries(given))
    assert text_of(answer).endswith(": look[input_image data:x]")
    assert up.requests("a")[-1]["seen"]["entries"] == fake.entries(given)


@pytest.mark.parametrize("account", ["a", "x", "s"])
def test_replayed_history_is_seen_alike_by_every_kind(up, account):
    history = []
    for n in range(5):
        history.append({"role": "user", "content": "turn %d" % n})
        answer = turn(up, account, history, stream=True)
        items = [e["item"] for name, e in answer.events() if name == "response.output_item.done"]
        assert text_of({"output": items}) == fake.expected_text(fake.entries(history))
        history += items


def test_chain_continues_only_where_it_was_stored(up):
    history, last = [], None
    for n in range(20):
        answer = turn(up, "a", "turn %d" % n, previous_response_id=last).json()
        history += fake.entries("turn %d" % n)
        assert text_of(answer) == fake.expected_text(history)
        assert answer["previous_response_id"] == last
        history += fake.entries(answer["output"])
        last = answer["id"]
    assert up.context(last) == history
    refused = turn(up, "b", "more", previous_response_id=last)
    unknown = turn(up, "b", "more", previous_response_id="resp_nobody")
    for answer, name in ((refused, last), (unknown, "resp_nobody")):
        assert answer.status == 400
        assert answer.json() == {"error": {
            "message": "Previous response with id '%s' not found." % name, "type": "invalid_request_error",
            "param": "previous_response_id", "code": "previous_response_not_found"}}
    found = up.stats("b")["found"]
    assert (found["foreign_response"], found["unknown_response"]) == (1, 1)
    assert up.stats("b")["foreign"] == 1 and up.stats("a")["foreign"] == 0


def test_store_false_is_not_kept(up):
    answer = turn(up, "a", "hello", store=False).json()
    assert answer["store"] is False
    assert turn(up, "a", "more", previous_response_id=answer["id"]).status == 400


# ---- what an account refuses ----

def test_foreign_ciphertext_files_and_items_are_refused_and_counted(up):
    answer = turn(up, "a", "think", include=["reasoning.encrypted_content"]).json()
    reasoning, message = answer["output"]
    assert reasoning["encrypted_content"].startswith("enc:a:")
    history = [{"role": "user", "content": "think"}, reasoning, message, {"role": "user", "content": "go on"}]
    assert turn(up, "a", history).status == 200
    refused = turn(up, "b", history)
    assert (refused.status, refused.json()["error"]["code"]) == (400, "invalid_encrypted_content")
    bare = [{"role": "user", "content": "x"}, {k: v for k, v in reasoning.items() if k != "encrypted_content"}, message]
    assert turn(up, "a", bare).status == 200  # it was stored there
    refused = turn(up, "b", bare)
    assert refused.status == 404 and refused.json()["error"]["message"].startswith("Item with id 'rs_a_")
    assert turn(up, "b", [{"id": reasoning["id"], "type": "item_reference"}]).status == 404
    assert turn(up, "a", [{"id": message["id"], "type": "item_reference"}, {"role": "user", "content": "y"}]).status == 200
    inline = {k: v for k, v in message.items() if k != "id"}
    assert turn(up, "a", [{"id": reasoning["id"], "type": "item_reference"}, inline]).status == 200
    assert turn(up, "a", [{"id": i["id"]} for i in answer["output"]]).status == 200
    part = {"type": "input_file", "file_id": "file-a-7"}
    assert turn(up, "a", [{"role": "user", "content": [part]}]).status == 200
    assert turn(up, "b", [{"role": "user", "content": [part]}]).status == 404
    found = up.stats("b")["found"]
    assert found["foreign_ciphertext"] == 1 and found["foreign_item"] == 2 and found["foreign_file"] == 1
    assert found["foreign_id"] == 2  # the message's, twice
    assert up.stats("a")["foreign"] == 0


def test_reasoning_and_what_follows_it_stay_together(up):
    answer = turn(up, "x", "think", include=["reasoning.encrypted_content"])
    items = [e["item"] for name, e in answer.events() if name == "response.output_item.done"]
    user = {"role": "user", "content": "go on"}
    assert "without its required 'reasoning' item" in turn(up, "x", [items[1], user]).json()["error"]["message"]
    assert "without its required following item" in turn(up, "x", [items[0]]).json()["error"]["message"]
    without_id = {k: v for k, v in items[1].items() if k != "id"}
    assert turn(up, "x", [without_id, user]).status == 200
    assert up.stats("x")["found"]["reasoning_pair"] == 2


def test_calls_and_outputs_must_pair(up):
    ask = "run it " + fake.marker(calls=[{"name": "sh", "arguments": {"cmd": "ls"}}])
    answer = turn(up, "a", ask).json()
    call_item = answer["output"][0]
    assert json.loads(call_item["arguments"]) == {"cmd": "ls"}
    unanswered = turn(up, "a", "well?", previous_response_id=answer["id"])
    assert unanswered.json()["error"]["message"] == "No tool output found for function call %s." % call_item["call_id"]
    assert unanswered.json()["error"]["param"] == "input"
    output = {"type": "function_call_output", "call_id": call_item["call_id"], "output": "done"}
    good = turn(up, "a", [output], previous_response_id=answer["id"]).json()
    assert text_of(good) == fake.expected_text(fake.entries(ask) + fake.entries([call_item, output]))
    orphan = turn(up, "s", [output])
    assert "No tool call found for function call output with call_id" in orphan.json()["error"]["message"]
    assert turn(up, "s", [{"role": "user", "content": ask}, call_item, output]).json()["status"] == "completed"


def test_codex_refuses_what_the_real_one_refuses(up):
    base = {"model": "m", "input": [{"role": "user", "content": "x"}], "store": False, "stream": True}
    assert call(up, "x", base).status == 200
    for change, detail in (({"previous_response_id": "resp_a_1"}, "Unsupported parameter: previous_response_id"),
                           ({"temperature": 1}, "Unsupported parameter: temperature"),
                           ({"store": True}, "Store must be set to false"),
                           ({"stream": False}, "Stream must be set to true")):
        answer = call(up, "x", {**base, **change})
        assert (answer.status, answer.json()) == (400, {"detail": detail})
    assert up.stats("x")["found"]["parameter"] == 4
    done = call(up, "x", base).events()
    assert done[-2][1]["response"]["output"] == []
    assert any(name == "response.output_item.done" for name, _ in done)


def test_stateless_knows_nothing(up):
    assert turn(up, "s", "x", previous_response_id="resp_s_1").status == 400
    assert turn(up, "s", [{"type": "item_reference", "id": "msg_s_1_0"}]).status == 404
    assert call(up, "s", None, "/v1/responses/resp_s_1", "GET").status == 404


def test_accounts_are_told_apart_by_key_path_and_port(up):
    assert call(up, "s", {"model": "m", "input": "x"}, "/a/s/v1/responses").json()["id"].startswith("resp_s_")
    assert call(up, "a", {"model": "m", "input": "x"}, "/a/a/v1/responses").json()["id"].startswith("resp_a_")
    assert call(up, "a", {"model": "m", "input": "x"}, "/a/b/v1/responses").status == 401
    assert call(up, "a", {"model": "m", "input": "x"}, "/a/nobody/v1/responses").status == 401
    assert up.stats()["unauthorized"] == 2
    host, port = up.own["b"].split(":")
    own = http.client.HTTPConnection(host, int(port), timeout=5)
    own.request("POST", "/v1/responses", '{"model":"m","input":"x"}', {"authorization": "Bearer sk-b"})
    assert json.loads(own.getresponse().read())["id"].startswith("resp_b_")


# ---- streams ----

def test_event_order_and_numbers(up):
    answer = turn(up, "a", "think " + fake.marker(calls=[{"name": "f"}], say=True), stream=True,
                  include=["reasoning.encrypted_content"])
    events = answer.events()
    assert [e["sequence_number"] for _, e in events[:-1]] == list(range(len(events) - 1))
    assert all(name == e["type"] for name, e in events[:-1])
    names = [name for name, _ in events]
    folded = [n for i, n in enumerate(names) if i == 0 or n != names[i - 1]]
    added, done = "response.output_item.added", "response.output_item.done"
    assert folded == ["response.created", "response.in_progress",
                      added, "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
                      "response.reasoning_summary_text.done", "response.reasoning_summary_part.done", done,
                      added, "response.content_part.added", "response.output_text.delta", "response.output_text.done",
                      "response.content_part.done", done,
                      added, "response.function_call_arguments.delta", "response.function_call_arguments.done", done,
                      "response.completed", None]
    final = events[-2][1]["response"]
    assert final["output"] == [e["item"] for n, e in events if n == done]
    assert "".join(e["delta"] for n, e in events if n == "response.output_text.delta") == text_of(final)
    for key in ("id object created_at completed_at status incomplete_details model previous_response_id instructions output "
                "error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty "
                "top_logprobs temperature reasoning usage max_output_tokens max_tool_calls store background service_tier "
                "metadata safety_identifier prompt_cache_key").split():
        assert key in final, key


def test_deltas_pace_and_stamp(up):
    up.script("a", {"deltas": 20, "delta_bytes": 150, "delay_ms": 20, "stamp": True})
    begin = time.monotonic()
    events = turn(up, "a", "x", stream=True).events()
    assert time.monotonic() - begin >= 0.4
    stamps = [int(e["fake_ns"]) for n, e in events if n == "response.output_text.delta"]
    assert len(stamps) == 20 and stamps == sorted(stamps)
    assert stamps[-1] - stamps[0] >= 19 * 20e6
    assert 0 <= time.monotonic_ns() - stamps[-1] < 10e9


POINTS = {"open": 0, "created": 2, "added": 3, "item": 5, "item_done": None, "output": None, "terminal": None}


@pytest.mark.parametrize("fault,ending", [("eof", "eof"), ("reset", "reset"), ("silence", "silent")])
@pytest.mark.parametrize("at", ["head", *POINTS, "cut"])
def test_every_fault_at_every_point(up, at, fault, ending):
    got, how = raw(up, "a", {"input": "x " + fake.marker(at=at, fault=fault)}, read_for=0.4 if fault == "silence" else 5)
    assert how == ending
    if at == "head":
        assert got == b""
        return
    assert got.startswith(b"HTTP/1.1 200")
    count = got.count(b"event: ")
    if POINTS.get(at) is not None:
        assert count == POINTS[at]
    if at in ("item_done", "output"):
        assert got.count(b"event: response.output_item.done") == 1 and b"event: response.completed" not in got
    if at == "terminal":
        assert b"event: response.completed" in got and b"[DONE]" not in got
    if at == "cut":
        assert b'"user":null}}' not in got.split(b"event: response.completed")[1]
    assert b"\r\n0\r\n\r\n" not in got


@pytest.mark.parametrize("fault,name", [("failed", "response.failed"), ("incomplete", "response.incomplete"),
                                        ("error", "error"), ("error_nested", "error"), ("failed_bare", "response.failed")])
@pytest.mark.parametrize("at", ["open", "created", "item", "output"])
def test_failure_events(up, at, fault, name):
    events = turn(up, "a", fake.marker(at=at, fault=fault, code="rate_limit_exceeded", message="slow"), stream=True).events()
    assert [e for e in events[-1:]] == [(None, None)]
    assert events[-2][0] == name
    last = events[-2][1]
    if fault == "failed":
        assert last["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow"}
        assert last["response"]["id"].startswith("resp_a_")
    elif fault == "error":
        assert last["code"] == "rate_limit_exceeded"
    elif fault == "error_nested":
        assert last["error"]["code"] == "rate_limit_exceeded"
    elif fault == "failed_bare":
        assert "id" not in last["response"] and "sequence_number" not in last


def test_whole_error_objects_in_every_shape(up):
    error = {"type": "usage_limit_reached", "message": "used up", "plan_type": "pro", "resets_at": 1900000000}

    def told(**do):
        return turn(up, "a", fake.marker(error=error, **do), stream=True).events()[-2][1]
    assert turn(up, "a", fake.marker(error=error, status=429)).json() == {"error": error}
    assert turn(up, "a", fake.marker(error=error, fault="error")).json() == {"error": error}
    assert turn(up, "a", fake.marker(error=error, fault="failed")).json()["error"] == error
    assert told(fault="failed", at="created")["response"]["error"] == error
    assert told(fault="failed_bare", at="created")["response"] == {"status": "failed", "error": error}
    assert told(fault="error_nested", at="open")["error"] == error
    flat = told(fault="error", at="created")
    assert flat == {"type": "error", "sequence_number": 2, "error_type": "usage_limit_reached", "message": "used up",
                    "plan_type": "pro", "resets_at": 1900000000}


def test_a_script_speaks_in_place_of_the_accounts_headers(up):
    usage = {"X-Codex-Primary-Used-Percent": "100", "x-codex-primary-reset-at": "1900000000"}
    answer = turn(up, "x", fake.marker(headers=usage))
    assert answer.headers.get_all("x-codex-primary-used-percent") == ["100"]
    assert answer.headers["x-codex-primary-reset-at"] == "1900000000"
    assert answer.headers["x-codex-primary-window-minutes"] == "300"
    event = {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 100}}}
    events = turn(up, "x", fake.marker(before=[event])).events()
    assert events[0] == ("codex.rate_limits", event) and events[1][0] == "response.created"


def test_failure_after_so_many_events_and_after_silence(up):
    events = turn(up, "a", fake.marker(at_event=4, fault="failed"), stream=True).events()
    assert len(events) == 6
    begin = time.monotonic()
    got, how = raw(up, "a", {"input": fake.marker(at="created", fault="silence", for_ms=300, then="eof")})
    assert how == "eof" and time.monotonic() - begin >= 0.3 and got.count(b"event: ") == 2
    events = turn(up, "a", fake.marker(at="created", fault="silence", for_ms=50), stream=True).events()
    assert events[-2][0] == "response.completed"
    events = turn(up, "a", fake.marker(at="output", fault="end"), stream=True).events()
    assert events[-1][0] == "response.output_item.done"


def test_a_turn_that_failed_is_not_stored(up):
    for do in ({"at": "output", "fault": "failed"}, {"at": "output", "fault": "end"}):
        events = turn(up, "a", fake.marker(**do), stream=True).events()
        assert turn(up, "a", "x", previous_response_id=events[0][1]["response"]["id"]).status == 400
    events = turn(up, "a", fake.marker(fault="incomplete"), stream=True).events()
    assert turn(up, "a", "x", previous_response_id=events[0][1]["response"]["id"]).status == 200


def test_plain_answers(up):
    up.script("a", {"status": 429, "retry_after": 7, "code": "rate_limit_exceeded", "message": "slow", "headers": {"X-One": "1"}})
    answer = turn(up, "a", "x")
    assert (answer.status, answer.headers["retry-after"], answer.headers["x-one"]) == (429, "7", "1")
    assert answer.json()["error"] == {"message": "slow", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    up.script("a", {"status": 502, "html": True})
    answer = turn(up, "a", "x", stream=True)
    assert answer.status == 502 and answer.headers["content-type"].startswith("text/html") and b"<h1>502" in answer.body
    up.script("a", {"status": 400, "body": {"detail": "no"}})
    assert turn(up, "a", "x").json() == {"detail": "no"}
    up.script("a", {"raw": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy"})
    assert raw(up, "a", {"input": "x"})[0].endswith(b"xy")
    assert turn(up, "a", "x").status == 200
    assert up.stats("a")["faulted"] == 4 and up.stats("a")["completed"] == 1


@pytest.mark.parametrize("fault,ending", [("eof", "eof"), ("reset", "reset"), ("silence", "silent")])
def test_broken_json_answers(up, fault, ending):
    got, how = raw(up, "a", {"input": fake.marker(at="body", fault=fault), "stream": False}, 0.4 if fault == "silence" else 5)
    assert how == ending and b"content-length" in got and not got.endswith(b"}")


def test_framings_slices_and_line_ends(up):
    def norm(body):
        for tag in (b"resp_a_", b"msg_a_"):
            at = body.find(tag)
            while at >= 0:
                body = body[:at] + tag + body[at + len(tag) + 8:]
                at = body.find(tag, at + 1)
        return re.sub(rb'"(created|completed)_at":\d+', b'', body)
    plain = norm(turn(up, "a", "x", stream=True).body)
    for do in ({"framing": "length"}, {"framing": "eof"}, {"slice": 7}, {"slice": 1}, {"slice": 900, "slice_delay_ms": 10}):
        up.script("a", do)
        assert norm(turn(up, "a", "x", stream=True).body) == plain, do
    up.script("a", {"line_end": "crlf", "comments": True})
    body = turn(up, "a", "x", stream=True).body
    assert body.count(b"\r\n\r\n") >= 8 and b"\n: comment" in body
    up.script("a", {"pretty": True, "no_event": True, "done": 2})
    answer = turn(up, "a", "x", stream=True)
    assert b"event: " not in answer.body and answer.body.count(b"[DONE]") == 2
    assert answer.events()[-3][1]["type"] == "response.completed"
    up.script("a", {"informational": [103, 100], "done": 0})
    assert raw(up, "a", {"input": "x"}, 0.4)[0].startswith(b"HTTP/1.1 103 ")


def test_odd_bytes_and_huge_events(up):
    up.script("a", {"odd": True})
    answer = turn(up, "a", "x", stream=True)
    assert b'"huge":1e400,"long":12345678901234567890,"twice":1,"twice":2' in answer.body
    assert b"event: response.fake_unknown" in answer.body and b"fake_unknown_item" in answer.body
    up.script("a", '{"items":[{"type":"x_call","n":1e400,"n":2}],"say":false}')
    first = turn(up, "a", "x")
    assert b'"output":[{"type":"x_call","n":1e400,"n":2}]' in first.body
    up.script("a", {"text_bytes": 12 << 20, "deltas": 1})
    events = turn(up, "a", "x", stream=True).events()
    assert max(len(e["delta"]) for n, e in events if n == "response.output_text.delta") == 12 << 20
    up.script("a", {"id": "resp_twice", "output": "absent"}, count=2)
    ids = [turn(up, "a", "x").json() for _ in range(2)]
    assert [i["id"] for i in ids] == ["resp_twice"] * 2 and "output" not in ids[0]
    up.script("x", {"before": [{"type": "codex.rate_limits", "plan_type": "pro"}], "events": [": raw\n\n"], "sequence": 5})
    answer = turn(up, "x", "x")
    assert answer.events()[0][0] == "codex.rate_limits" and answer.events()[1][1]["sequence_number"] == 6
    assert b": raw\n\n" in answer.body


def test_large_request_round_trips(up):
    text = "ä" * (10 << 20)
    answer = turn(up, "a", [{"role": "user", "content": text}])
    assert text_of(answer.json()) == fake.expected_text(["user:" + text])
    assert len(up.requests("a")[-1]["body"]) > 10 << 20


# ---- scripts, modes, counts ----

def test_markers_hold_for_accounts_and_times(up):
    ask = "x " + fake.marker(status=503, times=2)
    assert [turn(up, n, ask).status for n in ("a", "b", "a", "b")] == [503, 503, 200, 200]
    ask = "y " + fake.marker(status=503, on=["a"])
    assert [turn(up, n, ask).status for n in ("a", "b")] == [503, 200]
    history = [{"role": "user", "content": ask}, {"role": "assistant", "content": "z"}, {"role": "user", "content": "more"}]
    assert turn(up, "a", history).status == 200  # an old message orders nothing


def test_typing_errors_are_refused(up):
    with pytest.raises(ValueError, match="unknown member"):
        up.script("a", {"statsu": 500})
    with pytest.raises(ValueError, match="bad value"):
        up.script("a", {"fault": "explode"})
    for do in ({"at": "item"}, {"at": "head", "fault": "failed"}, {"fault": "eof", "then": "reset"}, [], 1):
        with pytest.raises(ValueError):
            up.script("a", do)
    assert turn(up, "a", "x " + fake.marker(oops=1)).json()["error"]["code"] == "bad_fake_script"


@pytest.mark.parametrize("mode,status,code", [
    ("down", 503, "server_error"), ("limited", 429, "rate_limit_exceeded"), ("quota", 429, "insufficient_quota"),
    ("overloaded", 503, "server_is_overloaded"), ("revoked", 401, "invalid_api_key"), ("deactivated", 403, "account_deactivated")])
def test_modes(up, mode, status, code):
    up.account("a", mode=mode, retry_after=9)
    answer = turn(up, "a", "x")
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)
    assert (answer.headers["retry-after"] == "9") == (mode == "limited")
    assert turn(up, "b", "x").status == 200
    up.account("a", mode="up")
    assert turn(up, "a", "x").status == 200


def test_refuse_and_silent(up):
    up.account("a", mode="refuse")
    assert raw(up, "a", {"input": "x"}) == (b"", "reset")
    up.account("a", mode="silent")
    assert raw(up, "a", {"input": "x"}, 0.3) == (b"", "silent")
    host, port = up.own["b"].split(":")
    socket.create_connection((host, int(port))).close()
    up.account("b", mode="refuse")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    up.account("b", mode="up")
    socket.create_connection((host, int(port))).close()


def test_models_and_limits_of_an_account(up):
    up.account("a", models=["only-this"])
    assert turn(up, "a", "x").json()["error"]["code"] == "model_not_found"
    assert [m["id"] for m in call(up, "a", None, "/v1/models", "GET").json()["data"]] == ["only-this"]
    assert "gpt-fake-b" in [m["id"] for m in call(up, "b", None, "/v1/models", "GET").json()["data"]]


def test_keep_alive_pipelining_and_idle_close(up):
    conn = http.client.HTTPConnection(up.host, up.port, timeout=5)
    for _ in range(3):
        assert call(up, "a", {"model": "m", "input": "x"}, conn=conn).status == 200
    assert len({r["connection"] for r in up.requests("a")}) == 1 and up.stats("a")["connections"] == 1
    up.close_idle("a")
    conn.sock.settimeout(5)
    assert conn.sock.recv(1) == b""
    one = b"POST /v1/responses HTTP/1.1\r\nHost: f\r\nAuthorization: Bearer sk-a\r\nContent-Length: 25\r\n\r\n" \
          b'{"model":"m","input":"1"}'
    with socket.create_connection((up.host, up.port)) as s:
        s.settimeout(5)
        s.sendall(one * 3)
        got = b""
        while got.count(b"HTTP/1.1 200") < 3 or not got.endswith(b"}"):
            got += s.recv(65536)
    ids = [part.split(b'"')[0] for part in got.split(b'{"id":"')[1:] if part.startswith(b"resp_a")]
    assert ids == sorted(ids) and len(ids) == 3


def test_a_peer_that_leaves_is_counted(up):
    s = socket.create_connection((up.host, up.port))
    body = json.dumps({"model": "m", "stream": True, "input": "x " + fake.marker(at="created", fault="silence")}).encode()
    s.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: f\r\nAuthorization: Bearer sk-a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    s.recv(65536)
    assert up.stats("a")["running"] == 1
    left = time.monotonic() * 1000
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    for _ in range(100):
        if up.stats("a")["running"] == 0:
            break
        time.sleep(0.01)
    stats = up.stats("a")
    assert stats["cancelled"] == 1 and left - 50 <= stats["cancelled_at"] <= left + 5000
    assert up.requests("a")[-1]["left"] == pytest.approx(stats["cancelled_at"], abs=50)


def test_many_streams_at_once(up):
    async def one(session, account):
        body = {"model": "m", "stream": True, "input": "x", "store": False}
        headers = {"authorization": "Bearer " + up.key(account)}
        async with session.post("http://%s/v1/responses" % up.address, json=body, headers=headers) as answer:
            return (await answer.read()).count(b"event: response.output_text.delta")

    async def all_of_them():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            return await asyncio.gather(*(one(session, "ab"[n % 2]) for n in range(100)))

    for name in ("a", "b"):
        up.account(name, do={"deltas": 10, "delta_bytes": 100, "delay_ms": 20})
    assert asyncio.run(all_of_them()) == [10] * 100
    stats = up.stats()["accounts"]
    assert stats["a"]["completed"] == stats["b"]["completed"] == 50
    assert stats["a"]["running"] == 0 and stats["a"]["max_running"] > 10


def test_canned_answers_have_fresh_ids_and_nothing_else(up):
    up.account("a", do={"canned": True, "text": "fixed", "deltas": 3, "stamp": True})
    for stream in (True, False):
        bodies = [turn(up, "a", "question %d" % n, stream=stream, store=False).body for n in range(3)]
        ids = [body.split(b'"id":"')[1].split(b'"')[0] for body in bodies]
        assert len(set(ids)) == 3 and ids == sorted(ids)
        for body, name in zip(bodies, ids):
            assert body.count(name[len("resp_"):]) > 1
            assert (b"event: response.completed" in body) == stream
        if stream:
            stamps = [e["fake_ns"] for b in bodies for n, e in Answer(200, {}, b).events() if n == "response.output_text.delta"]
            assert stamps == sorted(stamps) and len(set(stamps)) > 1
        else:
            assert len({body.replace(name[len("resp_"):], b"TAG") for body, name in zip(bodies, ids)}) == 1
    up.account("a", do=None)
    assert text_of(turn(up, "a", "x").json()) == fake.expected_text(["user:x"])


def test_whatever_peers_do_nothing_runs_on(up):
    dice = random.Random(7)
    faults = [{}, {"slice": 40}, {"slice": 300, "slice_delay_ms": 10}, {"deltas": 5, "delay_ms": 10}, {"text_bytes": 1 << 20},
              {"close": True}, {"framing": "eof"}, {"status": 503}, {"first_delay_ms": 30}]
    faults += [{"at": at, "fault": fault} for at in ("head", "item", "output") for fault in ("eof", "reset", "silence", "end")]
    open_ones = []
    for _ in range(400):
        body = {"model": "m", "stream": dice.random() < 0.8, "input": "x " + fake.marker(**dice.choice(faults))}
        data = json.dumps(body).encode()
        s = socket.create_connection((up.host, up.port))
        s.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: f\r\nAuthorization: Bearer sk-%s\r\nContent-Length: %d\r\n\r\n%s" %
                  (dice.choice([b"a", b"b"]), len(data), data[:dice.choice([len(data), len(data), 20])]))
        open_ones.append(s)
        if len(open_ones) > 20:
            s = open_ones.pop(dice.randrange(len(open_ones)))
            s.setblocking(False)
            try:
                s.recv(dice.choice([1, 65536]))
            except OSError:
                pass
            if dice.random() < 0.5:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
    for s in open_ones:
        s.close()
    for _ in range(500):
        stats = up.stats()
        if stats["connections_open"] == 1 and stats["accounts"]["a"]["running"] == stats["accounts"]["b"]["running"] == 0:
            break
        time.sleep(0.02)
    assert stats["connections_open"] == 1
    for name in ("a", "b"):
        n = stats["accounts"][name]
        assert n["running"] == 0 and n["turns"] == n["completed"] + n["cancelled"] + n["faulted"]


# ---- other endpoints ----

def test_stored_responses(up):
    given = [{"role": "user", "content": "1"}, {"role": "user", "content": "2", "id": "mine"}, {"role": "user", "content": "3"}]
    answer = turn(up, "a", given).json()
    path = "/v1/responses/" + answer["id"]
    assert call(up, "a", None, path, "GET").json() == answer
    assert call(up, "b", None, path, "GET").json()["error"]["message"] == "Response with id '%s' not found." % answer["id"]
    page = call(up, "a", None, path + "/input_items?limit=2", "GET").json()
    assert [i["content"] for i in page["data"]] == ["3", "2"] and page["has_more"] and page["last_id"] == "mine"
    rest = call(up, "a", None, path + "/input_items?after=mine", "GET").json()
    assert [i["content"] for i in rest["data"]] == ["1"] and not rest["has_more"]
    assert turn(up, "a", [{"id": rest["data"][0]["id"]}]).json()["status"] == "completed"
    assert call(up, "a", None, path, "DELETE").json() == {"id": answer["id"], "object": "response", "deleted": True}
    assert call(up, "a", None, path, "GET").status == 404
    assert up.stats("b")["found"]["foreign_response"] == 1


def test_embeddings_files_and_echo(up):
    first = call(up, "a", {"model": "e", "input": "x"}, "/v1/embeddings").json()
    assert first == call(up, "b", {"model": "e", "input": "x"}, "/v1/embeddings").json()
    name = call(up, "a", "x", "/v1/files").json()["id"]
    assert name.startswith("file-a-") and call(up, "a", None, "/v1/files/" + name, "GET").status == 200
    assert call(up, "b", None, "/v1/files/" + name, "GET").status == 404
    echo = call(up, "a", "bytes", "/v1/moderations?x=1").json()
    assert (echo["account"], echo["path"], echo["bytes"]) == ("a", "/v1/moderations?x=1", 5)


def test_resources(up):
    """Each account has its own, and lists all of them."""
    file = call(up, "a", "x", "/v1/files").json()["id"]
    made = {}
    for kind, body in (("batches", {"input_file_id": file}), ("vector_stores", {"file_ids": [file]}), ("containers", {}),
                       ("uploads", {}), ("evals", {}), ("fine_tuning/jobs", {"training_file": file}), ("conversations", {})):
        made[kind] = call(up, "a", body, "/v1/" + kind).json()
        assert made[kind]["id"].split("_")[1] == "a"
        path = "/v1/%s/%s" % (kind, made[kind]["id"])
        assert call(up, "a", None, path, "GET").json() == made[kind]
        assert call(up, "b", None, path, "GET").status == 404
        assert call(up, "a", None, "/v1/" + kind, "GET").json()["data"][0] == made[kind]
    assert up.stats("b")["found"]["foreign_file"] == 7
    assert call(up, "b", {"input_file_id": file}, "/v1/batches").status == 404
    output = made["batches"]["output_file_id"]
    assert call(up, "a", None, "/v1/files/%s/content" % output, "GET").body == b'{"fake":"batch"}\n'
    first = call(up, "a", None, "/v1/files?limit=1", "GET").json()
    assert first["data"][0]["id"] == output and first["has_more"]
    rest = call(up, "a", None, "/v1/files?order=asc&after=" + file, "GET").json()
    assert [r["id"] for r in rest["data"]] == [output] and not rest["has_more"]
    assert call(up, "a", None, "/v1/files/" + file, "DELETE").json()["deleted"] is True
    assert call(up, "a", None, "/v1/files/" + file, "GET").status == 404
    assert call(up, "s", {}, "/v1/conversations").json()["object"] == "fake.echo", "other kinds keep nothing"


def test_conversations(up):
    name = call(up, "a", {"items": [{"role": "user", "content": "one"}]}, "/v1/conversations").json()["id"]
    answer = turn(up, "a", "two", conversation={"id": name}).json()
    assert answer["output"][0]["content"][0]["text"] == fake.expected_text(["user:one", "user:two"])
    items = call(up, "a", None, "/v1/conversations/%s/items?order=asc" % name, "GET").json()["data"]
    assert len(items) == 3 and all(i["id"] for i in items) and items[2]["id"] == answer["output"][0]["id"]
    for account in ("a", "b"):
        refusal = turn(up, account, "x", conversation=name if account == "b" else "conv_a_none")
        assert refusal.status == 404 and refusal.json()["error"]["param"] == "conversation"
    assert up.stats("b")["found"]["foreign_response"] == 1


def test_recording_is_exact_and_can_be_off(up):
    body = b' {"model" : "m", "input":"\\u0041 \xc3\xa4",\n"x":1e400, "x":2}'
    answer = call(up, "a", body, headers={"X-Case": "Kept"})
    record = up.requests("a", answer=True)[-1]
    assert record["body"].encode() == body and record["answer"].encode() == answer.body
    assert ["X-Case", "Kept"] in record["headers"] and record["status"] == 200
    with fake.FakeUpstream(["q:platform:k"], "--no-record", "--run", "r2") as quiet:
        assert turn(quiet, "q", "x").json()["id"].startswith("resp_q_r2")
        assert quiet.requests() == []
        assert quiet.stop() == 0


def test_bad_command_lines():
    for args in ([], ["a:platform"] * 2, ["a-b:platform"], ["a:unknown"]):
        with pytest.raises(RuntimeError, match="ended with 2"):
            fake.FakeUpstream(args)


# ---- logins ----

def test_logins():
    """Access tokens that live and end, a refresh token that works once, and what using it again costs."""
    def turn_with(up, token):
        answer = call(up, "c", {"model": "m", "input": [], "stream": True, "store": False},
                      "/a/c/backend-api/codex/responses", headers={"authorization": "Bearer " + token})
        return answer.status, answer.json()["error"]["code"] if answer.status == 401 else None

    def grant(up, token, **more):
        return call(up, "c", {"client_id": "app", "grant_type": "refresh_token", "refresh_token": token, **more},
                    "/a/c/oauth/token")
    with fake.FakeUpstream(["c:codex"]) as up:
        assert turn_with(up, "anything")[0] == 200
        first = up.login("c", lives=3600)
        assert turn_with(up, "anything") == (401, "token_expired") and turn_with(up, first["access_token"])[0] == 200
        assert grant(up, first["refresh_token"], grant_type="password").status == 400
        second = grant(up, first["refresh_token"])
        assert second.status == 200 and second.json()["expires_in"] == 3600
        assert up.login("c")["renewed"] == 1
        for token in (first["access_token"], second.json()["access_token"]):
            assert turn_with(up, token)[0] == 200
        up.login("c", expire=True)
        assert turn_with(up, second.json()["access_token"]) == (401, "token_expired")
        up.account("c", token={"status": 503})
        assert grant(up, second.json()["refresh_token"]).status == 503
        up.account("c", token=None)
        third = grant(up, second.json()["refresh_token"])
        assert turn_with(up, third.json()["access_token"])[0] == 200
        again = grant(up, second.json()["refresh_token"])
        assert (again.status, again.json()["error"]["code"]) == (401, "refresh_token_reused")
        assert turn_with(up, third.json()["access_token"]) == (401, "token_revoked")
        assert grant(up, third.json()["refresh_token"]).status == 401
        state = up.login("c")
        assert (state["renewed"], state["reused"], state["revoked"]) == (2, 2, True)
        assert turn_with(up, up.login("c", lives=1)["access_token"])[0] == 200
        time.sleep(1.1)
        assert turn_with(up, up.login("c")["access_token"]) == (401, "token_expired")


# ---- compaction, counting, background ----

def test_compact_and_triggers(up):
    first = turn(up, "a", "one").json()
    found = call(up, "a", {"model": "m", "input": "two", "previous_response_id": first["id"]}, path="/v1/responses/compact").json()
    assert found["object"] == "response.compaction"
    assert [i["type"] for i in found["output"]] == ["message", "message", "compaction"]
    assert [i["content"][0]["text"] for i in found["output"][:2]] == ["one", "two"]
    assert turn(up, "a", found["output"]).status == 200
    assert turn(up, "b", found["output"]).json()["error"]["code"] == "invalid_encrypted_content"
    triggered = turn(up, "a", [{"role": "user", "content": "x"}, {"type": "compaction_trigger"}]).json()
    assert [i["type"] for i in triggered["output"]] == ["compaction"]


def test_counting_the_context(up):
    first = turn(up, "a", "one " * 100).json()
    alone, whole = (call(up, "a", {"model": "m", "input": "x", **more}, path="/v1/responses/input_tokens").json()
                    for more in ({}, {"previous_response_id": first["id"]}))
    assert alone["object"] == "response.input_tokens" and whole["input_tokens"] > alone["input_tokens"] + 100


def test_background(up):
    up.account("a", do={"work_ms": 700})
    begun = turn(up, "a", "x", background=True, stream=True)
    assert begun.events()[-2][0] == "response.completed"
    rid = begun.events()[0][1]["response"]["id"]
    rest = call(up, "a", None, method="GET", path="/v1/responses/%s?stream=true&starting_after=2" % rid)
    assert rest.events() == begun.events()[3:]
    running = turn(up, "a", "x", background=True).json()
    assert running["status"] == "queued"
    path = "/v1/responses/" + running["id"]
    assert call(up, "a", None, method="GET", path=path).json()["status"] == "in_progress"
    assert turn(up, "a", "y", previous_response_id=running["id"]).status == 400
    assert call(up, "a", None, method="GET", path=path + "?stream=true").status == 400
    time.sleep(1)
    assert call(up, "a", None, method="GET", path=path).json()["status"] == "completed"
    assert turn(up, "a", "y", previous_response_id=running["id"]).status == 200
    cancelled = turn(up, "a", "x", background=True).json()["id"]
    for _ in range(2):
        assert call(up, "a", None, path="/v1/responses/%s/cancel" % cancelled).json()["status"] == "cancelled"
    assert turn(up, "a", "y", previous_response_id=cancelled).status == 400
    assert call(up, "a", None, path="/v1/responses/%s/cancel" % turn(up, "a", "x").json()["id"]).status == 400
    assert turn(up, "a", "x", background=True, store=False).status == 400
