"""gRPC calls whose message does not come: they hold a thread, so they are ended.

gRPC's server for Python gives a call a thread once its head is here, and waits there for the
message without end (`_unary_request` in `grpc/_server.py`). A few dozen such calls would take all
threads, that of the health service too.
"""

import threading
import time

import grpc

from tfmeta.serve.errors import Code

# A message that takes longer is given up where threads run out.
SLOW_SECONDS = 1.0


class MessageWatch(grpc.ServerInterceptor):
    """Ends calls that wait for their message: all after a time, the slow ones in a crowd.

    Args:
        most_calls: more than that at once are a crowd.
        seconds: longest that a client may take to send its message.
    """

    def __init__(self, most_calls, seconds):
        self._most, self._seconds = most_calls, seconds
        self._calls, self._waiting = set(), {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="messages", daemon=True)

    def start(self):
        """Watches."""
        self._thread.start()

    def stop(self):
        """Watches no more."""
        self._stopped.set()

    def intercept_service(self, continuation, handler_call_details):
        """The handler of a call, which gets its message from here."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        if handler.unary_unary:
            return grpc.stream_unary_rpc_method_handler(
                self._answering(handler), None, handler.response_serializer
            )
        return grpc.stream_stream_rpc_method_handler(
            self._streaming(handler), None, handler.response_serializer
        )

    def _answering(self, handler):
        def answer(messages, context):
            request = self._request(handler, messages, context)
            try:
                return handler.unary_unary(request, context)
            finally:
                self._calls.discard(context)

        return answer

    def _streaming(self, handler):
        """Of Health.Watch, which takes no thread once it has begun."""

        def answer(messages, context, send_response):
            request = self._request(handler, messages, context)
            self._calls.discard(context)
            handler.unary_stream(request, context, send_response)

        answer.experimental_non_blocking = True
        return answer

    def _request(self, handler, messages, context):
        self._calls.add(context)
        self._waiting[context] = time.monotonic()
        message = request = None
        try:
            message = next(messages)
            request = handler.request_deserializer(message)
        except StopIteration:
            pass
        except grpc.RpcError:  # the client is gone, or was sent away by `_watch`
            self._calls.discard(context)
            raise
        except Exception:  # as protocol buffers have it, of no certain type
            pass
        finally:
            self._waiting.pop(context, None)
        if request is None:
            self._calls.discard(context)
            _refuse(context, message)
        return request

    def _watch(self):
        while not self._stopped.wait(min(self._seconds, SLOW_SECONDS) / 4):
            crowd = len(self._calls) - self._most
            for context, since in list(self._waiting.items()):  # the oldest first
                waited = time.monotonic() - since
                if waited > self._seconds or (crowd > 0 and waited > SLOW_SECONDS):
                    context.cancel()
                    crowd -= 1


def _refuse(context, message):
    # gRPC's own codes and words for both.
    if message is None:
        context.abort(Code.UNIMPLEMENTED, "The method requires exactly one request message.")
    context.abort(Code.INTERNAL, "Exception deserializing request!")
