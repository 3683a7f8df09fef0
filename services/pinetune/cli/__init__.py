"""The `pinetune` command: what people type. It speaks to the services through `pinetune.client`."""

import os

# gRPC's core has opinions about lost connections and writes them to stderr, beside our one sentence.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
