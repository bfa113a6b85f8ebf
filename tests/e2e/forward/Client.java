// A Java program that knows of a proxy and of nothing else: Client.java PORT HOST PATH.
// Trust comes from -Djavax.net.ssl.trustStore.
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

class Client {
    public static void main(String[] args) throws Exception {
        var proxy = ProxySelector.of(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        for (var version : HttpClient.Version.values()) {
            var client = HttpClient.newBuilder().proxy(proxy).version(version)
                    .connectTimeout(Duration.ofSeconds(30)).build();
            for (var scheme : new String[] {"https", "http"}) {
                var url = URI.create(scheme + "://" + args[1] + args[2]);
                for (int i = 0; i < 2; i++) {
                    var request = HttpRequest.newBuilder(url).timeout(Duration.ofSeconds(30))
                            .POST(HttpRequest.BodyPublishers.ofString("from Java")).build();
                    var response = client.send(request, HttpResponse.BodyHandlers.ofString());
                    System.out.println(response.statusCode() + " " + response.version() + " " + response.body());
                }
            }
        }
        // The client of java.net, which old programs and many libraries use.
        var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0]));
        for (var scheme : new String[] {"https", "http"}) {
            var connection = (HttpURLConnection) new URL(scheme + "://" + args[1] + args[2])
                    .openConnection(new Proxy(Proxy.Type.HTTP, address));
            connection.setReadTimeout(30_000);
            connection.setDoOutput(true);
            connection.getOutputStream().write("from Java".getBytes());
            var body = new String(connection.getInputStream().readAllBytes());
            System.out.println(connection.getResponseCode() + " HttpURLConnection " + body);
        }
        System.exit(0);
    }
}
