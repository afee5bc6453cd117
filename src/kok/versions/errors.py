"""The one error of this package."""


class UnknownVersion(ValueError):
    """A version that this release of KOK cannot work with.

    The message is a sentence that says what to write instead; callers put the field's path
    before it (`spec.version: ...`).
    """
