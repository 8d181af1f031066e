"""A client of `serving_swap`: sends one request after another, and notes when each was answered.

    python benchmarks/serving_swap_client.py grpc|rest ADDRESS MODEL MESSAGE_FILE OUTPUT_FILE

It ends when its standard input does. The output has a line a request: when it was answered, by
`time.monotonic()`, its seconds and its code.
"""

import http.client
import sys
import threading
import time

TIMEOUT_SECONDS = 60


def grpc_call(address, model, message):
    """A zero-argument function that sends one request over gRPC and gives its code."""
    import grpc

    call = grpc.insecure_channel(address).unary_unary(
        "/tensorflow.serving.PredictionService/Predict"
    )

    def ask():
        try:
            call(message, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    return ask


def rest_call(address, model, message):
    """A zero-argument function that sends one request over REST and gives its status."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)

    def ask():
        connection.request("POST", f"/v1/models/{model}:predict", message)
        response = connection.getresponse()
        response.read()
        return "OK" if response.status == 200 else str(response.status)

    return ask


def main(kind, address, model, message_file, output_file):
    """Asks until standard input ends."""
    ended = threading.Event()

    def wait():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    with open(message_file, "rb") as file:
        ask = {"grpc": grpc_call, "rest": rest_call}[kind](address, model, file.read())
    with open(output_file, "w", encoding="utf-8") as output:
        while not ended.is_set():
            begin = time.monotonic()
            code = ask()
            end = time.monotonic()
            output.write(f"{end:.6f} {end - begin:.6f} {code}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
