"""The one error of this package."""


class PkiError(ValueError):
    """A certificate, key or kubeconfig cannot be made or read.

    The message is a sentence fit for a condition: it never holds key material.
    """
