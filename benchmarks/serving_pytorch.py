"""A PyTorch server that adapts and predicts, as the peer of `serving_latency`.

    python -m benchmarks.serving_pytorch WEIGHTS.npz INNER_STEPS INNER_RATE THREADS

Prints its gRPC address. The one method takes and gives arrays as `.npz`; adaptation is the loop of
gradient steps by autograd that a PyTorch user writes, without a second-order graph.
"""

import concurrent.futures
import sys
import types

import grpc
import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call

from benchmarks import peer_messages
from benchmarks.contestants.pytorch.networks import Conv4


class Adaptation:
    """The network and how it adapts."""

    def __init__(self, weights, inner_steps, inner_rate):
        filters = len(weights["conv_1/bias"])
        problem = types.SimpleNamespace(
            pooled=False, filters=filters, weights=lambda: dict(weights)
        )
        self._network = Conv4(problem)
        self._steps, self._rate = inner_steps, inner_rate

    def __call__(self, message, context=None):
        """Adapts to the support set and gives probabilities of the queries."""
        request = peer_messages.unpack(message)
        support, query = (
            self._network.inputs(request[name][np.newaxis])[0]
            for name in ("support_inputs", "query_inputs")
        )
        labels = torch.from_numpy(request["support_targets"]).long()
        weights = dict(self._network.named_parameters())
        for _ in range(self._steps):
            loss = F.cross_entropy(functional_call(self._network, weights, support), labels)
            gradients = torch.autograd.grad(loss, list(weights.values()))
            weights = {
                name: (weight - self._rate * gradient).detach().requires_grad_()
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
        with torch.no_grad():
            outputs = functional_call(self._network, weights, query)
            return peer_messages.pack({"predictions": F.softmax(outputs, dim=1).numpy()})


def main(weights, inner_steps, inner_rate, threads):
    """Serves until its standard input ends."""
    torch.set_num_threads(int(threads))
    with np.load(weights) as arrays:
        adaptation = Adaptation(dict(arrays), int(inner_steps), float(inner_rate))
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    service, method = peer_messages.METHOD.strip("/").split("/")
    handler = grpc.unary_unary_rpc_method_handler(adaptation)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {method: handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
