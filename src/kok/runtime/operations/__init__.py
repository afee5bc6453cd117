"""What takes more than one pass: latched in the status, then done, one at a time.

An `Action` is a value: which operation is under way and at which step, what people are told, and
at most one call. Plans decide it and are pure; the first that answers has the pass. The operation
is written into the status before the call is made, so that whoever is killed in between finds
there what he was about to do. Each call can be made twice: it may have been made, and the answer
lost.

To add an operation to a kind: a module in its `operations/` with a plan, and its place in the
order. It begins only when its turn comes, and answers as long as the recorded operation is its
own. Add its steps to the kill points of the integration tests.
"""
