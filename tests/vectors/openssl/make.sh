#!/bin/sh
# Makes the messages of this folder anew with OpenSSL 3.0; README.md says what they are.
set -eu
cd "$(dirname "$0")"
rm -f ./*.der
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# --- a root, a CMP signer, a device, all P-256, valid for 100 years; no private key is kept
p256() { openssl ecparam -name prime256v1 -genkey -noout -out "$tmp/$1.key"; }
certify() { # name subject extensions [options of openssl x509]
    name=$1 subject=$2 extensions=$3
    shift 3
    openssl req -new -key "$tmp/$name.key" -subj "$subject" -out "$tmp/$name.csr"
    printf '%b' "$extensions" >"$tmp/$name.ext"
    openssl x509 -req -in "$tmp/$name.csr" -CA "$tmp/root.pem" -CAkey "$tmp/root.key" \
        -days 36500 -extfile "$tmp/$name.ext" -out "$tmp/$name.pem" "$@" 2>/dev/null
}
p256 root
openssl req -x509 -new -key "$tmp/root.key" -subj "/O=bulkcmp vectors/CN=Root" -days 36500 \
    -addext keyUsage=critical,keyCertSign,cRLSign -out "$tmp/root.pem"
p256 signer
certify signer "/O=bulkcmp vectors/CN=CMP signer" 'keyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\n'
p256 device
certify device "/O=bulkcmp vectors/CN=device 1" 'keyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\n'
openssl req -new -key "$tmp/device.key" -subj "/O=bulkcmp vectors/CN=device 1" -out "$tmp/device.csr"
for name in root signer device; do
    openssl x509 -in "$tmp/$name.pem" -outform DER -out "$name.der"
done

# --- transactions: the n-th request and the n-th response are <transaction>-<n>-req.der, -rsp.der
# the secret is `vector_secret`, the reference `vector`
MAC="-ref vector -secret pass:vector_secret -srv_ref server -srv_secret pass:vector_secret"
SIG="-cert $tmp/device.pem -key $tmp/device.key -srv_cert $tmp/signer.pem -srv_key $tmp/signer.key -srv_trusted $tmp/root.pem -trusted $tmp/root.pem"
run() { # transaction messages options...
    transaction=$1 count=$2
    shift 2
    requests='' responses=''
    n=1
    while [ "$n" -le "$count" ]; do
        requests="$requests,$transaction-$n-req.der" responses="$responses,$transaction-$n-rsp.der"
        n=$((n + 1))
    done
    openssl cmp -config '' -batch -verbosity 3 -use_mock_srv \
        -recipient "/O=bulkcmp vectors/CN=Root" -rsp_cert "$tmp/${RSP:-device}.pem" \
        -certout "$tmp/out.pem" -reqout "${requests#,}" -rspout "${responses#,}" "$@" ||
        [ -n "${MAY_FAIL:-}" ]
}
NEW="-newkey $tmp/device.key"
SUBJECT='/O=bulkcmp vectors/CN=device 1'
# shellcheck disable=SC2086
{
    run ir-mac 2 -cmd ir $MAC $NEW -subject "$SUBJECT" -sans 'device1.example' -days 30
    run ir-signature 2 -cmd ir $SIG $NEW -subject "$SUBJECT"
    run cr-mac-sha512 2 -cmd cr $MAC $NEW -subject "$SUBJECT" -digest sha512 -mac hmacWithSHA512
    run kur-signature 2 -cmd kur $SIG $NEW -oldcert "$tmp/device.pem"
    run p10cr-mac 2 -cmd p10cr $MAC -csr "$tmp/device.csr"
    run rr-signature 1 -cmd rr $SIG -oldcert "$tmp/device.pem" -revreason 1
    run genm-mac 1 -cmd genm $MAC -infotype signKeyPairTypes
    run ir-raverified 1 -cmd ir $MAC $NEW -subject "$SUBJECT" -popo 0 -accept_raverified -implicit_confirm -grant_implicitconf
    run cr-polling 4 -cmd cr $MAC $NEW -subject "$SUBJECT" -poll_count 2 -check_after 1
    run ir-implicit 1 -cmd ir $SIG $NEW -subject "$SUBJECT" -implicit_confirm -grant_implicitconf
    MAY_FAIL=1
    run ir-error 1 -cmd ir $MAC $NEW -subject "$SUBJECT" -send_error -failure 9 -statusstring 'no, thanks'
    run ir-rejected 1 -cmd ir $SIG $NEW -subject "$SUBJECT" -pkistatus 2 -failurebits 67108865 -statusstring 'twice no'
    run ir-unprotected-error 1 -cmd ir $MAC $NEW -subject "$SUBJECT" -send_error -send_unprot_err -failure 1
}

# --- certHash: certificates signed by other algorithms; ML-DSA is unknown to OpenSSL 3.0
MAY_FAIL=''
other() { # transaction, then options of openssl genpkey for the issuer's key, `--`, of openssl x509
    transaction=$1
    shift
    options=''
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    shift
    # shellcheck disable=SC2086
    openssl genpkey $options -out "$tmp/other.key" 2>/dev/null
    openssl req -x509 -new -key "$tmp/other.key" -subj "/CN=$transaction" -days 36500 -out "$tmp/other.pem"
    openssl x509 -req -in "$tmp/device.csr" -CA "$tmp/other.pem" -CAkey "$tmp/other.key" \
        -days 36500 -out "$tmp/issued.pem" "$@" 2>/dev/null
    # shellcheck disable=SC2086
    RSP=issued run "$transaction" 2 -cmd cr $MAC $NEW -subject "$SUBJECT"
    rm "$transaction-1-req.der" "$transaction-2-rsp.der"
}
other hash-rsa-sha256 -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -- -sha256
other hash-rsa-sha512 -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -- -sha512
other hash-ecdsa-sha384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -- -sha384
other hash-ed25519 -algorithm ED25519 --
other hash-ed448 -algorithm ED448 --
