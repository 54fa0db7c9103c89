"""Many clients at once: what is lost, how long answers take, and whether memory grows.

    python3 tests/campaigns/clients.py PROGRAM FOLDER [--run RUN] [--clients 64] [--minutes 2] [--steps 4]

Each client asks for an image, waits for it, and asks for another: of a few prompts and seeds, so that the same is asked for many
times. An answer that is another image than the first of its prompt and seed, a connection that breaks, and any status but 200
and 429 are failures; who is told 429 waits and asks again. Without --run a small model is trained first.
"""

import argparse
import collections
import hashlib
import http.client
import json
import shutil
import sys
import threading
import time
from pathlib import Path

from requests import memory, serve
from setting import COLOURS, Account, Program, prepare

SECONDS = 120.0


class Watch:
    """What all clients have seen."""

    def __init__(self):
        self.lock, self.times, self.images = threading.Lock(), [], {}
        self.statuses, self.troubles = collections.Counter(), []

    def saw(self, key, status, seconds, answer):
        with self.lock:
            self.statuses[status] += 1
            if status == 200:
                self.times.append(seconds)
                image = hashlib.sha256(json.loads(answer)["data"][0]["b64_json"].encode()).hexdigest()
                if self.images.setdefault(key, image) != image:
                    self.troubles.append(f"{key}: another image than the first")
            elif status != 429:
                self.troubles.append(f"{key}: status {status}: {answer[:200]}")

    def broke(self, key, error):
        with self.lock:
            self.troubles.append(f"{key}: {error!r}")


def client(number, port, until, asked, watch):
    """Asks for one image after the other until the time is over."""
    prompts, count = sorted(COLOURS), 0
    connection = http.client.HTTPConnection("localhost", port, timeout=SECONDS)
    while time.monotonic() < until:
        key = (prompts[(number + count) % len(prompts)], count % 3)
        body = json.dumps({"prompt": key[0], "seed": key[1], "steps": asked.steps, "response_format": "b64_json"})
        started = time.monotonic()
        try:
            connection.request("POST", "/v1/images/generations", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            contents = answer.read()
        except (OSError, http.client.HTTPException) as error:
            watch.broke(key, error)
            connection.close()
            continue
        watch.saw(key, answer.status, time.monotonic() - started, contents)
        if answer.status == 429:
            time.sleep(float(answer.getheader("Retry-After", "1")))
        else:
            count += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=4)
    asked = parser.parse_args()
    place = asked.folder.resolve() / "place"
    shutil.rmtree(place, ignore_errors=True)
    program = Program(asked.program, place)
    prepare(place)
    if not asked.run:
        program.must(["train", "tiny.toml"])
    account, watch = Account(asked.folder), Watch()
    run = str(Path(asked.run).resolve()) if asked.run else "run"
    server, port = serve(program, open(place / "server.log", "w"), run)
    until, held = time.monotonic() + 60 * asked.minutes, [memory(server.pid)]
    clients = [threading.Thread(target=client, args=(number, port, until, asked, watch)) for number in range(asked.clients)]
    for each in clients:
        each.start()
    while any(each.is_alive() for each in clients) and server.poll() is None:
        time.sleep(min(5.0, 60 * asked.minutes / 10))
        held.append(memory(server.pid) if server.poll() is None else 0)
    for each in clients:
        each.join()
    for trouble in watch.troubles:
        account.case("client", trouble)
    account.cases += len(watch.times)
    if server.poll() is not None:
        account.case("server", f"ended with status {server.returncode}")
    server.terminate()
    server.wait(timeout=60)
    times = sorted(watch.times) or [0.0]
    quantile = lambda q: times[min(len(times) - 1, int(q * len(times)))]
    print(f"{len(watch.times)} images, statuses {dict(watch.statuses)}, p50 {quantile(0.5):.2f} s, p95 {quantile(0.95):.2f} s, "
          f"longest {times[-1]:.2f} s; MiB {' '.join(str(size >> 20) for size in held)}", flush=True)
    return account.end()


if __name__ == "__main__":
    sys.exit(main())
