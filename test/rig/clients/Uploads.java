import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Uploads.java CERTIFICATE URL BYTES...: one upload of each size after the other, on one connection; "j1" and so on are their ids. */
class Uploads {
  public static void main(String[] args) throws Exception {
    var store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (var file = Files.newInputStream(Path.of(args[0]))) {
      store.setCertificateEntry("one", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store);
    var context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).sslContext(context).build();
    for (int i = 2; i < args.length; i++) {
      var body = HttpRequest.BodyPublishers.ofByteArray(new byte[Integer.parseInt(args[i])]);
      var request = HttpRequest.newBuilder(URI.create(args[1] + "?id=j" + (i - 1))).POST(body).build();
      System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body().trim());
    }
  }
}
