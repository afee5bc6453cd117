"""Certificates, keys, tokens and kubeconfigs as pure functions.

No I/O and no clock of its own: `now` is always passed in, timezone-aware. Everything on the wire
is PEM bytes. Whoever owns a Secret reads it (`leaf_of`, `ca_of`), asks (`decide_ca`,
`must_renew`), makes what is missing (`new_ca`, `issue`) and writes it back (`tls_secret_data`,
`ca_secret_data`).
"""

from kok.pki.authority import (
    CA_LIFETIME,
    LEAF_LIFETIME,
    CertificateAuthority,
    Leaf,
    LeafSpec,
    Usage,
    chain_of,
    issue,
    merge_bundles,
    new_ca,
    split,
)
from kok.pki.errors import PkiError
from kok.pki.info import CertificateInfo, certificate_info, fingerprint, public_key_pin
from kok.pki.keys import (
    BootstrapToken,
    KeyPair,
    bootstrap_token,
    encryption_key,
    public_pem_of,
    service_account_keys,
)
from kok.pki.kubeconfig import (
    ClientCertFiles,
    Credentials,
    Kubeconfig,
    Token,
    TokenFile,
    kubeconfig,
    leaf_within,
    parse_kubeconfig,
)
from kok.pki.manifests import (
    CA_CRT,
    TLS_CRT,
    TLS_KEY,
    TLS_SECRET_TYPE,
    ca_of,
    ca_secret_data,
    decode,
    encode,
    leaf_of,
    tls_secret_data,
)
from kok.pki.pem import MALFORMED, judged_key
from kok.pki.plainyaml import dump_yaml, plain_yaml
from kok.pki.renewal import Reason, RenewReason, must_renew
from kok.pki.trust import CAAction, CADecision, CAProblem, CAReason, check_ca, decide_ca

__all__ = [
    "CA_CRT",
    "CA_LIFETIME",
    "LEAF_LIFETIME",
    "MALFORMED",
    "TLS_CRT",
    "TLS_KEY",
    "TLS_SECRET_TYPE",
    "BootstrapToken",
    "CAAction",
    "CADecision",
    "CAProblem",
    "CAReason",
    "CertificateAuthority",
    "CertificateInfo",
    "ClientCertFiles",
    "Credentials",
    "KeyPair",
    "Kubeconfig",
    "Leaf",
    "LeafSpec",
    "PkiError",
    "Reason",
    "RenewReason",
    "Token",
    "TokenFile",
    "Usage",
    "bootstrap_token",
    "ca_of",
    "ca_secret_data",
    "certificate_info",
    "chain_of",
    "check_ca",
    "decide_ca",
    "decode",
    "dump_yaml",
    "encode",
    "encryption_key",
    "fingerprint",
    "issue",
    "judged_key",
    "kubeconfig",
    "leaf_of",
    "leaf_within",
    "merge_bundles",
    "must_renew",
    "new_ca",
    "parse_kubeconfig",
    "plain_yaml",
    "public_key_pin",
    "public_pem_of",
    "service_account_keys",
    "split",
    "tls_secret_data",
]
