"""Names of object identifiers, as the RFCs write them, without `id-` and the like."""

from typing import Final

_ARCS: Final[dict[str, dict[int, str]]] = {
    # RFC 9810, 5.1.3: MACs of CMP
    "1.2.840.113533.7.66": {13: "PasswordBasedMac", 16: "KemBasedMac", 30: "DHBasedMac"},
    "1.3.6.1.5.5.8.1": {1: "HMAC-MD5", 2: "HMAC-SHA1"},
    # RFC 9810, 5.3.19 and 5.1.1
    "1.3.6.1.5.5.7.4": {
        1: "caProtEncCert", 2: "signKeyPairTypes", 3: "encKeyPairTypes", 4: "preferredSymmAlg",
        5: "caKeyUpdateInfo", 6: "currentCRL", 7: "unsupportedOIDs", 10: "keyPairParamReq",
        11: "keyPairParamRep", 12: "revPassphrase", 13: "implicitConfirm", 14: "confirmWaitTime",
        15: "origPKIMessage", 16: "suppLangTags", 17: "caCerts", 18: "rootCaKeyUpdate",
        19: "certReqTemplate", 20: "rootCaCert", 21: "certProfile", 22: "crlStatusList",
        23: "crls", 24: "KemCiphertextInfo",
    },
    # RFC 4211, 6 and 7; RFC 9810, 5.3.19.16
    "1.3.6.1.5.5.7.5.1": {
        1: "regToken", 2: "authenticator", 3: "pkiPublicationInfo", 4: "pkiArchiveOptions",
        5: "oldCertID", 6: "protocolEncrKey", 7: "altCertTemplate", 11: "algId", 12: "rsaKeyLen",
    },
    "1.3.6.1.5.5.7.5.2": {1: "utf8Pairs", 2: "certReq"},
    # extensions: RFC 5280, and those of others
    "2.5.29": {
        9: "subjectDirectoryAttributes", 14: "subjectKeyIdentifier", 15: "keyUsage",
        16: "privateKeyUsagePeriod", 17: "subjectAltName", 18: "issuerAltName",
        19: "basicConstraints", 20: "cRLNumber", 21: "reasonCode", 23: "holdInstructionCode",
        24: "invalidityDate", 27: "deltaCRLIndicator", 28: "issuingDistributionPoint",
        29: "certificateIssuer", 30: "nameConstraints", 31: "cRLDistributionPoints",
        32: "certificatePolicies", 33: "policyMappings", 35: "authorityKeyIdentifier",
        36: "policyConstraints", 37: "extKeyUsage", 46: "freshestCRL", 54: "inhibitAnyPolicy",
    },
    "2.5.29.32": {0: "anyPolicy"},
    "2.5.29.37": {0: "anyExtendedKeyUsage"},
    "1.3.6.1.5.5.7.1": {
        1: "authorityInfoAccess", 3: "qcStatements", 11: "subjectInfoAccess", 24: "tlsfeature",
    },
    "1.3.6.1.5.5.7.2": {1: "cps", 2: "unotice"},
    "1.3.6.1.5.5.7.48": {1: "ocsp", 2: "caIssuers", 3: "ad-timeStamping", 5: "caRepository"},
    "1.3.6.1.5.5.7.48.1": {5: "ocsp-nocheck"},
    "1.3.6.1.5.5.7.8": {
        4: "hardwareModuleName", 5: "xmppAddr", 7: "dnsSRV", 9: "SmtpUTF8Mailbox",
    },
    "1.3.6.1.4.1.311.20.2": {2: "msSmartcardLogon", 3: "msUPN"},
    "1.3.6.1.4.1.311.20": {2: "msCertificateTemplateName"},
    "1.3.6.1.4.1.311.21": {7: "msCertificateTemplate"},
    "1.3.6.1.4.1.311.25": {1: "msNtdsReplication", 2: "msNtdsCaSecurity"},
    "1.3.6.1.4.1.11129.2.4": {2: "signedCertificateTimestampList", 3: "ctPoison"},
    "2.16.840.1.113730.1": {1: "netscapeCertType", 13: "netscapeComment"},
    # extended key usages: RFC 5280, RFC 6402, RFC 9480, …
    "1.3.6.1.5.5.7.3": {
        1: "serverAuth", 2: "clientAuth", 3: "codeSigning", 4: "emailProtection",
        5: "ipsecEndSystem", 6: "ipsecTunnel", 7: "ipsecUser", 8: "timeStamping",
        9: "OCSPSigning", 17: "ipsecIKE", 21: "secureShellClient", 22: "secureShellServer",
        27: "cmcCA", 28: "cmcRA", 32: "cmKGA", 36: "documentSigning",
    },
    # attributes of Names
    "2.5.4": {
        3: "commonName", 4: "surname", 5: "serialNumber", 6: "countryName", 7: "localityName",
        8: "stateOrProvinceName", 9: "streetAddress", 10: "organizationName",
        11: "organizationalUnitName", 12: "title", 13: "description", 15: "businessCategory",
        16: "postalAddress", 17: "postalCode", 20: "telephoneNumber", 41: "name",
        42: "givenName", 43: "initials", 44: "generationQualifier", 45: "x500UniqueIdentifier",
        46: "dnQualifier", 65: "pseudonym", 97: "organizationIdentifier",
    },
    "0.9.2342.19200300.100.1": {1: "userId", 25: "domainComponent"},
    # PKCS #9: RFC 2985, RFC 5652
    "1.2.840.113549.1.9": {
        1: "emailAddress", 2: "unstructuredName", 3: "contentType", 4: "messageDigest",
        5: "signingTime", 6: "countersignature", 7: "challengePassword",
        8: "unstructuredAddress", 14: "extensionRequest", 15: "smimeCapabilities",
        20: "friendlyName", 21: "localKeyId", 52: "CMSAlgorithmProtection",
    },
    "1.2.840.113549.1.9.16.2": {12: "signingCertificate", 47: "signingCertificateV2"},
    # CMS: RFC 5652, RFC 4211, RFC 5958, RFC 9629
    "1.2.840.113549.1.7": {
        1: "data", 2: "signedData", 3: "envelopedData", 5: "digestedData", 6: "encryptedData",
    },
    "1.2.840.113549.1.9.16.1": {2: "ct-authData", 6: "ct-contentInfo", 21: "ct-encKeyWithID"},
    "2.16.840.1.101.2.1.2.78": {5: "ct-KP-aKeyPackage"},
    "1.2.840.113549.1.9.16.13": {3: "ori-kem"},
    "1.2.840.113549.1.9.16.3": {
        6: "alg-CMS3DESwrap", 9: "alg-PWRI-KEK", 28: "alg-hkdf-with-sha256",
        29: "alg-hkdf-with-sha384", 30: "alg-hkdf-with-sha512",
    },
    # RSA: RFC 8017
    "1.2.840.113549.1.1": {
        1: "rsaEncryption", 2: "md2WithRSAEncryption", 4: "md5WithRSAEncryption",
        5: "sha1WithRSAEncryption", 7: "RSAES-OAEP", 8: "mgf1", 9: "pSpecified",
        10: "RSASSA-PSS", 11: "sha256WithRSAEncryption", 12: "sha384WithRSAEncryption",
        13: "sha512WithRSAEncryption", 14: "sha224WithRSAEncryption",
        15: "sha512-224WithRSAEncryption", 16: "sha512-256WithRSAEncryption",
    },
    # PKCS #5: RFC 8018
    "1.2.840.113549.1.5": {12: "PBKDF2", 13: "PBES2", 14: "PBMAC1"},
    "1.2.840.113549.2": {
        5: "md5", 7: "hmacWithSHA1", 8: "hmacWithSHA224", 9: "hmacWithSHA256",
        10: "hmacWithSHA384", 11: "hmacWithSHA512", 12: "hmacWithSHA512-224",
        13: "hmacWithSHA512-256",
    },
    "1.2.840.113549.3": {7: "des-EDE3-CBC"},
    "1.3.14.3.2": {7: "desCBC", 26: "sha1"},
    # elliptic curves: RFC 5480, RFC 5753, RFC 5639, RFC 8410
    "1.2.840.10045.2": {1: "ecPublicKey"},
    "1.2.840.10045.3.1": {1: "secp192r1", 7: "secp256r1"},
    "1.3.132.0": {10: "secp256k1", 33: "secp224r1", 34: "secp384r1", 35: "secp521r1"},
    "1.3.36.3.3.2.8.1.1": {
        7: "brainpoolP256r1", 8: "brainpoolP256t1", 11: "brainpoolP384r1",
        12: "brainpoolP384t1", 13: "brainpoolP512r1", 14: "brainpoolP512t1",
    },
    "1.2.840.10045.4": {1: "ecdsa-with-SHA1"},
    "1.2.840.10045.4.3": {
        1: "ecdsa-with-SHA224", 2: "ecdsa-with-SHA256", 3: "ecdsa-with-SHA384",
        4: "ecdsa-with-SHA512",
    },
    "1.3.132.1": {12: "ecDH", 13: "ecMQV"},
    "1.3.132.1.11": {
        0: "dhSinglePass-stdDH-sha224kdf-scheme", 1: "dhSinglePass-stdDH-sha256kdf-scheme",
        2: "dhSinglePass-stdDH-sha384kdf-scheme", 3: "dhSinglePass-stdDH-sha512kdf-scheme",
    },
    "1.3.132.1.14": {
        0: "dhSinglePass-cofactorDH-sha224kdf-scheme",
        1: "dhSinglePass-cofactorDH-sha256kdf-scheme",
        2: "dhSinglePass-cofactorDH-sha384kdf-scheme",
        3: "dhSinglePass-cofactorDH-sha512kdf-scheme",
    },
    "1.3.133.16.840.63.0": {
        2: "dhSinglePass-stdDH-sha1kdf-scheme", 3: "dhSinglePass-cofactorDH-sha1kdf-scheme",
    },
    "1.3.101": {110: "X25519", 111: "X448", 112: "Ed25519", 113: "Ed448"},
    "1.2.840.10040.4": {1: "dsa", 3: "dsa-with-sha1"},
    "1.2.840.10046.2": {1: "dhpublicnumber"},
    # NIST: AES, hashes, MACs, signatures, KEMs (RFC 9481, RFC 9881, RFC 9935, FIPS 205)
    "2.16.840.1.101.3.4.1": {
        2: "aes128-CBC", 5: "aes128-wrap", 6: "aes128-GCM", 8: "aes128-wrap-pad",
        22: "aes192-CBC", 25: "aes192-wrap", 26: "aes192-GCM", 28: "aes192-wrap-pad",
        42: "aes256-CBC", 45: "aes256-wrap", 46: "aes256-GCM", 48: "aes256-wrap-pad",
    },
    "2.16.840.1.101.3.4.2": {
        1: "sha256", 2: "sha384", 3: "sha512", 4: "sha224", 5: "sha512-224", 6: "sha512-256",
        7: "sha3-224", 8: "sha3-256", 9: "sha3-384", 10: "sha3-512", 11: "shake128",
        12: "shake256", 13: "hmacWithSHA3-224", 14: "hmacWithSHA3-256", 15: "hmacWithSHA3-384",
        16: "hmacWithSHA3-512", 19: "KMAC128", 20: "KMAC256",
    },
    "2.16.840.1.101.3.4.3": {
        1: "dsa-with-sha224", 2: "dsa-with-sha256",
        17: "ML-DSA-44", 18: "ML-DSA-65", 19: "ML-DSA-87",
        20: "SLH-DSA-SHA2-128s", 21: "SLH-DSA-SHA2-128f", 22: "SLH-DSA-SHA2-192s",
        23: "SLH-DSA-SHA2-192f", 24: "SLH-DSA-SHA2-256s", 25: "SLH-DSA-SHA2-256f",
        26: "SLH-DSA-SHAKE-128s", 27: "SLH-DSA-SHAKE-128f", 28: "SLH-DSA-SHAKE-192s",
        29: "SLH-DSA-SHAKE-192f", 30: "SLH-DSA-SHAKE-256s", 31: "SLH-DSA-SHAKE-256f",
    },
    "2.16.840.1.101.3.4.4": {1: "ML-KEM-512", 2: "ML-KEM-768", 3: "ML-KEM-1024"},
    "1.3.6.1.5.5.7.6": {
        30: "RSASSA-PSS-SHAKE128", 31: "RSASSA-PSS-SHAKE256", 32: "ecdsa-with-shake128",
        33: "ecdsa-with-shake256",
    },
}  # fmt: skip

OIDS: Final = {
    f"{arc}.{last}": name for arc, names in _ARCS.items() for last, name in names.items()
}
"""Name by dotted object identifier; no two have the same name."""

ATTRIBUTE_KEYWORDS: Final = {
    "2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU",
    "2.5.4.6": "C", "2.5.4.9": "STREET", "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
    # beyond RFC 4514, 3, as they are commonly written
    "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.12": "title", "2.5.4.41": "name",
    "2.5.4.42": "GN", "2.5.4.43": "initials", "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress", "1.2.840.113549.1.9.2": "unstructuredName",
    "1.2.840.113549.1.9.8": "unstructuredAddress",
}  # fmt: skip
"""Keyword of an attribute type in a Name's text form (RFC 4514, 3)."""


def name_of(oid: str) -> str:
    """The name of a dotted object identifier; itself where none is known."""
    return OIDS.get(oid, oid)
