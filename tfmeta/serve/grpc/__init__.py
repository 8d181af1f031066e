"""The gRPC port: TF Serving's services on a `ModelServer`."""
