"""Asks a server of the toy model with OpenAI's own client and checks what the client makes of the answers.

    python openai_client.py http://127.0.0.1:8000/v1
"""

import base64
import io
import struct
import sys
import zlib

import openai
from openai import OpenAI

KEY = "correct-horse"


def png(width: int, height: int, value: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([value]) * width * 3 for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def size_of(file: bytes) -> tuple[int, int]:
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", file[16:24])


def refused(kind: type[Exception], ask) -> Exception:
    try:
        ask()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, found an answer")


def models(client: OpenAI) -> str:
    (model,) = client.models.list().data
    assert client.models.retrieve(model.id) == model
    assert model.owned_by == "interfuse"
    return model.id


def images(client: OpenAI, model: str) -> None:
    extra = {"seed": 3, "guidance": 2.5, "steps": 6}
    answer = client.images.generate(model=model, prompt="hills", n=2, size="8x8", extra_body=extra)
    assert len(answer.data) == 2 and answer.output_format == "png" and answer.size == "8x8"
    files = [base64.b64decode(image.b64_json) for image in answer.data]
    assert [size_of(file) for file in files] == [(8, 8), (8, 8)] and files[0] != files[1]
    url = client.images.generate(prompt="hills", response_format="url", extra_body=extra).data[0].url
    assert base64.b64decode(url.removeprefix("data:image/png;base64,")) == files[0]

    stream = client.images.generate(model=model, prompt="hills", stream=True, partial_images=2, extra_body=extra)
    events = list(stream)
    kinds = [event.type for event in events]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"], kinds
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert base64.b64decode(events[-1].b64_json) == files[0]

    image = io.BytesIO(png(16, 12, 90))
    image.name = "image.png"
    edited = client.images.edit(model=model, image=image, prompt="mist", extra_body={"steps": 4})
    assert size_of(base64.b64decode(edited.data[0].b64_json)) == (8, 8)
    image.seek(0)
    kinds = [event.type for event in client.images.edit(image=image, prompt="mist", stream=True, partial_images=1)]
    assert kinds == ["image_edit.partial_image", "image_edit.completed"], kinds


def conversation(client: OpenAI, model: str) -> None:
    url = "data:image/png;base64," + base64.b64encode(png(4, 4, 250)).decode()
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    choice = client.chat.completions.create(model=model, messages=messages).choices[0]
    assert choice.message.content.startswith("a bright image"), choice
    assert choice.finish_reason == "stop"
    chunks = list(client.chat.completions.create(model=model, messages=messages, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == choice.message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    cut = client.chat.completions.create(model=model, messages=messages, max_tokens=2).choices[0]
    assert cut.finish_reason == "length"

    drawn = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hills"}], seed=3)
    (image,) = drawn.choices[0].message.images
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    both = {"modalities": ["text", "image"]}
    messages = [{"role": "user", "content": ""}]
    stream = client.chat.completions.create(model=model, messages=messages, stream=True, extra_body=both)
    deltas = [chunk.choices[0].delta for chunk in stream]
    assert sum(len(getattr(delta, "images", None) or []) for delta in deltas) == 1


def errors(client: OpenAI, base_url: str, model: str) -> None:
    error = refused(openai.BadRequestError, lambda: client.images.generate(prompt="x", extra_body={"steps": 0}))
    assert error.param == "steps" and error.type == "invalid_request_error", error
    error = refused(openai.NotFoundError, lambda: client.images.generate(model="dall-e-3", prompt="x"))
    assert error.code == "model_not_found", error
    stranger = OpenAI(base_url=base_url, api_key="wrong-key", max_retries=0)
    error = refused(openai.AuthenticationError, lambda: stranger.models.list())
    assert error.code == "invalid_api_key", error
    long = "word " * 41
    refused(openai.BadRequestError, lambda: client.images.generate(model=model, prompt=long))
    refused(openai.APIError, lambda: list(client.images.generate(model=model, prompt=long, stream=True)))


def main() -> None:
    base_url = sys.argv[1]
    client = OpenAI(base_url=base_url, api_key=KEY, max_retries=0)
    model = models(client)
    images(client, model)
    conversation(client, model)
    errors(client, base_url, model)
    print(f"all checks passed with openai {openai.__version__}")


main()
