import java.io.File;
import java.lang.reflect.Array;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.logging.Level;
import java.util.regex.Pattern;
import org.neo4j.driver.Config;
import org.neo4j.driver.Logging;

/**
 * Runs the shared scenarios with the official Java driver.
 *
 * <p>usage: Runner URI USER PASSWORD [--ca FILE] [--only REGEX] [--times]
 *
 * <p>Prints one JSON object {scenario: result}; a scenario that fails by itself has the result
 * {"!": "what happened"}.
 */
public final class Runner {
    private Runner() {}

    public static void main(String[] arguments) {
        String only = "";
        String ca = null;
        boolean times = false;
        for (int i = 3; i < arguments.length; i++) {
            switch (arguments[i]) {
                case "--only" -> only = arguments[++i];
                case "--ca" -> ca = arguments[++i];
                case "--times" -> times = true;
                default -> throw new IllegalArgumentException(arguments[i]);
            }
        }
        String uri = arguments[0];
        Consumer<Config.ConfigBuilder> base = c -> c.withLogging(Logging.console(Level.OFF));
        if (ca != null) { // this driver takes a CA only in its configuration, with a plain scheme
            File file = new File(ca);
            uri = uri.replace("+s://", "://");
            base = base.andThen(c -> c.withEncryption()
                    .withTrustStrategy(Config.TrustStrategy.trustCustomCertificateSignedBy(file)));
        }
        Map<String, Function<Env, Object>> scenarios = new LinkedHashMap<>();
        Values.register(scenarios);
        Work.register(scenarios);
        Others.register(scenarios);

        Env env = new Env(uri, arguments[1], arguments[2], base);
        Map<String, Object> found = new LinkedHashMap<>();
        Pattern wanted = Pattern.compile(only);
        for (var entry : scenarios.entrySet()) {
            if (!wanted.matcher(entry.getKey()).find()) {
                continue;
            }
            env.label = env.tag + "_" + entry.getKey();
            long began = System.nanoTime();
            Object result;
            try {
                result = entry.getValue().apply(env);
            } catch (Throwable caught) { // one broken scenario must not hide the others
                caught.printStackTrace();
                result = Map.of("!", String.valueOf(caught));
            }
            found.put(entry.getKey(), result);
            if (times) {
                System.err.printf("%7.2f s  %s%n", (System.nanoTime() - began) / 1e9, entry.getKey());
            }
        }
        env.done();
        StringBuilder out = new StringBuilder();
        json(found, out);
        System.out.print(out);
    }

    /** Enough JSON for results: what is not a container, number or boolean is printed as text. */
    private static void json(Object value, StringBuilder out) {
        if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long) {
            out.append(value);
        } else if (value instanceof Map<?, ?> map) {
            out.append('{');
            String comma = "";
            for (var entry : new java.util.TreeMap<Object, Object>(map).entrySet()) {
                out.append(comma);
                json(String.valueOf(entry.getKey()), out);
                out.append(':');
                json(entry.getValue(), out);
                comma = ",";
            }
            out.append('}');
        } else if (value instanceof Collection<?> || value.getClass().isArray()) {
            Object[] items = value instanceof Collection<?> c ? c.toArray() : new Object[Array.getLength(value)];
            for (int i = 0; value.getClass().isArray() && i < items.length; i++) {
                items[i] = Array.get(value, i);
            }
            out.append('[');
            for (int i = 0; i < items.length; i++) {
                out.append(i == 0 ? "" : ",");
                json(items[i], out);
            }
            out.append(']');
        } else {
            out.append('"');
            for (char c : value.toString().toCharArray()) {
                if (c == '"' || c == '\\') {
                    out.append('\\').append(c);
                } else if (c < 32 || c > 126) {
                    out.append(String.format("\\u%04x", (int) c));
                } else {
                    out.append(c);
                }
            }
            out.append('"');
        }
    }
}
