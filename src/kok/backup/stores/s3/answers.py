"""What servers that speak S3 answer: their XML, and what their errors mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason

_DENIED = {
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
    *("InvalidToken", "AccountProblem", "AllAccessDisabled"),
    *("InvalidSecurity", "Unauthorized", "Forbidden", "XAdminUserNotFound"),
}
_BUSY = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge"}
_REGION = "AuthorizationHeaderMalformed"
_BUSY_STATUS = {408, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that a server answered with. `code` is S3's, or made from the status."""

    status: int
    code: str
    message: str

    @property
    def busy(self) -> bool:
        """Whether asking again in a moment may help."""
        return self.code in _BUSY or (self.status in _BUSY_STATUS and self.code not in _FULL)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list: keys with sizes, and the token to ask for the next part with."""

    objects: tuple[tuple[str, int], ...]
    next: str


def root_of(body: bytes) -> ET.Element | None:
    """The XML of an answer without namespaces; None if it is no XML.

    Answers are short, and the parser is one that bounds how far entities expand.
    """
    try:
        root = ET.fromstring(body.strip())  # noqa: S314
    except (ET.ParseError, ValueError):
        return None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def refusal_of(status: int, body: bytes) -> Refusal | None:
    """The error in an answer, whatever its status: some come with 200. None if there is none."""
    root = root_of(body)
    if root is not None and root.tag == "Error":
        code = root.findtext("Code") or f"HTTP{status}"
        return Refusal(status, code[:64], (root.findtext("Message") or "")[:200])
    return None if status < 300 else Refusal(status, f"HTTP{status}", "")


def text_of(body: bytes, name: str) -> str:
    """The text of an element somewhere in an answer; empty if there is none."""
    root = root_of(body)
    return "" if root is None else (root.findtext(f".//{name}") or "")


def page_of(body: bytes) -> Page | None:
    """An answer of ListObjectsV2; None if it is none."""
    root = root_of(body)
    if root is None or root.tag != "ListBucketResult":
        return None
    try:
        objects = tuple(
            (item.findtext("Key") or "", int(item.findtext("Size") or 0))
            for item in root.findall("Contents")
        )
    except ValueError:
        return None
    more = root.findtext("IsTruncated") == "true"
    return Page(objects, (root.findtext("NextContinuationToken") or "") if more else "")


def uploads_of(body: bytes) -> tuple[tuple[str, str], ...]:
    """Key and ID of the unfinished uploads in an answer of ListMultipartUploads."""
    root = root_of(body)
    if root is None:
        return ()
    return tuple(
        (u.findtext("Key") or "", u.findtext("UploadId") or "") for u in root.findall("Upload")
    )


def completion(etags: Sequence[str]) -> bytes:
    """The body of CompleteMultipartUpload: parts are numbered from 1 on."""
    root = ET.Element("CompleteMultipartUpload")
    for number, etag in enumerate(etags, start=1):
        part = ET.SubElement(root, "Part")
        ET.SubElement(part, "PartNumber").text = str(number)
        ET.SubElement(part, "ETag").text = etag
    return ET.tostring(root)


def error_of(refusal: Refusal, where: str) -> WorkerError:
    """What a refusal means to users. `where` names the bucket and server."""
    said = refusal.code + (f" ({refusal.message})" if refusal.message else "")
    return WorkerError(*_meaning(refusal, where, said))


def _meaning(refusal: Refusal, where: str, said: str) -> tuple[Reason, str]:
    match refusal:
        case Refusal(code="NoSuchBucket"):
            why = Reason.STORE_MISSING, f"there is no {where}: create the bucket"
        case Refusal(code="RequestTimeTooSkewed"):
            why = (
                Reason.STORE_DENIED,
                f"{where} refuses the time: set the clocks of node and server",
            )
        case _ if refusal.code in _FULL or refusal.status == 507:
            why = Reason.STORE_FULL, f"{where} takes no more data: {said}"
        case _ if refusal.code in _DENIED or refusal.status in {401, 403}:
            why = (
                Reason.STORE_DENIED,
                f"{where} refuses the credentials or what is asked with them: {said}; they must "
                "be allowed to put, get, list and delete objects below the prefix and to abort "
                "uploads",
            )
        case _ if refusal.busy:
            why = Reason.STORE_BUSY, f"{where} kept failing: {said}"
        case _ if refusal.status in {301, 307, 308} or refusal.code == _REGION:
            why = (
                Reason.STORE_REFUSED,
                f"{where} is served elsewhere: {said}; check the endpoint and the region",
            )
        case _:
            why = Reason.STORE_REFUSED, f"{where} refuses: {said}"
    return why
