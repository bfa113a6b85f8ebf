#!/usr/bin/env bash
# Makes the keystores of this folder anew, with the tools that people use: keytool (JDK 17),
# openssl (3.0, with its legacy provider) and, for one file, BouncyCastle behind keytool, which is
# what KeyStore Explorer writes PKCS#12 with (Debian: libbcprov-java; BCPROV names the jar).
#
#   ./make.sh          writes into the folder it stands in
#
# Every key here is made by this script for tests and is worth nothing. The store password is
# "changeit" unless a file's name says otherwise; the other key password is "keypass".
set -euo pipefail

out=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

pass=changeit
keypass=keypass
bcprov=${BCPROV:-/usr/share/java/bcprov.jar}
century=36500 # days
quiet() { "$@" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; return 1; }; }
req() { openssl req -utf8 -new -key "$1" -subj "$2"; }

# --- keys -----------------------------------------------------------------------------------
for name in root intermediate sign encrypt nonrep other; do
  quiet openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $name.key
done
quiet openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small.key
quiet openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key

# --- a CA as the Norwegian ones are built: root, intermediate, business certificates -----------
cat >ext.cnf <<'CNF'
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[sign]
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[encrypt]
keyUsage = critical, keyEncipherment, dataEncipherment
authorityKeyIdentifier = keyid
[nonrep]
keyUsage = critical, nonRepudiation
authorityKeyIdentifier = keyid
[ca]
default_ca = dated
[dated]
database = index.txt
serial = serial.txt
new_certs_dir = issued
default_md = sha256
policy = any
unique_subject = no
[any]
countryName = optional
organizationName = optional
organizationIdentifier = optional
serialNumber = optional
commonName = optional
CNF

root="/C=NO/O=Keystore Tests AS/CN=Keystore Test Root CA"
intermediate="/C=NO/O=Keystore Tests AS/CN=Keystore Test4 CA 3"
org="/C=NO/O=TESTVIRKSOMHET Å ÆRE AS"
old_subject="$org/serialNumber=991825827/CN=TESTVIRKSOMHET Å ÆRE AS"
seid2_subject="$org/organizationIdentifier=NTRNO-991825827/CN=TESTVIRKSOMHET Å ÆRE AS"

req root.key "$root" | quiet openssl x509 -req -signkey root.key -days $century -sha256 \
  -extfile ext.cnf -extensions root -set_serial 1 -out root.crt
req intermediate.key "$intermediate" | quiet openssl x509 -req -CA root.crt -CAkey root.key -days $century \
  -sha256 -extfile ext.cnf -extensions intermediate -set_serial 2 -out intermediate.crt
leaf() { # key subject extensions serial out
  req "$1" "$2" | quiet openssl x509 -req -CA intermediate.crt -CAkey intermediate.key -days $century \
    -sha256 -extfile ext.cnf -extensions "$3" -set_serial "$4" -out "$5"
}
leaf sign.key "$seid2_subject" sign 0x0123abcd sign.crt
leaf sign.key "$old_subject" sign 101 sign-old.crt
leaf encrypt.key "$seid2_subject" encrypt 102 encrypt.crt
leaf nonrep.key "$seid2_subject" nonrep 103 nonrep.crt
leaf other.key "/C=NO/O=ANNEN AS/serialNumber=910753614/CN=ANNEN AS" sign 104 other.crt
leaf ec.key "$seid2_subject" sign 105 ec.crt
leaf small.key "$seid2_subject" sign 106 small.crt
req other.key "/CN=self" | quiet openssl x509 -req -signkey other.key -days $century -out self-signed.crt

mkdir issued
: >index.txt
echo 1000 >serial.txt
dated() { # start end out
  req sign.key "$seid2_subject" >dated.req
  quiet openssl ca -batch -config ext.cnf -extensions sign -extfile ext.cnf -cert intermediate.crt \
    -keyfile intermediate.key -startdate "$1" -enddate "$2" -in dated.req -out "$3" -notext -utf8
}
dated 20200101000000Z 20230101000000Z expired.crt
dated 20900101000000Z 21200101000000Z future.crt

cat intermediate.crt root.crt >cas.crt
cat sign.crt cas.crt >chain.crt

# --- PKCS#12 ----------------------------------------------------------------------------------
p12() { quiet openssl pkcs12 -export "$@"; }
p12 -inkey sign.key -in sign.crt -certfile cas.crt -name virksomhet -passout pass:$pass -out aes.p12
p12 -legacy -inkey sign.key -in sign-old.crt -certfile cas.crt -name virksomhet -passout pass:$pass -out legacy.p12
p12 -inkey sign.key -in sign.crt -certfile cas.crt -name "Nøkkel på Ærøy" -passout pass:$pass -out norwegian-alias.p12
p12 -inkey sign.key -in sign.crt -certfile cas.crt -passout pass: -out empty-password.p12
p12 -inkey sign.key -in sign.crt -certfile cas.crt -name virksomhet -keypbe NONE -certpbe NONE -nomac \
  -passout pass: -out unprotected.p12
p12 -inkey sign.key -in sign.crt -certfile cas.crt -name virksomhet -passout "pass:blåbær€" -out norwegian-password.p12
cat root.crt sign.crt intermediate.crt other.crt >odd.crt
p12 -inkey sign.key -in odd.crt -name virksomhet -passout pass:$pass -out odd-order.p12
p12 -inkey ec.key -in ec.crt -certfile cas.crt -name virksomhet -passout pass:$pass -out ec.p12
p12 -inkey sign.key -in expired.crt -certfile cas.crt -name virksomhet -passout pass:$pass -out expired.p12
p12 -inkey sign.key -in future.crt -certfile cas.crt -name virksomhet -passout pass:$pass -out future.p12
p12 -inkey small.key -in small.crt -certfile cas.crt -name virksomhet -passout pass:$pass -out small.p12
p12 -legacy -keypbe PBE-SHA1-RC4-128 -certpbe PBE-SHA1-RC4-128 -inkey sign.key -in sign.crt \
  -name virksomhet -passout pass:$pass -out rc4.p12
p12 -nokeys -in cas.crt -passout pass:$pass -out certificates-only.p12

keys=(-srcstorepass $pass -deststorepass $pass -noprompt)
import() { # p12 alias-in alias-out type file [extra…]
  local from=$1 alias=$2 as=$3 type=$4 to=$5
  shift 5
  quiet keytool -importkeystore -srckeystore "$from" -srcstoretype PKCS12 -destkeystore "$to" -deststoretype "$type" \
    -srcalias "$alias" -destalias "$as" "${keys[@]}" "$@"
}
trust() { # file type
  quiet keytool -importcert -noprompt -alias buypass-ca -file root.crt -keystore "$1" -storetype "$2" -storepass $pass
}
for name in sign encrypt nonrep; do
  p12 -inkey $name.key -in $name.crt -certfile cas.crt -name $name -passout pass:$pass -out part-$name.p12
done

import aes.p12 virksomhet virksomhet PKCS12 keytool.p12
for name in sign encrypt nonrep; do import part-$name.p12 $name $name PKCS12 several.p12; done
trust several.p12 PKCS12
# Two keys that could both sign: nothing is chosen for the user.
import part-sign.p12 sign first PKCS12 two-signing.p12
p12 -inkey other.key -in other.crt -certfile cas.crt -name second -passout pass:$pass -out part-other.p12
import part-other.p12 second second PKCS12 two-signing.p12
quiet keytool -genseckey -alias secret -keyalg AES -keysize 256 -keystore two-signing.p12 -storetype PKCS12 -storepass $pass

# BouncyCastle encodes PKCS#12 in BER, with indefinite lengths and octet strings in pieces.
quiet keytool -importkeystore -srckeystore aes.p12 -srcstoretype PKCS12 -destkeystore bouncycastle.p12 \
  -deststoretype PKCS12 -destprovidername BC -providerpath "$bcprov" \
  -provider org.bouncycastle.jce.provider.BouncyCastleProvider "${keys[@]}"

# --- JKS --------------------------------------------------------------------------------------
import aes.p12 virksomhet Virksomhet JKS one.jks
import aes.p12 virksomhet virksomhet JKS key-password.jks -destkeypass $keypass
for name in sign encrypt nonrep; do import part-$name.p12 $name $name JKS several.jks; done
trust several.jks JKS
import norwegian-alias.p12 "Nøkkel på Ærøy" "Nøkkel på Ærøy" JKS norwegian-alias.jks
import expired.p12 virksomhet virksomhet JKS expired.jks
trust certificates-only.jks JKS
# The chain in pieces: the key with its leaf alone, the CAs as trusted certificates.
p12 -inkey sign.key -in sign.crt -name sign -passout pass:$pass -out part-leaf.p12
import part-leaf.p12 sign sign JKS chain-in-pieces.jks
trust chain-in-pieces.jks JKS
quiet keytool -importcert -noprompt -alias intermediate -file intermediate.crt -keystore chain-in-pieces.jks \
  -storetype JKS -storepass $pass
import aes.p12 virksomhet virksomhet JCEKS store.jceks
cp one.jks jks-named.p12
cp keytool.p12 pkcs12-named.jks

# --- PEM and DER --------------------------------------------------------------------------------
cat sign.key chain.crt >pkcs8.pem
openssl rsa -in sign.key -traditional -out pkcs1.key 2>/dev/null
cat pkcs1.key chain.crt >pkcs1.pem
cat root.crt intermediate.crt sign.crt sign.key >reversed.pem
openssl pkcs8 -topk8 -in sign.key -passout pass:$pass -v2 aes-256-cbc -out enc.key
cat enc.key chain.crt >encrypted.pem
openssl pkcs8 -topk8 -in sign.key -passout pass:$pass -v2 des3 -v2prf hmacWithSHA1 -out encrypted-des3.pem
openssl pkcs8 -topk8 -in sign.key -passout pass:$pass -scrypt -out encrypted-scrypt.pem
openssl pkcs8 -topk8 -in sign.key -passout pass:$pass -v1 PBE-SHA1-3DES -out encrypted-sha1-3des.pem
openssl pkcs8 -topk8 -in sign.key -passout pass:$pass -v1 PBE-MD5-DES -provider legacy -provider default -out encrypted-md5-des.pem
openssl rsa -in sign.key -traditional -aes256 -passout pass:$pass -out legacy-encrypted.pem 2>/dev/null
openssl pkcs12 -in aes.p12 -passin pass:$pass -passout pass:$pass -out openssl-pkcs12-output.pem
cp sign.key key-only.pem
openssl pkcs8 -topk8 -nocrypt -in sign.key -outform DER -out pkcs8.der
openssl rsa -in sign.key -traditional -outform DER -out pkcs1.der 2>/dev/null
openssl pkcs8 -topk8 -in sign.key -passout pass:$pass -outform DER -out encrypted.der
cp chain.crt chain.pem
openssl x509 -in sign.crt -outform DER -out leaf.der
cat sign.key other.crt cas.crt >mismatch.pem
cat nonrep.key nonrep.crt cas.crt >nonrep.pem
cat other.key self-signed.crt >self-signed.pem
cp ec.key ec.pem

# --- what people hand over by mistake -------------------------------------------------------------
cp sign.crt certificate.pem
req sign.key "$seid2_subject" >request.csr
openssl pkey -in sign.key -pubout -out public.pem
openssl crl2pkcs7 -nocrl -certfile chain.crt -out bundle.p7b
ssh-keygen -q -t rsa -b 2048 -N '' -C test -f openssh 2>/dev/null
base64 -w0 one.jks >one.jks.base64
printf '<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n' >page.html

# --- JWK ----------------------------------------------------------------------------------------
python3 - <<'PY'
import base64, json, re, subprocess

def numbers(name):
    """The INTEGERs of a PKCS#1 key, in order (RFC 8017 A.1.2)."""
    der = subprocess.run(["openssl", "rsa", "-in", name, "-traditional", "-outform", "DER"],
                         check=True, capture_output=True).stdout
    def tlv(at):
        length, at = der[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(der[at:at + count], "big"), at + count
        return at, at + length
    at, end = tlv(0)
    found = []
    while at < end:
        start, at = tlv(at)
        found.append(int.from_bytes(der[start:at], "big"))
    return found[1:]

def text(number):
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

def jwk(name, **more):
    return {"kty": "RSA", **dict(zip(["n", "e", "d", "p", "q", "dp", "dq", "qi"], map(text, numbers(name)))), **more}

chain = [re.sub(r"\s", "", part) for part in
         re.findall(r"BEGIN CERTIFICATE-+(.*?)-+END", open("chain.crt").read(), re.S)]
public = {name: jwk("sign.key")[name] for name in ("kty", "n", "e")}
short = {name: jwk("sign.key")[name] for name in ("kty", "n", "e", "d")}
files = {
    "kid.jwk": jwk("sign.key", kid="from-the-jwk", alg="RS256", use="sig"),
    "x5c.jwk": jwk("sign.key", x5c=chain),
    "bare.jwk": jwk("sign.key"),
    "rs512.jwk": jwk("sign.key", kid="from-the-jwk", alg="RS512"),
    "public.jwk": {**public, "kid": "public"},
    "without-primes.jwk": {**short, "kid": "short"},
    "ec.jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA", "kid": "ec"},
    "one.jwks": {"keys": [{**public, "kid": "public"}, jwk("sign.key", kid="private")]},
    "two.jwks": {"keys": [jwk("sign.key", kid="one"), jwk("other.key", kid="two")]},
}
for name, value in files.items():
    json.dump(value, open(name, "w"), indent=2)
PY

rm -f part-*.p12
install -m 644 -t "$out" ./*.p12 ./*.jks ./*.jceks ./*.pem ./*.der ./*.jwk ./*.jwks ./*.csr ./*.p7b ./*.base64 ./*.html
install -m 644 openssh "$out/openssh.key"
