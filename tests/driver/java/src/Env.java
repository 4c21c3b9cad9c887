import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;
import org.neo4j.driver.AuthToken;
import org.neo4j.driver.AuthTokens;
import org.neo4j.driver.Config;
import org.neo4j.driver.Driver;
import org.neo4j.driver.GraphDatabase;
import org.neo4j.driver.Record;
import org.neo4j.driver.Session;
import org.neo4j.driver.SessionConfig;
import org.neo4j.driver.exceptions.Neo4jException;
import org.neo4j.driver.exceptions.RetryableException;

/**
 * What every scenario gets: a driver, a tag for its own data, two more users.
 * Results may hold only what must be equal directly and through a pooler.
 */
final class Env {
    static final String PASSWORD = "somepass1";
    static final SessionConfig NEO4J = SessionConfig.forDatabase("neo4j");
    static final SessionConfig SYSTEM = SessionConfig.forDatabase("system");

    final String uri;
    final String user;
    final AuthToken auth;
    final Consumer<Config.ConfigBuilder> base;
    final String tag;
    final Driver driver;
    final List<String> names = new ArrayList<>();
    final int serverMajor;
    final int protocol;
    String label;

    Env(String uri, String user, String password, Consumer<Config.ConfigBuilder> base) {
        byte[] random = new byte[5];
        new Random().nextBytes(random);
        this.uri = uri;
        this.user = user;
        this.auth = AuthTokens.basic(user, password);
        this.base = base;
        tag = "T" + HexFormat.of().formatHex(random);
        driver = open(uri, auth, c -> {});
        for (String name : List.of("alice", "bob", "wrong")) {
            names.add(name + tag.toLowerCase());
            system("CREATE USER " + name + tag.toLowerCase() + " SET PASSWORD '" + PASSWORD + "' CHANGE NOT REQUIRED");
        }
        try (Session session = driver.session(NEO4J)) {
            var server = session.run("RETURN 1").consume().server();
            serverMajor = Integer.parseInt(server.agent().split("/")[1].split("\\.")[0]);
            protocol = Integer.parseInt(server.protocolVersion().split("\\.")[0]);
        }
    }

    void done() {
        names.forEach(name -> system("DROP USER " + name + " IF EXISTS"));
        driver.close();
    }

    Driver open(String address, AuthToken token, Consumer<Config.ConfigBuilder> more) {
        Config.ConfigBuilder builder = Config.builder();
        base.accept(builder);
        more.accept(builder);
        return GraphDatabase.driver(address, token, builder.build());
    }

    AuthToken login(int which) {
        return AuthTokens.basic(names.get(which), PASSWORD);
    }

    void system(String query) {
        try (Session session = driver.session(SYSTEM)) {
            session.run(query).consume();
        }
    }

    <T> T session(SessionConfig config, Function<Session, T> work) {
        try (Session session = driver.session(config)) {
            return work.apply(session);
        }
    }

    /** Auto-commit, all rows. */
    List<Object> run(String query, Map<String, Object> parameters) {
        return session(NEO4J, s -> rows(s.run(query, parameters).list()));
    }

    List<Object> run(String query) {
        return run(query, Map.of());
    }

    static List<Object> rows(List<Record> records) {
        List<Object> all = new ArrayList<>();
        records.forEach(r -> all.add(r.values(v -> v.asObject())));
        return all;
    }

    Object count() {
        return session(NEO4J, s -> s.run("MATCH (n:" + label + ") RETURN count(n)").single().get(0).asLong());
    }

    String withScheme(String scheme) {
        return uri.replaceFirst("^[a-z0-9]+", scheme);
    }

    String clean(String text) {
        return text == null ? null : text.replaceAll("(?i)" + tag, "TAG").replaceAll("\\d+", "#");
    }

    /** What an application can tell from an error, less names made for this run. */
    Object raises(Runnable work) {
        try {
            work.run();
        } catch (Exception caught) {
            Map<String, Object> result = new LinkedHashMap<>();
            result.put("type", caught.getClass().getSimpleName());
            result.put("retryable", caught instanceof RetryableException);
            if (caught instanceof Neo4jException server && !"N/A".equals(server.code())) {
                result.put("code", server.code());
                result.put("message", clean(server.getMessage()));
                result.put("gql", server.gqlStatus());
                result.put("description", clean(server.statusDescription()));
                result.put("cause", server.gqlCause().map(Neo4jException::gqlStatus).orElse(null));
            }
            return result;
        }
        throw new AssertionError("no error");
    }

    static void check(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }
}
