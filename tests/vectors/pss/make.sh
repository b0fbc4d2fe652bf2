#!/bin/sh
# Makes the certificates of this folder anew with OpenSSL 3.0; README.md says what they are.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

key() { # name algorithm options...
    name=$1 algorithm=$2
    shift 2
    openssl genpkey -algorithm "$algorithm" -pkeyopt rsa_keygen_bits:2048 "$@" \
        -out "$tmp/$name.key" 2>/dev/null
}
certify() { # name key options...
    name=$1 key=$2
    shift 2
    openssl req -x509 -new -key "$tmp/$key.key" -subj "/CN=$name" -days 36500 \
        -outform DER -out "$name.der" "$@"
}
key rsa RSA
certify default rsa -sha1 -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha1 -sigopt rsa_pss_saltlen:20
certify mixed rsa -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha1 -sigopt rsa_pss_saltlen:10
key any RSA-PSS
certify any any -sha512
key sha384 RSA-PSS -pkeyopt rsa_pss_keygen_md:sha384
certify sha384 sha384 -sha384
