"""Conditions and reasons that objects of every kind may show; operators have further ones."""

from __future__ import annotations

from typing import Final

READY: Final = "Ready"
"""The sum of the other conditions."""
PAUSED: Final = "Paused"
"""There only while `spec.paused` is true: nothing is changed, the status is still kept."""

# --- reasons

SPEC_PAUSED: Final = "SpecPaused"
"""`spec.paused` is true; set it to false or leave it out to go on."""
DELETING: Final = "Deleting"
"""The object is being cleaned up; the message says what for."""
INTERNAL_ERROR: Final = "InternalError"
"""Something that the operator does not know; its log tells more. It is tried again.

Where the meta cluster's API refused a request, its own word stands here: `Forbidden`, `Invalid`,
`Unreachable`...
"""
ANSWER_TOO_LARGE: Final = "AnswerTooLarge"
"""An API server, a host or a store answered with more than is taken from it: bytes, values,
objects. Or all that one look at this object needs takes more memory together (32 MiB) than it may.
The message says which and where the limit is; nobody else is affected. It is asked again."""
UNREADABLE: Final = "Unreadable"
"""This object, or one that it needs, does not fit its kind, so that the operator cannot read it: it
was stored before the CRD said so, or its status was written by somebody else. The message says which
and in what fields. Nothing is done, and nothing of it is cleaned up, until they are corrected; then
all goes on by itself, a deletion as well."""
TOO_MANY_VALUES: Final = "TooManyValues"
"""This object, or one that it needs, has more values (entries of maps and lists, 30,000 with what
the API server records of who wrote them) than an operator takes into its memory. The message says
which and in what field. Nothing is made of it until it is smaller; it can be deleted as it is."""
STATUS_REFUSED: Final = "StatusRefused"
"""The API server refuses what the operator says of the object, in the words of the message; the rest
of the status is as it was before. Mostly the CRD is of another release: install the one of the
operator. It is tried again."""
NO_ROOM: Final = "NoRoom"
"""One look at the object takes much memory and long, while such objects of other namespaces wait for
their turn: a few of them are looked at at a time. It is tried again. Make smaller what the object
holds, or what others wrote into the objects that were made for it."""
PASS_TIMED_OUT: Final = "PassTimedOut"  # noqa: S105 - a pass, not a password
"""The operator gave up one look at the object because something did not answer. It is tried again;
the setting `pass_timeout` is how long it may take."""
OPERATION_BEGUN: Final = "OperationBegun"
"""Event: something that takes more than one step is begun; the message says what and why."""
OPERATION_FINISHED: Final = "OperationFinished"
"""Event: it is done."""
