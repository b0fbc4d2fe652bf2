import java.io.FileReader;
import java.io.FileWriter;
import java.math.BigInteger;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.SecureRandom;
import java.security.Security;
import java.util.Arrays;
import java.util.Date;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.cmp.*;
import org.bouncycastle.asn1.crmf.CertReqMessages;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.util.ASN1Dump;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.cmp.CertificateConfirmationContentBuilder;
import org.bouncycastle.cert.cmp.GeneralPKIMessage;
import org.bouncycastle.cert.cmp.ProtectedPKIMessage;
import org.bouncycastle.cert.cmp.ProtectedPKIMessageBuilder;
import org.bouncycastle.cert.cmp.RevocationDetailsBuilder;
import org.bouncycastle.cert.crmf.CertificateRequestMessageBuilder;
import org.bouncycastle.cert.crmf.PKMACBuilder;
import org.bouncycastle.cert.crmf.jcajce.JcePKMACValuesCalculator;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.ContentVerifierProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.PKCS10CertificationRequestBuilder;

/**
 * An end entity that speaks CMP by BouncyCastle, the library of EJBCA, and checks each answer by it.
 *
 * <p>Arguments: the server's URL, the CA's certificate (PEM), the operation (ir, cr, p10cr, kur, rr,
 * genm), the protection (pbm, signature), its secret, and files for the end entity's
 * certificate and key (PEM): read for signatures and by kur and rr, written by the others. Ends with
 * 0 when all went well.
 */
public class Client {
  private static final SecureRandom RANDOM = new SecureRandom();
  private static final BigInteger FIRST = BigInteger.ZERO;

  private final URI server;
  private final X509CertificateHolder anchor;
  private final String protection;
  private final char[] secret;
  private final String certificateFile;
  private final String keyFile;
  private final byte[] transaction = random();
  private byte[] nonce;
  private byte[] theirs;

  public static void main(String[] arguments) throws Exception {
    Security.addProvider(new BouncyCastleProvider());
    new Client(arguments).carryOut(arguments[2]);
  }

  Client(String[] arguments) throws Exception {
    server = URI.create(arguments[0]);
    anchor = (X509CertificateHolder) read(arguments[1]);
    protection = arguments[3];
    secret = arguments[4].toCharArray();
    certificateFile = arguments[5];
    keyFile = arguments[6];
  }

  private void carryOut(String operation) throws Exception {
    switch (operation) {
      case "ir" -> enroll(PKIBody.TYPE_INIT_REQ, new X500Name("CN=castle,O=Legion,C=AU"));
      case "cr" -> enroll(PKIBody.TYPE_CERT_REQ, new X500Name("CN=castle,O=Legion,C=AU"));
      case "p10cr" -> enrollByCsr(new X500Name("CN=castle,O=Legion,C=AU"));
      case "kur" -> enroll(PKIBody.TYPE_KEY_UPDATE_REQ, own().getSubject());
      case "rr" -> revoke();
      case "genm" -> ask();
      default -> throw new IllegalArgumentException(operation);
    }
  }

  private void enroll(int type, X500Name subject) throws Exception {
    KeyPair keys = newKeys();
    CertificateRequestMessageBuilder request =
        new CertificateRequestMessageBuilder(FIRST)
            .setSubject(subject)
            .setPublicKey(SubjectPublicKeyInfo.getInstance(keys.getPublic().getEncoded()))
            .setProofOfPossessionSigningKeySigner(signer(keys));
    CertReqMessages requests = new CertReqMessages(request.build().toASN1Structure());
    receive(exchange(new PKIBody(type, requests)), type + 1, FIRST, keys);
  }

  private void enrollByCsr(X500Name subject) throws Exception {
    KeyPair keys = newKeys();
    PKCS10CertificationRequest csr =
        new PKCS10CertificationRequestBuilder(
                subject, SubjectPublicKeyInfo.getInstance(keys.getPublic().getEncoded()))
            .build(signer(keys));
    PKIBody body = new PKIBody(PKIBody.TYPE_P10_CERT_REQ, csr.toASN1Structure());
    receive(exchange(body), PKIBody.TYPE_CERT_REP, BigInteger.ONE.negate(), keys);
  }

  private void receive(PKIBody body, int type, BigInteger id, KeyPair keys) throws Exception {
    demand(body.getType() == type, told(body));
    CertResponse response = CertRepMessage.getInstance(body.getContent()).getResponse()[0];
    demand(response.getCertReqId().hasValue(id.intValue()), "certReqId");
    demand(response.getStatus().getStatus().signum() == 0, told(body));
    X509CertificateHolder made =
        new X509CertificateHolder(
            response.getCertifiedKeyPair().getCertOrEncCert().getCertificate().getX509v3PKCert());
    demand(made.isSignatureValid(verifier(anchor)), "the certificate's signature");
    SubjectPublicKeyInfo key = SubjectPublicKeyInfo.getInstance(keys.getPublic().getEncoded());
    demand(made.getSubjectPublicKeyInfo().equals(key), "the certificate's key");
    CertConfirmContent confirmation =
        new CertificateConfirmationContentBuilder()
            .addAcceptedCertificate(made, id)
            .build(new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())
            .toASN1Structure();
    PKIBody confirmed = exchange(new PKIBody(PKIBody.TYPE_CERT_CONFIRM, confirmation));
    demand(confirmed.getType() == PKIBody.TYPE_CONFIRM, told(confirmed));
    write(certificateFile, made);
    write(keyFile, new JcaPKCS8Generator(keys.getPrivate(), null));
  }

  private void revoke() throws Exception {
    X509CertificateHolder own = own();
    RevDetails details =
        new RevocationDetailsBuilder()
            .setIssuer(own.getIssuer())
            .setSerialNumber(own.getSerialNumber())
            .build()
            .toASN1Structure();
    PKIBody body =
        exchange(new PKIBody(PKIBody.TYPE_REVOCATION_REQ, new RevReqContent(details)));
    demand(body.getType() == PKIBody.TYPE_REVOCATION_REP, told(body));
    PKIStatusInfo[] statuses = RevRepContent.getInstance(body.getContent()).getStatus();
    demand(statuses.length == 1 && statuses[0].getStatus().signum() == 0, told(body));
  }

  private void ask() throws Exception {
    InfoTypeAndValue asked = new InfoTypeAndValue(CMPObjectIdentifiers.id_it_caCerts);
    PKIBody body = exchange(new PKIBody(PKIBody.TYPE_GEN_MSG, new GenMsgContent(asked)));
    demand(body.getType() == PKIBody.TYPE_GEN_REP, told(body));
    InfoTypeAndValue given =
        GenRepContent.getInstance(body.getContent()).toInfoTypeAndValueArray()[0];
    ASN1Encodable first = ASN1Sequence.getInstance(given.getInfoValue()).getObjectAt(0);
    demand(first.equals(anchor.toASN1Structure()), "caCerts");
  }

  /** One request and its answer, which must be protected as well as BouncyCastle can tell. */
  private PKIBody exchange(PKIBody body) throws Exception {
    byte[] request = protect(body).toASN1Structure().getEncoded();
    HttpRequest post =
        HttpRequest.newBuilder(server)
            .header("Content-Type", "application/pkixcmp")
            .POST(HttpRequest.BodyPublishers.ofByteArray(request))
            .build();
    HttpResponse<byte[]> answer =
        HttpClient.newHttpClient().send(post, HttpResponse.BodyHandlers.ofByteArray());
    demand(answer.statusCode() == 200, "HTTP status " + answer.statusCode());
    GeneralPKIMessage message = new GeneralPKIMessage(answer.body());
    demand(message.hasProtection(), "no protection: " + told(message.getBody()));
    demand(message.getBody().getType() != PKIBody.TYPE_ERROR, told(message.getBody()));
    check(new ProtectedPKIMessage(message));
    return message.getBody();
  }

  private void check(ProtectedPKIMessage message) throws Exception {
    PKIHeader header = message.getHeader();
    if (protection.equals("signature")) {
      X509CertificateHolder sender = message.getCertificates()[0];
      demand(message.verify(verifier(sender)), "the signature is wrong");
      demand(sender.equals(anchor) || sender.isSignatureValid(verifier(anchor)), "signed by somebody else");
    } else {
      demand(message.verify(pbm(), secret), "the MAC is wrong");
    }
    demand(same(header.getTransactionID().getOctets(), transaction), "transactionID");
    demand(same(header.getRecipNonce().getOctets(), nonce), "recipNonce");
    theirs = header.getSenderNonce().getOctets();
  }

  private ProtectedPKIMessage protect(PKIBody body) throws Exception {
    nonce = random();
    boolean signs = protection.equals("signature");
    GeneralName sender = new GeneralName(signs ? own().getSubject() : new X500Name("CN=castle"));
    ProtectedPKIMessageBuilder builder =
        new ProtectedPKIMessageBuilder(sender, new GeneralName(anchor.getSubject()))
            .setMessageTime(new Date())
            .setTransactionID(transaction)
            .setSenderNonce(nonce)
            .setBody(body);
    if (theirs != null) {
      builder.setRecipNonce(theirs);
    }
    if (signs) {
      X509CertificateHolder own = own();
      byte[] kid = SubjectKeyIdentifier.fromExtensions(own.getExtensions()).getKeyIdentifier();
      return builder.setSenderKID(kid).addCMPCertificate(own).build(signer(ownKeys()));
    }
    return builder.setSenderKID("ra1".getBytes()).build(pbm().build(secret));
  }

  private static PKMACBuilder pbm() {
    return new PKMACBuilder(new JcePKMACValuesCalculator().setProvider("BC"));
  }

  private X509CertificateHolder own() throws Exception {
    return (X509CertificateHolder) read(certificateFile);
  }

  private KeyPair ownKeys() throws Exception {
    PrivateKeyInfo key = (PrivateKeyInfo) read(keyFile);
    return new KeyPair(null, new JcaPEMKeyConverter().setProvider("BC").getPrivateKey(key));
  }

  private static KeyPair newKeys() throws Exception {
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "BC");
    generator.initialize(256);
    return generator.generateKeyPair();
  }

  private static ContentSigner signer(KeyPair keys) throws Exception {
    return new JcaContentSignerBuilder("SHA256withECDSA").setProvider("BC").build(keys.getPrivate());
  }

  private static ContentVerifierProvider verifier(X509CertificateHolder of) throws Exception {
    return new JcaContentVerifierProviderBuilder().setProvider("BC").build(of);
  }

  private static byte[] random() {
    byte[] made = new byte[16];
    RANDOM.nextBytes(made);
    return made;
  }

  private static boolean same(byte[] one, byte[] other) {
    return Arrays.equals(one, other);
  }

  private static Object read(String path) throws Exception {
    try (PEMParser parser = new PEMParser(new FileReader(path))) {
      return parser.readObject();
    }
  }

  private static void write(String path, Object what) throws Exception {
    try (JcaPEMWriter writer = new JcaPEMWriter(new FileWriter(path))) {
      writer.writeObject(what);
    }
  }

  private static String told(PKIBody body) {
    return "answered by " + ASN1Dump.dumpAsString(body);
  }

  private static void demand(boolean holds, String what) {
    if (!holds) {
      throw new IllegalStateException(what);
    }
  }
}
