"""What each outcome, and each reason for one, means, and what to do about it.

The one source of the table in docs/outcomes.md, of the hints in a summary, and of `bulkcmp
outcomes`. What EJBCA does was seen with EJBCA CE 8.2 or read in its source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bulkcmp.cmp import outcomes
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.messages import FAIL_INFO, PKIStatus, PKIStatusInfo, fail_info
from bulkcmp.errors import Loss
from bulkcmp.model import Operation, Outcome, OutcomeClass


@dataclass(frozen=True, slots=True)
class Explanation:
    """In plain English, without a full stop; `hint` says what to do, and is empty for nothing."""

    meaning: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ClassExplanation:
    """Of an outcome class; `resume` says what `bulkcmp resume` does with such rows."""

    meaning: str
    hint: str = ""
    resume: str = ""


_ANEW: Final = "with --retry-failed"

CLASSES: Final[dict[OutcomeClass, ClassExplanation]] = {
    OutcomeClass.ISSUED: ClassExplanation(
        "the certificate passed every check, is stored, and is confirmed"
    ),
    OutcomeClass.ISSUED_SUBJECT_CHANGED: ClassExplanation(
        "the same, but the CA chose another subject, and --subject-check record lets that pass;"
        " requested_subject and subject have both names"
    ),
    OutcomeClass.REVOKED: ClassExplanation("rr: the CA revoked the certificate"),
    OutcomeClass.ANSWERED: ClassExplanation(
        "genm: the CA told what it was asked for, or that there is none; it passed every check and"
        " is stored"
    ),
    OutcomeClass.ISSUED_UNPROVEN: ClassExplanation(
        "the certificate is stored and a pkiconf came, but its protection is missing or wrong, or"
        " it fails another check",
        "kept, but the pkiconf's protection is bad: check the secret, --trusted",
    ),
    OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN: ClassExplanation(
        "the certificate is stored; whether the CA saw the certConf is not known",
        "kept; the answer to certConf was lost: resume sends it again",
        "sends the certConf again, in the same transaction",
    ),
    OutcomeClass.ISSUED_CONFIRMATION_REFUSED: ClassExplanation(
        "the CA answered the certConf with an error, and may have revoked the certificate",
        "kept, but the CA may have revoked it: see status_text, ask the CA",
    ),
    OutcomeClass.ISSUED_REFUSED: ClassExplanation(
        "the certificate failed a check of ours; it was rejected in the certConf where there was"
        " one, and is stored",
        "failed our checks: do not use it, revoke its serial at the CA",
    ),
    OutcomeClass.ISSUED_FLAWED: ClassExplanation(
        "the certificate is confirmed and stored, and breaks a rule of --lint-profile, which is the"
        " reason; only with --lint-fail",
        "kept; mend the CA's certificate profile, or the row, and issue anew",
    ),
    OutcomeClass.REJECTED: ClassExplanation(
        "the CA said no, by PKIStatus rejection, by an error message, or to a genm by"
        " unsupportedOIDs",
        "the CA said no: see fail_info and status_text, mend row or CA",
        _ANEW,
    ),
    OutcomeClass.REJECTED_UNAUTHENTICATED: ClassExplanation(
        "a no without good protection: from the CA, or from anybody; --unprotected-errors believes"
        " such errors, which EJBCA sends",
        "a no without proof: check the secret; --unprotected-errors believes it",
        _ANEW,
    ),
    OutcomeClass.CREDENTIALS_REFUSED: ClassExplanation(
        "a no which says that our protection or our right is at fault: failInfo badMessageCheck,"
        " wrongIntegrity or signerNotTrusted, or EJBCA's text for it",
        "check --ref, the secret or the certificate, and its rights at the CA",
        _ANEW,
    ),
    OutcomeClass.BAD_RESPONSE: ClassExplanation(
        "an answer failed a check before anything was taken from it; asked for a certificate or its"
        " revocation, the CA may have done it",
        "the CA may have acted on it: check the secret, --trusted; see detail",
        _ANEW,
    ),
    OutcomeClass.UNKNOWN: ClassExplanation(
        "the request left, and no usable answer came; the CA may have issued",
        "the CA may have issued: look there, or resume --retry-unknown",
        "polls on for what was being polled for; with --retry-unknown all others begin anew",
    ),
    OutcomeClass.UNANSWERED: ClassExplanation(
        "genm: the question left, and no usable answer came; nothing can have been issued",
        "no usable answer came: resume asks again",
        "asks anew",
    ),
    OutcomeClass.STILL_WAITING: ClassExplanation(
        "the CA said waiting, and the time limit passed or the run was stopped",
        "the CA has not decided yet: resume polls on",
        "polls on",
    ),
    OutcomeClass.NOT_SENT: ClassExplanation(
        "the server did not process the request, in spite of repetitions",
        "nothing was sent: check --server and the network, then resume",
        "begins anew",
    ),
    OutcomeClass.HTTP_ERROR: ClassExplanation(
        "an HTTP status other than 2xx, without a CMP message",
        "the server is there, CMP is not: check the path of --server",
        _ANEW,
    ),
    OutcomeClass.NOT_CMP: ClassExplanation(
        "an answer of another content type, or without content",
        "something else answered: check --server (path, alias, proxy)",
        _ANEW,
    ),
    OutcomeClass.LOCAL_ERROR: ClassExplanation(
        "the request could not be built, or the row has no credential",
        "the request could not be built: see detail",
        _ANEW,
    ),
    OutcomeClass.BAD_ROW: ClassExplanation(
        "the row was skipped under --skip-bad-rows",
        "the row was skipped: bulkcmp check says what is wrong with it",
    ),
    OutcomeClass.TO_DO: ClassExplanation(
        "not taken up: the run was stopped before",
        "not taken up yet: resume goes on with them",
        "begins",
    ),
}
"""A hint here is one line of a summary: 70 characters at most."""

CHECKS: Final[dict[Reason, Explanation]] = {
    Reason.MALFORMED: Explanation(
        "the answer is not the DER of a PKIMessage, or its body not that of its type",
        "look at it with bulkcmp probe --save-messages and bulkcmp inspect, which reads BER too",
    ),
    Reason.VERSION: Explanation(
        "pvno is neither cmp2000(2) nor cmp2021(3)", "a server of CMPv1 (RFC 2510) is too old"
    ),
    Reason.TRANSACTION_ID: Explanation(
        "transactionID is absent, or not that of our request",
        "an answer to somebody else: look for a cache or a load balancer between us and the CA",
    ),
    Reason.RECIP_NONCE: Explanation(
        "recipNonce is absent, or not the senderNonce of our message",
        "an old or foreign answer; some servers answer thus what they don't understand",
    ),
    Reason.SENDER: Explanation(
        "sender is not the signer, or not the name of --expect-sender or --srvcert",
        "check --expect-sender and --srvcert against the name in detail",
    ),
    Reason.BODY_TYPE: Explanation("a message that does not answer ours, such as a cp to an ir"),
    Reason.KEM_CIPHERTEXT: Explanation(
        "the server gave no ciphertext for our KEM key, which protects nothing without",
        "does the server know the KEM-based MAC (RFC 9810, 5.1.3.4)? --secret is another way",
    ),
    Reason.RESPONSE_COUNT: Explanation(
        "not one CertResponse, status or poll entry for each request",
        "with --certs-per-message: does the CA take several? EJBCA takes one",
    ),
    Reason.NESTING: Explanation(
        "the nested answer has more layers than our message had",
        "each --ra-cert and --ra-secret is a layer: are all of them given?",
    ),
    Reason.RESPONSE_MISSING: Explanation(
        "the answer says nothing of this one of several requests in a message",
        "the CA ignores all but the first request, as EJBCA does: leave --certs-per-message away",
    ),
    Reason.PROTECTION_MISSING: Explanation(
        "the answer has no protection",
        "EJBCA leaves a pkiconf unprotected where the request had no senderKID: give --ref",
    ),
    Reason.PROTECTION_ALGORITHM: Explanation(
        "a protectionAlg that is unknown, malformed, or costs more iterations than we accept",
        "--max-pbm-iterations raises the ceiling for a peer that you trust",
    ),
    Reason.PROTECTION_KIND: Explanation(
        "the answer has a MAC where a signature is wanted, or the other way round",
        "--accept-protection either takes both",
    ),
    Reason.PROTECTION_WEAK: Explanation(
        "the answer's protection, or a certificate behind it, is below the minimum: SHA-1 in a"
        " signature or as PBM's one-way function, fewer than 100 iterations, RSA under 2048 bits, a"
        " curve under 224",
        "mend it at the CA: such a proof can be forged; --allow-weak believes it",
    ),
    Reason.MAC: Explanation(
        "the MAC of the answer is not by our secret, or the message was changed",
        "is --secret that of the alias? EJBCA protects a pkiconf by the alias' secret, not by the"
        " CA's",
    ),
    Reason.NO_SECRET: Explanation(
        "the answer has a MAC of a secret that we have not: by --secret, or with --srvcert's key",
        "have the alias sign its answers (EJBCA: response protection signature)",
    ),
    Reason.SIGNATURE: Explanation(
        "the signature of the answer is not by the certificate of its sender",
        "is --srvcert, or the certificate in extraCerts, the signer's present one?",
    ),
    Reason.SIGNER_MISSING: Explanation(
        "the certificate of who signed came neither with the answer nor with the options",
        "give it with --untrusted, or pin it with --srvcert",
    ),
    Reason.SIGNER_NOT_TRUSTED: Explanation(
        "the signer's certificate has no valid path to a trust anchor, or --crl-check found it"
        " revoked, or no CRL of its issuer",
        "is --trusted the CA's certificate, and --untrusted what stands between?",
    ),
    Reason.SIGNER_KEY_USAGE: Explanation(
        "the signer's keyUsage lacks digitalSignature", "--ignore-keyusage accepts it"
    ),
    Reason.CERT_REQ_ID: Explanation("certReqId is not that of a request of ours"),
    Reason.CHECK_AFTER: Explanation("the server wants to be polled before now"),
    Reason.STATUS: Explanation("a PKIStatus that can't answer this request"),
    Reason.CERTIFICATE_MISSING: Explanation(
        "PKIStatus accepted without a certificate, or with an encrypted one that was not asked for"
    ),
    Reason.CERTIFICATE_SEALED: Explanation(
        "the certificate came encrypted, and the key that was to be certified does not open it",
        "the CA revokes what is not confirmed; --popo signature or raVerified need no encryption",
    ),
    Reason.CERTIFICATE_MALFORMED: Explanation(
        "the certificate can't be read", "bulkcmp inspect shows what is in it"
    ),
    Reason.KEY_MISSING: Explanation(
        "--centralkeygen: a certificate without its private key, or with one in an EncryptedValue,"
        " which RFC 9810 deprecates",
        "does the CA make keys for this kind of request?",
    ),
    Reason.KEY_SEALED: Explanation(
        "--centralkeygen: the EnvelopedData with the private key is for another key or secret, was"
        " changed, or is encrypted in a way that is not known here",
        "the recipient is the secret, or the certificate, that protects our requests",
    ),
    Reason.KEY_SIGNATURE: Explanation(
        "--centralkeygen: the private key is in no SignedData, or its signature is wrong",
        "give the certificate of the CA's key generation authority with --untrusted",
    ),
    Reason.KGA_NOT_TRUSTED: Explanation(
        "--centralkeygen: who signed the private key has no path to an anchor, or may not make"
        " keys: it is neither a CA nor has the extended key usage cmKGA",
        "is the anchor of the key generation authority among --trusted?",
    ),
    Reason.KEY_WEAK: Explanation(
        "--centralkeygen: who made the private key signed it with SHA-1, or its path is too weak",
        "mend it at the CA; --allow-weak accepts it",
    ),
    Reason.KEY_MALFORMED: Explanation(
        "--centralkeygen: the key package holds anything but one private key of a known type",
        "another --newkey may help",
    ),
    Reason.PUBLIC_KEY: Explanation(
        "the certificate is for a public key that we did not ask for",
        "does the server answer with a fixed certificate, as OpenSSL's mock server does?",
    ),
    Reason.SUBJECT: Explanation(
        "the certificate is for another subject than we asked for",
        "EJBCA's client mode issues the registered DN: ask for that, or --subject-check record",
    ),
    Reason.EXPIRED: Explanation("the certificate is over already", "compare the clocks"),
    Reason.CHAIN: Explanation(
        "the certificate has no valid path to a trust anchor, or --crl-check-all found a CA on it"
        " revoked, or no CRL",
        "is --trusted (or --out-trusted) the root of this CA, and --untrusted its sub-CA?",
    ),
    Reason.CERTIFICATE_WEAK: Explanation(
        "the certificate or one of its path is below the minimum: signed with SHA-1, or for RSA"
        " under 2048 bits or a curve under 224",
        "mend the CA's certificate profile; --allow-weak accepts it",
    ),
    Reason.INFO_MISSING: Explanation(
        "the genp has no InfoTypeAndValue of the type that answers what was asked for",
        "OpenSSL's mock server repeats the question: it knows no answers",
    ),
    Reason.INFO_UNSUPPORTED: Explanation(
        "the CA names the infoType among its unsupportedOIDs", "ask for something else"
    ),
    Reason.INFO_MALFORMED: Explanation(
        "the infoValue is not of its infoType",
        "look at it with bulkcmp probe, which shows the whole answer",
    ),
    Reason.INFO_CERTIFICATE: Explanation(
        "a certificate among the answers is no CA's, has expired, or has no path to a trust anchor"
    ),
    Reason.ROOT_UPDATE: Explanation(
        "the new root certificate is not signed by itself, or the old root does not stand behind it"
        " by newWithOld",
        "is --oldwithold (or --trusted) the root that is to be replaced? Take no new root unproven",
    ),
    Reason.CRL: Explanation(
        "the CRL is not signed by an issuer that is trusted, or is another CA's",
        "give the certificate of the CRL's issuer with --untrusted",
    ),
    Reason.CRL_OUT_OF_DATE: Explanation(
        "nextUpdate of the CRL has passed, or it is not newer than the one that we have",
        "compare the clocks; does the CA make its CRLs anew?",
    ),
}

TITLES: Final[dict[Reason, str]] = {
    Reason.MALFORMED: "message",
    Reason.VERSION: "version",
    Reason.TRANSACTION_ID: "transactionID",
    Reason.RECIP_NONCE: "recipNonce",
    Reason.SENDER: "sender",
    Reason.NESTING: "layers",
    Reason.BODY_TYPE: "message type",
    Reason.KEM_CIPHERTEXT: "KEM ciphertext",
    Reason.RESPONSE_COUNT: "number of responses",
    Reason.RESPONSE_MISSING: "response to this request",
    Reason.PROTECTION_MISSING: "protection present",
    Reason.PROTECTION_ALGORITHM: "protection algorithm",
    Reason.PROTECTION_KIND: "kind of protection",
    Reason.PROTECTION_WEAK: "protection's strength",
    Reason.MAC: "MAC",
    Reason.NO_SECRET: "shared secret",
    Reason.SIGNATURE: "signature",
    Reason.SIGNER_MISSING: "signer's certificate",
    Reason.SIGNER_NOT_TRUSTED: "signer's path",
    Reason.SIGNER_KEY_USAGE: "signer's key usage",
    Reason.CERT_REQ_ID: "certReqId",
    Reason.CHECK_AFTER: "checkAfter",
    Reason.STATUS: "PKIStatus",
    Reason.CERTIFICATE_MISSING: "certificate present",
    Reason.CERTIFICATE_SEALED: "certificate decrypted",
    Reason.CERTIFICATE_MALFORMED: "certificate",
    Reason.KEY_MISSING: "private key present",
    Reason.KEY_SEALED: "private key decrypted",
    Reason.KEY_SIGNATURE: "private key's signature",
    Reason.KGA_NOT_TRUSTED: "key generation authority",
    Reason.KEY_WEAK: "strength of the private key's signature",
    Reason.KEY_MALFORMED: "private key",
    Reason.PUBLIC_KEY: "public key",
    Reason.SUBJECT: "subject",
    Reason.EXPIRED: "validity",
    Reason.CHAIN: "chain",
    Reason.CERTIFICATE_WEAK: "certificate's strength",
    Reason.INFO_MISSING: "infoType of the answer",
    Reason.INFO_UNSUPPORTED: "infoType supported",
    Reason.INFO_MALFORMED: "infoValue",
    Reason.INFO_CERTIFICATE: "CA certificate",
    Reason.ROOT_UPDATE: "root CA update",
    Reason.CRL: "CRL",
    Reason.CRL_OUT_OF_DATE: "CRL up to date",
}
"""What a check is called where it may have passed."""

OF_CERTIFICATE: Final = frozenset(
    {
        Reason.CERTIFICATE_MALFORMED,
        Reason.KEY_MISSING,
        Reason.KEY_SEALED,
        Reason.KEY_SIGNATURE,
        Reason.KGA_NOT_TRUSTED,
        Reason.KEY_WEAK,
        Reason.KEY_MALFORMED,
        Reason.PUBLIC_KEY,
        Reason.SUBJECT,
        Reason.EXPIRED,
        Reason.CHAIN,
        Reason.CERTIFICATE_WEAK,
    }
)
"""Checks of an issued certificate, and of a private key with it."""

OF_INFORMATION: Final = frozenset(
    {
        Reason.INFO_MISSING,
        Reason.INFO_UNSUPPORTED,
        Reason.INFO_MALFORMED,
        Reason.INFO_CERTIFICATE,
        Reason.ROOT_UPDATE,
        Reason.CRL,
        Reason.CRL_OUT_OF_DATE,
    }
)
"""Checks of what a genm is told; all others are of messages."""

LOSSES: Final[dict[Loss, Explanation]] = {
    Loss.CONNECT: Explanation(
        "no TCP connection, or the proxy makes none", "check host, port, firewall and --proxy"
    ),
    Loss.TLS: Explanation(
        "the TLS handshake failed, or the server refused our part of it",
        "check --tls-trusted, the name in --server, and that --tls-cert is what the server wants",
    ),
    Loss.NOT_SENT: Explanation("the connection ended before the whole request was handed over"),
    Loss.NO_LAYER: Explanation(
        "the RA's key on a token did not sign the nested message", "check the token of --ra-key"
    ),
    Loss.REUSED: Explanation(
        "a kept connection ended without one byte of an answer",
        "a server that closes kept connections in silence: --retry-reused sends once more",
    ),
    Loss.CUT: Explanation(
        "the connection ended before the whole answer was there",
        "where each one over TLS does: does the server want a client certificate (--tls-cert)?",
    ),
    Loss.TIMEOUT: Explanation(
        "no whole answer within --msg-timeout", "lower --concurrency, or raise --msg-timeout"
    ),
    Loss.BUSY: Explanation("HTTP 429 or 503", "lower --concurrency or --rate"),
    Loss.GATEWAY: Explanation(
        "HTTP 502 or 504: a proxy has lost the CA, which may have issued",
        "see the proxy's log, and whether its time limit is shorter than the CA needs",
    ),
    Loss.HTTP_STATUS: Explanation(
        "an HTTP status other than 2xx; the reason is HTTP and the number",
        "404: no such alias; 500: EJBCA failed inside, as for an rr in client mode without a"
        " subject, or controls without regToken",
    ),
    Loss.NOT_CMP: Explanation(
        "HTTP 2xx of another content type than application/pkixcmp",
        "a login page or a portal answers: check the path, the alias, and --proxy",
    ),
    Loss.TOO_LARGE: Explanation(
        "more octets than --max-response, or than header fields may have",
        "--max-response raises the limit for a peer that you trust",
    ),
    Loss.BAD_HTTP: Explanation("what came is no HTTP", "is the port that of an HTTP server?"),
    Loss.NOT_IN_BATCH: Explanation(
        "the answer to a batch of messages has none to this one",
        "the CA takes only the first message of a nested, as EJBCA does: leave --batch away",
    ),
}

FAIL_INFOS: Final[dict[str, Explanation]] = {
    "badAlg": Explanation(
        "an algorithm is unknown or not supported", "try another --digest, --mac or --newkey"
    ),
    "badMessageCheck": Explanation(
        "the protection of our message could not be verified",
        "is the secret that of the reference? EJBCA also answers a kur with the same key thus",
    ),
    "badRequest": Explanation(
        "the request is not permitted or not supported; EJBCA says this for nearly everything",
        "the cause is in status_text",
    ),
    "badTime": Explanation(
        "messageTime is too far from the CA's clock", "set this machine's clock"
    ),
    "badCertId": Explanation(
        "no certificate fits what we named",
        "rr: check issuer and serial of --oldcert; certConf: the CA does not know the certHash",
    ),
    "badDataFormat": Explanation("the CA can't read our message"),
    "wrongAuthority": Explanation(
        "another CA is meant than the one that answers", "check --recipient, --issuer and the alias"
    ),
    "incorrectData": Explanation(
        "the requester's data are wrong",
        "EJBCA: no such end entity, or the profile does not allow this subject",
    ),
    "missingTimeStamp": Explanation("a time stamp is missing, and the CA's policy wants it"),
    "badPOP": Explanation(
        "the proof of possession failed",
        "raVerified only where the alias allows it: try --popo signature, or keyEncipherment for"
        " keys that can't sign",
    ),
    "certRevoked": Explanation(
        "the certificate is revoked already", "for an rr that is what was asked for"
    ),
    "certConfirmed": Explanation("the certificate is confirmed already"),
    "wrongIntegrity": Explanation(
        "a MAC where the CA wants a signature, or the other way round",
        "give --cert and --key instead of --secret, or the reverse, as the alias wants",
    ),
    "badRecipientNonce": Explanation("our recipNonce is not what the CA sent"),
    "timeNotAvailable": Explanation("the CA's time source is not available"),
    "unacceptedPolicy": Explanation("the CA does not issue under the policy that was asked for"),
    "unacceptedExtension": Explanation(
        "the CA does not issue with an extension that was asked for"
    ),
    "addInfoNotAvailable": Explanation("additional information is not available"),
    "badSenderNonce": Explanation("our senderNonce is missing or too short"),
    "badCertTemplate": Explanation(
        "the certificate template is not acceptable", "check subject, key type and validity"
    ),
    "signerNotTrusted": Explanation(
        "the CA does not trust who signed our message",
        "send the chain with --extracerts; is the certificate one of this CA, and not revoked?",
    ),
    "transactionIdInUse": Explanation("the CA knows our transactionID from another transaction"),
    "unsupportedVersion": Explanation("the CA does not speak our version of CMP"),
    "notAuthorized": Explanation(
        "who asks has no right to",
        "EJBCA: a wrong regToken, approvals that are on, or two requests at once for one user",
    ),
    "systemUnavail": Explanation(
        "the CA can't answer now",
        "EJBCA also says this where the profile that --ref names is missing",
    ),
    "systemFailure": Explanation("the CA failed inside", "see the CA's log"),
    "duplicateCertReq": Explanation("the same certificate was asked for before"),
}

STATUSES: Final[dict[PKIStatus, Explanation]] = {
    PKIStatus.ACCEPTED: Explanation("granted as it was asked for"),
    PKIStatus.GRANTED_WITH_MODS: Explanation("granted with changes"),
    PKIStatus.REJECTION: Explanation("refused: failInfo and statusString say why"),
    PKIStatus.WAITING: Explanation("not decided yet: the transaction polls, then another comes"),
    PKIStatus.REVOCATION_WARNING: Explanation("rr: a revocation is at hand"),
    PKIStatus.REVOCATION_NOTIFICATION: Explanation("rr: the certificate is revoked"),
    PKIStatus.KEY_UPDATE_WARNING: Explanation("no answer to any request of ours"),
}

OTHERS: Final[dict[str, Explanation]] = {
    "adopted": Explanation(
        "the CA's answer was lost, and bulkcmp reconcile --adopt took the certificate from its list"
    ),
    "interrupted": Explanation("the run was cut off at this point"),
    "interrupted before the answer": Explanation(
        "the run was cut off between sending the request and storing its answer"
    ),
    "its worker died": Explanation("the process that worked on the row ended"),
    "not asked again": Explanation(
        "an earlier request may have been acted on, and the new one did not come to the CA",
        "look at the CA, or resume --retry-unknown again",
    ),
    "refused after an interruption": Explanation(
        "the answer to a poll was lost, and the CA knows of nothing more to poll for",
        "the lost answer may have been the certificate: look at the CA",
    ),
    "stopped": Explanation(
        "the run ended before the row was over, by Ctrl-C or SIGTERM, by a failed canary or an"
        " open circuit; or a pause, a window or an open circuit held it back then: see the summary"
    ),
    "time limit": Explanation(
        "the next poll is due after --total-timeout", "give the CA longer, or resume later"
    ),
}
"""Reasons that are neither a check, nor a loss, nor a failInfo."""

TEXTS: Final[dict[str, Explanation]] = {
    "Authentication failed for message": Explanation(
        "EJBCA: the MAC is by another secret",
        "the secret is the alias' in RA mode, the end entity's password in client mode",
    ),
    "Wrong username or password": Explanation(
        "EJBCA, client mode: there is no such end entity",
        "register it, or check --ref and the alias' name extraction",
    ),
    "No clear text password for user": Explanation(
        "EJBCA, client mode: the password is stored as a hash only",
        "set the end entity's password in clear text",
    ),
    "Status NEW, FAILED or INPROCESS required": Explanation(
        "EJBCA, client mode: this end entity has enrolled already",
        "set its status to NEW; after a lost answer look whether a certificate was issued",
    ),
    "is not allowed to use same key": Explanation(
        "EJBCA: another end entity has a certificate for this public key",
        "make a key for each row, or switch off Enforce unique public keys at the CA",
    ),
    "POPO verification failed": Explanation(
        "EJBCA: raVerified where the alias does not allow it, or a wrong signature",
        "--popo signature, or allow raVerified at the alias",
    ),
    "Iteration count can not exceed": Explanation(
        "EJBCA takes 10,000 iterations of PBM at most", "lower --pbm-iterations"
    ),
    "No HMAC protection was found": Explanation(
        "EJBCA: the request came without a MAC", "give --ref and --secret for this alias"
    ),
    "is not an authorized administrator": Explanation(
        "EJBCA, RA mode: the signer has no RA rights", "add the certificate to an RA role"
    ),
    "Single transaction enrollment request rejected": Explanation(
        "EJBCA: approvals are on, and CMP can't wait for them", "switch approvals off"
    ),
    "Can not handle message type": Explanation(
        "EJBCA answers neither genm nor pollReq", "leave this operation away"
    ),
    "CA with DN": Explanation(
        "EJBCA: the recipient is no CA of it", "give the CA's subject with --recipient"
    ),
    "Already revoked": Explanation(
        "EJBCA: an rr for what is revoked already; where an earlier rr of ours had no good answer,"
        " that is what was wanted"
    ),
    "must exist": Explanation(
        "EJBCA, RA mode: the end entity profile wants a field that the subject lacks",
        "add it to --subject",
    ),
    "was not found": Explanation(
        "EJBCA, RA mode: the profile that --ref names does not exist",
        "check --ref (KeyId) and the alias' profiles",
    ),
    "Not a valid CMP message": Explanation("EJBCA could not read what came"),
}
"""What a statusString is known to contain."""


def hint_for(outcome: OutcomeClass, reason: str) -> str:
    """What to do about one reason, where there is more to say than about its class; or nothing.

    Args:
        reason: as in `Outcome`, any text.
    """
    if outcome.is_done:
        return ""
    return next((known.hint for known in _of_reason(reason) if known.hint), "")


def explain(outcome: Outcome) -> Iterator[Explanation]:
    """What is known of an outcome, the most special first: its text, its reason, its class."""
    for text, known in TEXTS.items():
        if text.lower() in outcome.status_text.lower():
            yield known
    yield from _of_reason(outcome.reason)
    known_class = CLASSES[outcome.outcome]
    yield Explanation(known_class.meaning, known_class.hint)


def _of_reason(reason: str) -> Iterator[Explanation]:
    if reason in set(Reason):
        yield CHECKS[Reason(reason)]
    elif reason in set(Loss):
        yield LOSSES[Loss(reason)]
    elif reason.startswith("HTTP "):
        yield LOSSES[Loss.HTTP_STATUS]
    elif reason in OTHERS:
        yield OTHERS[reason]
    else:
        yield from (FAIL_INFOS[name] for name in reason.split(", ") if name in FAIL_INFOS)


def classes_of_loss(loss: Loss) -> tuple[OutcomeClass, OutcomeClass, OutcomeClass, OutcomeClass]:
    """What a loss makes of a request, of a genm, of a pollReq and of a certConf, when it is not
    repeated."""
    request, question = (
        outcomes.lost(operation, loss, "", "").outcome
        for operation in (Operation.IR, Operation.GENM)
    )
    poll = OutcomeClass.UNKNOWN if outcomes.was_processed(loss) else OutcomeClass.STILL_WAITING
    return request, question, poll, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN


def classes_of_check(reason: Reason) -> tuple[OutcomeClass, ...]:
    """What a failed check makes of a row: by the answer to a request, and that to a certConf."""
    if reason in OF_CERTIFICATE:
        return (OutcomeClass.ISSUED_REFUSED,)
    if reason is Reason.INFO_UNSUPPORTED:
        return (OutcomeClass.REJECTED,)
    if reason in OF_INFORMATION:
        return (OutcomeClass.BAD_RESPONSE,)
    return OutcomeClass.BAD_RESPONSE, OutcomeClass.ISSUED_UNPROVEN


def classes_of_status(status: PKIStatus) -> tuple[OutcomeClass, ...]:
    """What a PKIStatus can end in, where the message that carries it is good."""
    found: list[OutcomeClass] = []
    if status in outcomes.GRANTED:
        found += [
            OutcomeClass.ISSUED,
            OutcomeClass.ISSUED_SUBJECT_CHANGED,
            OutcomeClass.ISSUED_REFUSED,
        ]
    if status in outcomes.REVOKED:
        found.append(OutcomeClass.REVOKED)
    if status is PKIStatus.REJECTION:
        found += [OutcomeClass.REJECTED, OutcomeClass.CREDENTIALS_REFUSED]
    if status is PKIStatus.WAITING:
        found.append(OutcomeClass.STILL_WAITING)
    return tuple(found) or (OutcomeClass.BAD_RESPONSE,)


def classes_of_fail_info(name: str) -> tuple[OutcomeClass, OutcomeClass]:
    """What a failInfo makes of a row: believed, and where nobody proved who says it."""
    status = PKIStatusInfo(status=PKIStatus.REJECTION, failInfo=fail_info(name))
    believed, unproven = (
        outcomes.refused(status, authenticated=authenticated, details=[]).outcome
        for authenticated in (True, False)
    )
    return believed, unproven


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the whole table.

    Attributes:
        kind: what `word` is.
        leads_to: the classes that it may end in; empty where that says nothing.
    """

    kind: str
    word: str
    leads_to: tuple[OutcomeClass, ...]
    meaning: str
    hint: str

    def has(self, text: str) -> bool:
        """Whether `text` stands in it, in capitals or not; or it in the CA's `text`."""
        whole = " ".join((self.kind, self.word, *self.leads_to, self.meaning, self.hint))
        text = text.lower()
        return text in whole.lower() or (self.word in TEXTS and self.word.lower() in text)


def entries() -> Iterator[Entry]:
    """The whole table, in the order of the documentation."""
    for kind, one in CLASSES.items():
        yield Entry("outcome", kind, (), one.meaning, one.hint)
    for status, known in STATUSES.items():
        leads_to = classes_of_status(status)
        yield Entry("PKIStatus", asn1_name(status), leads_to, known.meaning, known.hint)
    for name in FAIL_INFO:
        known, leads_to = FAIL_INFOS[name], classes_of_fail_info(name)
        yield Entry("failInfo", name, leads_to, known.meaning, known.hint)
    for text, known in TEXTS.items():
        yield Entry("text of the CA", text, (), known.meaning, known.hint)
    for reason, known in CHECKS.items():
        yield Entry("check", reason, classes_of_check(reason), known.meaning, known.hint)
    for loss, known in LOSSES.items():
        leads_to = classes_of_loss(loss)
        yield Entry("transport", loss, leads_to, known.meaning, known.hint)
    for reason_text, known in OTHERS.items():
        yield Entry("reason", reason_text, (), known.meaning, known.hint)


def asn1_name(status: PKIStatus) -> str:
    """The name in the ASN.1: `grantedWithMods`."""
    first, *others = status.name.lower().split("_")
    return first + "".join(map(str.capitalize, others))
