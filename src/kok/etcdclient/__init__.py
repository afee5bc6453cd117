"""Talking to single etcd members; the only package that knows how.

It speaks etcd's own JSON gateway on the client port, over aiohttp. Measured against the gRPC
library (etcd3aio 0.3 on grpcio) with six members over TLS: 0.25 ms of CPU a question against
0.28 ms, with 2.5 MB of memory against 20 MB and no threads of its own. Only an etcd whose own
authentication is on is asked over gRPC (`authenticated`), since its gateway knows no certificates'
users; snapshots are streamed over gRPC as well.

Members are dialled one by one at their pods' addresses, with the TLS name that all their
certificates carry: this needs neither DNS nor the client Service, which has no endpoints just when
it matters. Every question and every change has a deadline.

This module imports nothing: the worker, which uses only gRPC, is to stay small.
"""
