"""Children of an object: made and kept as intended, taken over where they are ours, and removed.

    rules.py      what differs from kind to kind: who writes, which children outlive their owner
    takeover.py   pure: whether an object that has a child's name may be taken over
    ensure.py     makes children as intended, side by side, or once and never again
    deletion.py   removes them in an order, each step bounded in time

Server-side apply and drift are `kok.kube.apply`; owner references and labels `kok.kube.objects`.
"""
