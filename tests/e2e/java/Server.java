import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileWriter;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.SecureRandom;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.Map;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1Primitive;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.DERUTF8String;
import org.bouncycastle.asn1.cmp.*;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.cms.EnvelopedData;
import org.bouncycastle.asn1.crmf.CertReqMessages;
import org.bouncycastle.asn1.crmf.CertReqMsg;
import org.bouncycastle.asn1.crmf.CertTemplate;
import org.bouncycastle.asn1.crmf.EncryptedKey;
import org.bouncycastle.asn1.pkcs.PBMAC1Params;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.bc.BcX509ExtensionUtils;
import org.bouncycastle.cert.cmp.CertificateConfirmationContent;
import org.bouncycastle.cert.cmp.CertificateStatus;
import org.bouncycastle.cert.cmp.GeneralPKIMessage;
import org.bouncycastle.cert.cmp.ProtectedPKIMessage;
import org.bouncycastle.cert.cmp.ProtectedPKIMessageBuilder;
import org.bouncycastle.cert.cmp.RevocationDetails;
import org.bouncycastle.cert.crmf.CertificateRequestMessage;
import org.bouncycastle.cert.crmf.PKMACBuilder;
import org.bouncycastle.cert.crmf.jcajce.JcePKMACValuesCalculator;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.CMSAlgorithm;
import org.bouncycastle.cms.CMSEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.PasswordRecipient;
import org.bouncycastle.cms.RecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JceCMSContentEncryptorBuilder;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JcePasswordRecipientInfoGenerator;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.ContentVerifierProvider;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.MacCalculator;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcePBMac1CalculatorBuilder;

/**
 * A CA that speaks CMP by BouncyCastle, the library of EJBCA, and takes nothing on trust: it refuses
 * whatever BouncyCastle finds wrong.
 *
 * <p>Arguments: a file for its certificate, the secret, and how answers are protected: "mac" as the
 * request, where that is a password-based MAC, or "signature". (BouncyCastle writes PBMAC1 with a
 * wrong OID before 1.73.) Prints its port, then a line for each request: the
 * type of its body, and what became of it. Ends with its standard input.
 */
public class Server {
  private static final SecureRandom RANDOM = new SecureRandom();
  private static final ASN1ObjectIdentifier KEY_PACKAGE =
      new ASN1ObjectIdentifier("2.16.840.1.101.2.1.2.78.5");
  private static final ASN1Integer ACCEPTED = new ASN1Integer(0);
  private static final ASN1Integer REJECTION = new ASN1Integer(2);

  private final char[] secret;
  private final boolean answersByMac;
  private final KeyPair keys;
  private final X500Name name = new X500Name("CN=Castle CA,O=Legion,C=AU");
  private final X509CertificateHolder certificate;
  private final Map<BigInteger, X509CertificateHolder> issued = new HashMap<>();
  private final Map<String, X509CertificateHolder> unconfirmed = new HashMap<>();

  public static void main(String[] arguments) throws Exception {
    Security.addProvider(new BouncyCastleProvider());
    Server server = new Server(arguments[1].toCharArray(), arguments[2].equals("mac"));
    try (JcaPEMWriter file = new JcaPEMWriter(new FileWriter(arguments[0]))) {
      file.writeObject(server.certificate);
    }
    HttpServer http =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    http.createContext("/", server::answer);
    http.start();
    System.out.println(http.getAddress().getPort());
    while (System.in.read() >= 0) {}
    http.stop(0);
  }

  Server(char[] secret, boolean answersByMac) throws Exception {
    this.secret = secret;
    this.answersByMac = answersByMac;
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "BC");
    generator.initialize(256);
    keys = generator.generateKeyPair();
    SubjectPublicKeyInfo key = SubjectPublicKeyInfo.getInstance(keys.getPublic().getEncoded());
    X509v3CertificateBuilder builder = builder(name, key);
    builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
    int usage = KeyUsage.keyCertSign | KeyUsage.cRLSign | KeyUsage.digitalSignature;
    builder.addExtension(Extension.keyUsage, true, new KeyUsage(usage));
    certificate = builder.build(signer());
  }

  private void answer(HttpExchange exchange) {
    try (exchange) {
      byte[] answer;
      String told;
      PKIMessage request = PKIMessage.getInstance(exchange.getRequestBody().readAllBytes());
      int type = request.getBody().getType();
      try {
        ProtectedPKIMessage message = new ProtectedPKIMessage(new GeneralPKIMessage(request.getEncoded()));
        check(message);
        answer = protect(message, body(message)).toASN1Structure().getEncoded();
        told = "well";
      } catch (Exception error) {
        told = error.toString();
        ErrorMsgContent content = new ErrorMsgContent(rejected(error.getMessage()));
        PKIBody body = new PKIBody(PKIBody.TYPE_ERROR, content);
        PKIHeader header = request.getHeader();
        answer = sign(start(header, body)).toASN1Structure().getEncoded();
      }
      System.out.println(type + " " + told);
      exchange.getResponseHeaders().set("Content-Type", "application/pkixcmp");
      exchange.sendResponseHeaders(200, answer.length);
      exchange.getResponseBody().write(answer);
    } catch (Exception error) {
      error.printStackTrace();
    }
  }

  private static void demand(boolean holds, String what) {
    if (!holds) {
      throw new IllegalArgumentException(what);
    }
  }

  private void check(ProtectedPKIMessage message) throws Exception {
    PKIHeader header = message.getHeader();
    demand(header.getTransactionID().getOctets().length == 16, "transactionID");
    demand(header.getSenderNonce().getOctets().length >= 16, "senderNonce");
    if (isMac(message)) {
      demand(isMacGood(message), "the MAC is wrong");
      return;
    }
    X509CertificateHolder sender = message.getCertificates()[0];
    demand(sender.isSignatureValid(verifier(certificate)), "a certificate of somebody else");
    demand(message.verify(verifier(sender)), "the signature is wrong");
    GeneralName said = header.getSender();
    demand(said.getName().equals(sender.getSubject()), "the sender is not the signer");
  }

  private static boolean isMac(ProtectedPKIMessage message) {
    return message.hasPasswordBasedMacProtection() || isPbmac1(message);
  }

  private static boolean isPbmac1(ProtectedPKIMessage message) {
    AlgorithmIdentifier protection = message.getHeader().getProtectionAlg();
    return protection.getAlgorithm().equals(PKCSObjectIdentifiers.id_PBMAC1);
  }

  private boolean isMacGood(ProtectedPKIMessage message) throws Exception {
    if (!isPbmac1(message)) {
      return message.verify(pbm(), secret);
    }
    // of PBMAC1 ProtectedPKIMessage knows nothing before BouncyCastle 1.73
    ASN1Encodable parameters = message.getHeader().getProtectionAlg().getParameters();
    MacCalculator mac =
        new JcePBMac1CalculatorBuilder(PBMAC1Params.getInstance(parameters))
            .setProvider("BC")
            .build(secret);
    byte[] whole =
        new DERSequence(new ASN1Encodable[] {message.getHeader(), message.getBody()}).getEncoded();
    mac.getOutputStream().write(whole);
    return Arrays.equals(mac.getMac(), message.toASN1Structure().getProtection().getOctets());
  }

  private static PKMACBuilder pbm() {
    return new PKMACBuilder(new JcePKMACValuesCalculator().setProvider("BC"));
  }

  private PKIBody body(ProtectedPKIMessage message) throws Exception {
    PKIBody body = message.getBody();
    ASN1Encodable content = body.getContent();
    switch (body.getType()) {
      case PKIBody.TYPE_INIT_REQ, PKIBody.TYPE_CERT_REQ, PKIBody.TYPE_KEY_UPDATE_REQ:
        CertReqMsg[] requests = CertReqMessages.getInstance(content).toCertReqMsgArray();
        CertResponse[] responses = new CertResponse[requests.length];
        for (int place = 0; place < requests.length; place++) {
          responses[place] = enroll(message, new CertificateRequestMessage(requests[place]));
        }
        return new PKIBody(body.getType() + 1, new CertRepMessage(caPubs(), responses));
      case PKIBody.TYPE_P10_CERT_REQ:
        PKCS10CertificationRequest csr =
            new PKCS10CertificationRequest(content.toASN1Primitive().getEncoded());
        ContentVerifierProvider own =
            new JcaContentVerifierProviderBuilder()
                .setProvider("BC")
                .build(csr.getSubjectPublicKeyInfo());
        demand(csr.isSignatureValid(own), "POPO of the CSR");
        CertResponse response =
            granted(
                message,
                BigInteger.ONE.negate(),
                issue(csr.getSubject(), csr.getSubjectPublicKeyInfo()),
                null);
        CertResponse[] one = {response};
        return new PKIBody(PKIBody.TYPE_CERT_REP, new CertRepMessage(caPubs(), one));
      case PKIBody.TYPE_CERT_CONFIRM:
        confirm(message, CertConfirmContent.getInstance(content));
        return new PKIBody(PKIBody.TYPE_CONFIRM, new PKIConfirmContent());
      case PKIBody.TYPE_REVOCATION_REQ:
        RevRepContentBuilder revoked = new RevRepContentBuilder();
        for (RevDetails details : RevReqContent.getInstance(content).toRevDetailsArray()) {
          RevocationDetails wanted = new RevocationDetails(details);
          demand(wanted.getIssuer().equals(name), "issuer");
          boolean known = issued.remove(wanted.getSerialNumber()) != null;
          revoked.add(known ? accepted() : rejected("no such certificate"));
        }
        return new PKIBody(PKIBody.TYPE_REVOCATION_REP, revoked.build());
      case PKIBody.TYPE_GEN_MSG:
        InfoTypeAndValue[] wanted = GenMsgContent.getInstance(content).toInfoTypeAndValueArray();
        demand(wanted[0].getInfoType().equals(CMPObjectIdentifiers.id_it_caCerts), "infoType");
        ASN1Encodable certificates = new DERSequence(certificate.toASN1Structure());
        InfoTypeAndValue given = new InfoTypeAndValue(wanted[0].getInfoType(), certificates);
        return new PKIBody(PKIBody.TYPE_GEN_REP, new GenRepContent(given));
      default:
        throw new IllegalArgumentException("body " + body.getType());
    }
  }

  private CertResponse enroll(ProtectedPKIMessage message, CertificateRequestMessage request)
      throws Exception {
    CertTemplate template = request.getCertTemplate();
    BigInteger id = request.toASN1Structure().getCertReq().getCertReqId().getValue();
    SubjectPublicKeyInfo key = template.getPublicKey();
    if (key == null || key.getPublicKeyData().getOctets().length == 0) {
      KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "BC");
      generator.initialize(256);
      KeyPair made = generator.generateKeyPair();
      key = SubjectPublicKeyInfo.getInstance(made.getPublic().getEncoded());
      EncryptedKey sealed = new EncryptedKey(sealed(made, recipient(message)));
      return granted(message, id, issue(template.getSubject(), key), sealed);
    }
    demand(
        request.getProofOfPossessionType() == CertificateRequestMessage.popSigningKey, "POPO's kind");
    ContentVerifierProvider own =
        new JcaContentVerifierProviderBuilder().setProvider("BC").build(key);
    demand(request.isValidSigningKeyPOP(own), "POPO");
    return granted(message, id, issue(template.getSubject(), key), null);
  }

  private RecipientInfoGenerator recipient(ProtectedPKIMessage message) throws Exception {
    if (isMac(message)) {
      return new JcePasswordRecipientInfoGenerator(CMSAlgorithm.AES256_CBC, secret)
          .setProvider("BC")
          .setPRF(PasswordRecipient.PRF.HMacSHA256)
          .setPasswordConversionScheme(PasswordRecipient.PKCS5_SCHEME2_UTF8);
    }
    X509CertificateHolder sender = message.getCertificates()[0];
    X509Certificate converted =
        new JcaX509CertificateConverter().setProvider("BC").getCertificate(sender);
    return new JceKeyTransRecipientInfoGenerator(converted).setProvider("BC");
  }

  /** A key in an AsymmetricKeyPackage, signed, and sealed for one recipient. */
  private EnvelopedData sealed(KeyPair made, RecipientInfoGenerator recipient) throws Exception {
    byte[] keyPackage =
        new DERSequence(PrivateKeyInfo.getInstance(made.getPrivate().getEncoded())).getEncoded();
    DigestCalculatorProvider digests =
        new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
    CMSSignedDataGenerator signing = new CMSSignedDataGenerator();
    signing.addSignerInfoGenerator(
        new JcaSignerInfoGeneratorBuilder(digests).build(signer(), certificate));
    signing.addCertificate(certificate);
    CMSSignedData signed =
        signing.generate(new CMSProcessableByteArray(KEY_PACKAGE, keyPackage), true);
    CMSEnvelopedDataGenerator sealing = new CMSEnvelopedDataGenerator();
    sealing.addRecipientInfoGenerator(recipient);
    byte[] content = signed.toASN1Structure().getContent().toASN1Primitive().getEncoded("DER");
    ContentInfo whole =
        sealing
            .generate(
                new CMSProcessableByteArray(CMSObjectIdentifiers.signedData, content),
                new JceCMSContentEncryptorBuilder(CMSAlgorithm.AES256_CBC).setProvider("BC").build())
            .toASN1Structure();
    return EnvelopedData.getInstance(
        ASN1Primitive.fromByteArray(
            EnvelopedData.getInstance(whole.getContent()).getEncoded("DER")));
  }

  private CertResponse granted(
      ProtectedPKIMessage message, BigInteger id, X509CertificateHolder made, EncryptedKey key) {
    unconfirmed.put(transaction(message) + id, made);
    CertOrEncCert certificate = new CertOrEncCert(new CMPCertificate(made.toASN1Structure()));
    return new CertResponse(
        new ASN1Integer(id),
        accepted(),
        new CertifiedKeyPair(certificate, key, null),
        null);
  }

  private void confirm(ProtectedPKIMessage message, CertConfirmContent content) throws Exception {
    for (CertificateStatus status :
        new CertificateConfirmationContent(content).getStatusMessages()) {
      String key = transaction(message) + status.getCertRequestID();
      X509CertificateHolder made = unconfirmed.remove(key);
      demand(made != null, "nothing to confirm");
      demand(
          status.isVerified(
              made, new JcaDigestCalculatorProviderBuilder().setProvider("BC").build()),
          "certHash");
      demand(
          status.getStatusInfo() == null || status.getStatusInfo().getStatus().signum() == 0,
          "the certificate was rejected");
      issued.put(made.getSerialNumber(), made);
    }
  }

  private static String transaction(ProtectedPKIMessage message) {
    return message.getHeader().getTransactionID() + " ";
  }

  private X509CertificateHolder issue(X500Name subject, SubjectPublicKeyInfo key) throws Exception {
    X509v3CertificateBuilder builder = builder(subject, key);
    builder.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature));
    return builder.build(signer());
  }

  private X509v3CertificateBuilder builder(X500Name subject, SubjectPublicKeyInfo key)
      throws Exception {
    Date now = new Date(System.currentTimeMillis() / 1000 * 1000);
    Date end = new Date(now.getTime() + 86_400_000L);
    BigInteger serial = new BigInteger(120, RANDOM).add(BigInteger.ONE);
    X509v3CertificateBuilder builder =
        new X509v3CertificateBuilder(name, serial, now, end, subject, key);
    BcX509ExtensionUtils utils = new BcX509ExtensionUtils();
    builder.addExtension(
        Extension.subjectKeyIdentifier, false, utils.createSubjectKeyIdentifier(key));
    return builder;
  }

  private CMPCertificate[] caPubs() {
    return new CMPCertificate[] {new CMPCertificate(certificate.toASN1Structure())};
  }

  private ProtectedPKIMessage protect(ProtectedPKIMessage request, PKIBody body) throws Exception {
    ProtectedPKIMessageBuilder builder = start(request.getHeader(), body);
    if (!answersByMac || !request.hasPasswordBasedMacProtection()) {
      return sign(builder);
    }
    builder.setSenderKID(request.getHeader().getSenderKID().getOctets());
    return builder.build(mac(request));
  }

  private MacCalculator mac(ProtectedPKIMessage request) throws Exception {
    PBMParameter asked =
        PBMParameter.getInstance(request.getHeader().getProtectionAlg().getParameters());
    byte[] salt = new byte[16];
    RANDOM.nextBytes(salt);
    PBMParameter own =
        new PBMParameter(
            salt,
            asked.getOwf(),
            asked.getIterationCount().intValueExact(),
            asked.getMac());
    return pbm().setParameters(own).build(secret);
  }

  private ProtectedPKIMessageBuilder start(PKIHeader request, PKIBody body) {
    byte[] nonce = new byte[16];
    RANDOM.nextBytes(nonce);
    return new ProtectedPKIMessageBuilder(new GeneralName(name), request.getSender())
        .setMessageTime(new Date())
        .setTransactionID(request.getTransactionID().getOctets())
        .setSenderNonce(nonce)
        .setRecipNonce(request.getSenderNonce().getOctets())
        .setBody(body);
  }

  private ProtectedPKIMessage sign(ProtectedPKIMessageBuilder builder) throws Exception {
    byte[] kid =
        SubjectKeyIdentifier.fromExtensions(certificate.getExtensions())
            .getKeyIdentifier();
    return builder.setSenderKID(kid).addCMPCertificate(certificate).build(signer());
  }

  private ContentSigner signer() throws Exception {
    return new JcaContentSignerBuilder("SHA256withECDSA")
        .setProvider("BC")
        .build(keys.getPrivate());
  }

  private static ContentVerifierProvider verifier(X509CertificateHolder of) throws Exception {
    return new JcaContentVerifierProviderBuilder().setProvider("BC").build(of);
  }

  private static PKIStatusInfo accepted() {
    return new PKIStatusInfo(PKIStatus.getInstance(ACCEPTED));
  }

  private static PKIStatusInfo rejected(String why) {
    PKIFreeText text = new PKIFreeText(new DERUTF8String(String.valueOf(why)));
    PKIFailureInfo info = new PKIFailureInfo(PKIFailureInfo.badRequest);
    PKIStatus status = PKIStatus.getInstance(REJECTION);
    return new PKIStatusInfo(status, text, info);
  }
}
