"""A grpcio server and client in one process. Prints one JSON line: what every call was."""

import json
import threading
import time
from concurrent import futures

import grpc


def same(data):
    return data


def fail(_request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")


def hang(_request, context):
    done = threading.Event()
    context.add_callback(done.set)
    done.wait(5)
    return b""


def count(_request, _context):
    for i in range(5):
        yield b"number %d" % i


HANDLERS = {
    "Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request, same, same),
    "Fail": grpc.unary_unary_rpc_method_handler(fail, same, same),
    "Hang": grpc.unary_unary_rpc_method_handler(hang, same, same),
    "Count": grpc.unary_stream_rpc_method_handler(count, same, same),
    "Sum": grpc.stream_unary_rpc_method_handler(lambda requests, _: b"x" * sum(map(len, requests)), same, same),
    "Chat": grpc.stream_stream_rpc_method_handler(lambda requests, _: (r for r in requests), same, same),
}

server = grpc.server(futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.v1.Echo", HANDLERS),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
truth = []


def told(name, key, status, requests, responses, outcome="complete", known=True):
    path = f"/test.v1.Echo/{name}"
    truth.append(
        {
            "id": key,
            "route": path if known else "other",
            "status": status,
            "request": requests,
            "response": responses,
            "outcome": outcome,
        }
    )


def unary(name, key, deadline=None):
    call = channel.unary_unary(f"/test.v1.Echo/{name}", same, same)
    return call.future(key.encode().ljust(300), timeout=deadline, metadata=(("x-id", key),))


for turn in range(20):
    calls = [
        (name, f"{name}-{turn}", unary(name, f"{name}-{turn}", 0.2 if name == "Hang" else 10))
        for name in ("Echo", "Fail", "Hang", "None")
    ]
    for name, key, call in calls:
        code = call.code().value[0]
        late = name == "Hang"
        told(name, key, None if late else code, 1, None if late else int(code == 0), "timeout" if late else "complete", name != "None")

got = list(channel.unary_stream("/test.v1.Echo/Count", same, same)(b"go", metadata=(("x-id", "count"),)))
told("Count", "count", 0, 1, len(got))
parts = [b"a" * n for n in (0, 1, 100, 70_000)]
total = channel.stream_unary("/test.v1.Echo/Sum", same, same)(iter(parts), metadata=(("x-id", "sum"),))
assert len(total) == sum(map(len, parts))
told("Sum", "sum", 0, len(parts), 1)
chat = list(channel.stream_stream("/test.v1.Echo/Chat", same, same)(iter(parts * 5), metadata=(("x-id", "chat"),)))
told("Chat", "chat", 0, 20, len(chat))
channel.close()
time.sleep(0.2)
server.stop(None).wait()
print(json.dumps(truth))
