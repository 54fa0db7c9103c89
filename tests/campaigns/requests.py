"""Malformed requests to the server: each is answered with a status that is its own fault, or as it asked.

    python3 tests/campaigns/requests.py PROGRAM FOLDER [--requests 10000] [--seed 0]

Requests that are right, and requests whose bodies, fields, uploaded images, paths, methods, headers or lengths are not. A status
of 500 and above but 503, a connection that ends without an answer to a whole request, an answer after more than 20 seconds, a
server that has ended, said `panicked`, or grown beyond 1 GiB is a failure. Every 200 requests one that is right must be answered
with the same image as the first.
"""

import argparse
import base64
import collections
import json
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from mutator import WORDS, mutated
from setting import COLOURS, Account, Program, changed, coloured, prepare

SECONDS, MEMORY = 20.0, 1 << 30
BOUNDARY = "----interfuse"
PATHS = ["/v1/images/generations", "/v1/images/edits", "/v1/chat/completions", "/v1/models", "/", "/api/training",
         "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/images/generations?x=%00", "//", "/v1/models/../models"]
METHODS = ["GET", "POST", "POST", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "BREW", ""]


def mixture(folder):
    """Captioned images, edits and questions, so that the model offers everything that can be asked for."""
    rows = {
        "edits": [{"original": f"{name}.png", "edit": "make it red", "edited": "red.png"} for name in COLOURS],
        "questions": [{"image": f"{name}.png", "conversations": [{"from": "human", "value": "<image>\nWhat is it?"},
                                                                 {"from": "gpt", "value": name}]} for name in COLOURS],
    }
    parts = ['{name="captioned",content={kind="images"}}']
    for (name, lines), layout in zip(rows.items(), ["edit", "conversation"]):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
        parts.append(f'{{name="{name}",content={{kind="conversations",source={{kind="files",files=["{name}.jsonl"],'
                     f'layout={{kind="{layout}"}},images="images"}}}}}}')
    return f"data.mixture=[{','.join(parts)}]"


def image_url():
    return "data:image/png;base64," + base64.b64encode(coloured(COLOURS["red"])).decode()


def generations():
    return {"prompt": "red", "n": 1, "size": "16x8", "response_format": "b64_json", "seed": 3, "steps": 1, "guidance": 2.0}


def chat():
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": image_url()}}]
    return {"model": "run", "max_tokens": 3, "messages": [{"role": "user", "content": parts}]}


def multipart(draws):
    """An edit with its image, mutated half of the time."""
    image = coloured(COLOURS["blue"])
    if draws.random() < 0.5:
        image = mutated(image, draws, False, 60)
    fields = [("prompt", None, b"make it red"), ("image", "a.png", image), ("n", None, b"1"), ("steps", None, b"1")]
    if draws.random() < 0.4:
        draws.shuffle(fields)
        fields = fields[:draws.randrange(1, 5)]
    out = b""
    for name, file, value in fields:
        name_of_file = f'; filename="{file}"' if file else ""
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{name_of_file}\r\n\r\n'.encode() + value + b"\r\n"
    return out + f"--{BOUNDARY}--\r\n".encode()


def odd(value, draws, depth=0):
    """The same JSON with a value of another kind or size somewhere in it."""
    if isinstance(value, (dict, list)) and value and depth < 6 and draws.random() < 0.8:
        changed = dict(value) if isinstance(value, dict) else list(value)
        key = draws.choice(list(changed)) if isinstance(changed, dict) else draws.randrange(len(changed))
        if isinstance(changed, dict) and draws.random() < 0.15:
            del changed[key]
        else:
            changed[key] = odd(changed[key], draws, depth + 1)
        return changed
    return draws.choice([None, True, -1, 0, 1e308, 2 ** 63, 2 ** 70, 0.5, "", "x" * 100_000, "\0", "999999x999999", "16x8", [], {}, [[]],
                         ["red"] * 1000, {"url": "file:///etc/passwd"}, "data:image/png;base64,AAAA", "data:,", "\ud83e"])


def request(draws):
    """The bytes of a request, and whether it is whole, so that an answer must come."""
    kind = draws.choice(["json", "json", "json", "text", "multipart", "path", "head", "cut"])
    path, body, type_of_body = draws.choice([PATHS[0], PATHS[2]]), b"", "application/json"
    right = generations() if path == PATHS[0] else chat()
    method, headers = "POST", {"Host": "localhost"}
    if kind == "json":
        body = json.dumps(odd(right, draws)).encode("utf-8", "surrogatepass")
    elif kind == "text":
        body = mutated(json.dumps(right).encode(), draws, True)
    elif kind == "multipart":
        path, body, type_of_body = PATHS[1], multipart(draws), f"multipart/form-data; boundary={BOUNDARY}"
        if draws.random() < 0.3:
            body = mutated(body, draws, True)
    elif kind == "path":
        path, method = draws.choice(PATHS), draws.choice(METHODS)
        body = json.dumps(right).encode() if draws.random() < 0.5 else b""
    headers.update({"Content-Type": type_of_body, "Content-Length": str(len(body)), "Connection": "close"})
    whole = kind in ("json", "text", "multipart")
    if kind == "head":
        name = draws.choice([*headers, "Authorization", "Origin", "Transfer-Encoding", "Expect", "X" * 9000])
        headers[name] = draws.choice(WORDS).decode("latin-1").replace("\n", " ")
    contents = f"{method} {path} HTTP/1.1\r\n".encode("latin-1", "replace")
    contents += b"".join(f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in headers.items()) + b"\r\n" + body
    if kind == "cut":
        contents = contents[:draws.randrange(1, len(contents))]
    return contents, whole


def exchange(port, contents, close=True):
    """The status of an answer, or `None` where none came, and the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        try:
            connection.sendall(contents)
            if close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The server may have answered before all was sent.
        answer = b""
        try:
            while part := connection.recv(1 << 16):
                answer += part
        except ConnectionResetError:
            pass  # Nobody read the rest of what was sent.
    words = answer.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and answer.startswith(b"HTTP/1.1 ") and words[1].isdigit() else None
    return status, answer


def right_one(port):
    body = json.dumps(generations()).encode()
    head = f"POST {PATHS[0]} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    status, answer = exchange(port, head.encode() + body, close=False)
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["data"] if status == 200 else f"status {status}"


def memory(pid):
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def serve(program, log, run="run"):
    """Starts the server, and says at which port it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = program.start(["serve", run, "--port", port], stdout=subprocess.DEVNULL, stderr=log)
    for _ in range(600):
        try:
            exchange(port, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", close=False)
            return server, port
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    place = asked.folder.resolve() / "place"
    shutil.rmtree(place, ignore_errors=True)
    program = Program(asked.program, place)
    prepare(place)
    program.must(changed(["train", "tiny.toml"], mixture(place)))
    account, statuses = Account(asked.folder), collections.Counter()
    log = open(place / "server.log", "w+")
    server, port = serve(program, log)
    expected, most = right_one(port), 0
    for number in range(asked.requests):
        contents, whole = request(random.Random(f"{asked.seed}/{number}"))
        started, trouble = time.monotonic(), None
        try:
            # A server may take a client that closes its half for one that is gone, so only what is not whole is closed.
            status, _ = exchange(port, contents, close=not whole)
        except OSError as error:
            status, trouble = None, f"{error}"
        statuses[status] += 1
        seconds = time.monotonic() - started
        if server.poll() is not None:
            account.case(f"request {number}", f"the server has ended with status {server.returncode}")
            break
        most = max(most, memory(server.pid))
        if not trouble and status is None and whole:
            trouble = "no answer"
        elif not trouble and status is not None and status >= 500 and status != 503:
            trouble = f"status {status}"
        elif not trouble and seconds > SECONDS:
            trouble = f"{seconds:.0f} s"
        elif most > MEMORY:
            trouble = f"{most >> 20} MiB"
        elif number % 200 == 199 and right_one(port) != expected:
            trouble = "a right request has another answer than at first"
        account.case(f"request {number}", trouble)
    server.terminate()
    server.wait(timeout=60)
    log.seek(0)
    if "panicked" in (said := log.read()):
        account.case("server", said[said.index("panicked"):][:300])
    print(f"statuses {dict(sorted(statuses.items(), key=str))}, at most {most >> 20} MiB", flush=True)
    return account.end()


if __name__ == "__main__":
    sys.exit(main())
