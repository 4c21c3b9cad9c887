import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetTime;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.neo4j.driver.Value;
import org.neo4j.driver.types.Path;

/** Every type of value there and back: what was sent must come back equal, and print the same. */
final class Values {
    private Values() {}

    private static String show(Object value) {
        String text = String.valueOf(value);
        return text.length() < 200 ? text : text.length() + " characters, hash " + text.hashCode();
    }

    private static Object echo(Env env, List<?> values) {
        List<Object> shown = new ArrayList<>();
        env.session(Env.NEO4J, session -> {
            for (Object raw : values) {
                Value sent = org.neo4j.driver.Values.value(raw);
                Value got = session.run("RETURN $v", Map.of("v", sent)).single().get(0);
                boolean nan = raw instanceof Double d && d.isNaN() && Double.isNaN(got.asDouble());
                Env.check(nan || sent.equals(got), show(sent) + " came back as " + show(got));
                shown.add(show(got));
            }
            Value all = session.run("RETURN $v", Map.of("v", org.neo4j.driver.Values.value(values))).single().get(0);
            shown.add(show(all));
            return null;
        });
        return shown;
    }

    static void register(Map<String, Function<Env, Object>> scenarios) {
        scenarios.put("values_scalars", env -> echo(env, Arrays.asList(null, true, false, 0L, 1L, -1L, -16L, -17L, 127L, 128L,
                -128L, -129L, 32767L, 32768L, -32768L, -32769L, 1L << 31, (1L << 31) - 1, -(1L << 31), -(1L << 31) - 1,
                Long.MAX_VALUE, Long.MIN_VALUE, 0.0, -0.0, 1.1, -1e308, Double.MIN_VALUE, Double.POSITIVE_INFINITY,
                Double.NEGATIVE_INFINITY, Double.NaN)));
        scenarios.put("values_strings", env -> {
            List<String> texts = new ArrayList<>(List.of("é".repeat(8), "\u0000", "日本語", "😀👩‍👩‍👧", "a\r\n\t\"'\\"));
            for (int n : new int[] {0, 1, 15, 16, 255, 256, 65535, 65536, 100_000}) {
                texts.add("x".repeat(n));
            }
            return echo(env, texts);
        });
        scenarios.put("values_bytes", env -> {
            List<byte[]> all = new ArrayList<>();
            for (int n : new int[] {0, 1, 255, 256, 65535, 65536, 70_000}) {
                byte[] bytes = new byte[n];
                Arrays.fill(bytes, (byte) 0xfe);
                all.add(bytes);
            }
            return echo(env, all);
        });
        scenarios.put("values_containers", env -> {
            Object nested = 1L;
            for (int i = 0; i < 20; i++) {
                nested = List.of(Map.of("deeper", nested));
            }
            List<Object> all = new ArrayList<>(List.of(nested, Map.of("", 0L), Arrays.asList((Object) null)));
            for (int n : new int[] {0, 15, 16, 255, 256, 20_000}) {
                List<Long> list = new ArrayList<>();
                Map<String, Object> map = new LinkedHashMap<>();
                for (long i = 0; i < n; i++) {
                    list.add(i);
                    map.put("k" + i, i);
                }
                all.add(list);
                all.add(map);
            }
            return echo(env, all);
        });
        scenarios.put("values_graph", env -> env.session(Env.NEO4J, session -> {
            String l = env.label;
            Path path = session.run("CREATE p = (a:" + l + ":Second {name: 'a'})-[:KNOWS {since: 2000}]->(:" + l
                    + " {name: 'b'})<-[:KNOWS]-(:" + l + ") RETURN p").single().get(0).asPath();
            List<Object> shown = new ArrayList<>();
            path.nodes().forEach(node -> {
                List<String> labels = new ArrayList<>();
                node.labels().forEach(label -> labels.add(env.clean(label)));
                labels.sort(null);
                shown.add(List.of(labels, node.asMap()));
            });
            path.relationships().forEach(r -> shown.add(List.of(r.type(), r.asMap())));
            Env.check(path.relationships().iterator().next().startNodeElementId().equals(path.start().elementId()), "start");
            return shown;
        }));
        scenarios.put("values_temporal", env -> echo(env, List.of(LocalDate.of(1, 1, 1), LocalDate.of(9999, 12, 31),
                LocalTime.of(23, 59, 59, 999_999_999), OffsetTime.of(12, 34, 56, 789, ZoneOffset.ofHoursMinutes(-3, -30)),
                LocalDateTime.of(2024, 2, 29, 23, 59, 59, 123_456_789),
                ZonedDateTime.of(2024, 2, 29, 1, 2, 3, 4, ZoneOffset.ofHoursMinutes(-3, -30)),
                ZonedDateTime.of(2024, 7, 1, 3, 0, 0, 42, ZoneId.of("Europe/Paris")),
                ZonedDateTime.of(2024, 7, 1, 3, 0, 0, 42, ZoneId.of("Asia/Kolkata")),
                org.neo4j.driver.Values.isoDuration(1, -2, 3, 4), org.neo4j.driver.Values.isoDuration(-14, 400, -1, 1))));
        scenarios.put("values_spatial", env -> echo(env, List.of(org.neo4j.driver.Values.point(7203, 1.5, -2.5),
                org.neo4j.driver.Values.point(9157, 1, 2, 3), org.neo4j.driver.Values.point(4326, 12.99, 55.6),
                org.neo4j.driver.Values.point(4979, 12.99, 55.6, 100))));
        scenarios.put("values_vector", env -> env.serverMajor < 2025
                ? "not on this server"
                : env.run("CYPHER 25 RETURN vector([1, 2, 3], 3, INTEGER8)"));
        scenarios.put("values_large", env -> {
            List<Object> shown = new ArrayList<>();
            for (int n : new int[] {10_000, 300_000, 4_000_000}) {
                String sent = "abcdefghij".repeat(n / 10);
                Env.check(env.session(Env.NEO4J, s -> s.run("RETURN $v", Map.of("v", sent)).single().get(0).asString()).equals(sent),
                        "the large string differs");
            }
            shown.add(env.session(Env.NEO4J, s -> s.run("RETURN reduce(s = $s, i IN range(1, 4) | s + s)",
                    Map.of("s", "0123456789abcdef".repeat(20480))).single().get(0).asString().length()));
            return shown;
        });
    }
}
