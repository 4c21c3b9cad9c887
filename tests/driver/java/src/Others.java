import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Function;
import org.neo4j.driver.AccessMode;
import org.neo4j.driver.AuthToken;
import org.neo4j.driver.AuthTokens;
import org.neo4j.driver.Bookmark;
import org.neo4j.driver.Config;
import org.neo4j.driver.Driver;
import org.neo4j.driver.NotificationCategory;
import org.neo4j.driver.NotificationConfig;
import org.neo4j.driver.NotificationSeverity;
import org.neo4j.driver.Session;
import org.neo4j.driver.SessionConfig;
import org.neo4j.driver.Transaction;
import org.neo4j.driver.TransactionConfig;
import org.neo4j.driver.summary.Plan;
import org.neo4j.driver.summary.ResultSummary;

/** Errors, identities, summaries. */
final class Others {
    private static final String UNKNOWN = "MATCH (a:NoSuchLabelHere), (b:NoSuchLabelHere) RETURN a, b";

    private Others() {}

    private static Object failedRun(Env env, SessionConfig config, String query) {
        return env.raises(() -> env.session(config, s -> s.run(query).consume()));
    }

    private static Object codes(ResultSummary summary) {
        List<String> seen = new ArrayList<>();
        summary.notifications().forEach(n -> seen.add(n.code()));
        summary.gqlStatusObjects().forEach(g -> seen.add(g.gqlStatus()));
        seen.sort(null);
        return seen;
    }

    private static Object operators(Plan plan) {
        List<Object> children = new ArrayList<>();
        plan.children().forEach(child -> children.add(operators(child)));
        return List.of(plan.operatorType(), new TreeSet<>(plan.identifiers()), children);
    }

    static void register(Map<String, Function<Env, Object>> scenarios) {
        errors(scenarios);
        identities(scenarios);
        summaries(scenarios);
    }

    private static void errors(Map<String, Function<Env, Object>> scenarios) {
        scenarios.put("error_syntax", env -> failedRun(env, Env.NEO4J, "RETURN 1 AS"));
        scenarios.put("error_runtime", env -> List.of(failedRun(env, Env.NEO4J, "RETURN 1 / 0"),
                failedRun(env, Env.NEO4J, "RETURN $missing"), failedRun(env, Env.NEO4J, "CALL no.such.procedure()")));
        scenarios.put("error_constraint", env -> {
            String l = env.label;
            env.run("CREATE CONSTRAINT " + l + " FOR (n:" + l + ") REQUIRE n.k IS UNIQUE");
            // Managed: constraints of other runs may make the server ask for a repetition.
            Runnable create = () -> env.session(Env.NEO4J, s -> s.executeWrite(tx -> tx.run("CREATE (:" + l + " {k: 1})").consume()));
            create.run();
            Object error = env.raises(create);
            env.run("DROP CONSTRAINT " + l);
            return List.of(error, env.count());
        });
        scenarios.put("error_then_continue", env -> env.session(Env.NEO4J, session -> {
            List<Object> seen = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                seen.add(env.raises(() -> session.run("RETURN x").consume()));
                seen.add(session.run("RETURN $i", Map.of("i", i)).single().get(0).asLong());
            }
            return seen;
        }));
        scenarios.put("error_in_tx", env -> env.session(Env.NEO4J, session -> {
            Transaction tx = session.beginTransaction();
            tx.run("CREATE (:" + env.label + ")").consume();
            List<Object> seen = new ArrayList<>(List.of(env.raises(() -> tx.run("RETURN x").consume()),
                    env.raises(() -> tx.run("RETURN 1").consume()), env.raises(tx::commit)));
            tx.close();
            seen.add(session.run("RETURN 1").single().get(0).asLong());
            seen.add(env.count());
            return seen;
        }));
        scenarios.put("error_tx_timeout", env -> env.session(Env.NEO4J, session -> {
            Transaction tx = session.beginTransaction(TransactionConfig.builder().withTimeout(Duration.ofSeconds(1)).build());
            tx.run("CREATE (:" + env.label + ")").consume();
            Work.sleep(2200);
            Object error = env.raises(() -> tx.run("RETURN 1").consume());
            tx.close();
            return List.of(error, env.count());
        }));
        scenarios.put("error_database", env -> {
            SessionConfig missing = SessionConfig.forDatabase("nosuchdb");
            try (Driver driver = env.open(env.withScheme("neo4j"), env.auth, c -> {}); Session session = driver.session(missing)) {
                return List.of(failedRun(env, missing, "RETURN 1"), env.raises(() -> session.run("RETURN 1").consume()));
            }
        });
        scenarios.put("error_bookmark", env -> List.of(failedRun(env, SessionConfig.builder().withDatabase("neo4j")
                .withBookmarks(Set.of(Bookmark.from("not a bookmark"))).build(), "RETURN 1"), env.run("RETURN 1")));
        scenarios.put("error_read_mode", env -> List.of(failedRun(env, SessionConfig.builder().withDatabase("neo4j")
                .withDefaultAccessMode(AccessMode.READ).build(), "CREATE (:" + env.label + ")"), env.count()));
        scenarios.put("error_impersonation", env -> List.of(failedRun(env, SessionConfig.builder().withDatabase("neo4j")
                .withImpersonatedUser(env.names.get(0)).build(), "RETURN 1"), env.run("RETURN 1")));
    }

    private static void identities(Map<String, Function<Env, Object>> scenarios) {
        scenarios.put("auth_wrong_password", env -> {
            List<Object> seen = new ArrayList<>();
            for (AuthToken token : List.of(AuthTokens.basic(env.names.get(2), "not it"), AuthTokens.basic("nobody" + env.tag, "x"),
                    AuthTokens.none(), AuthTokens.bearer("x"))) {
                try (Driver driver = env.open(env.uri, token, c -> {})) {
                    seen.add(env.raises(driver::verifyConnectivity));
                }
            }
            try (Driver driver = env.open(env.uri, env.login(2), c -> {})) {
                driver.verifyConnectivity();
            }
            return seen;
        });
        scenarios.put("auth_two_users", env -> {
            try (Driver one = env.open(env.uri, env.login(0), c -> {}); Driver two = env.open(env.uri, env.login(1), c -> {})) {
                List<Driver> drivers = List.of(one, two, env.driver);
                List<String> names = List.of(env.names.get(0), env.names.get(1), env.user);
                for (int i = 0; i < 75; i++) {
                    try (Session session = drivers.get(i % 3).session(Env.SYSTEM)) {
                        Env.check(session.run("SHOW CURRENT USER YIELD user").single().get(0).asString().equals(names.get(i % 3)),
                                "another's name");
                    }
                }
            }
            return "each its own";
        });
        scenarios.put("auth_session", env -> {
            if (env.protocol < 5) {
                return env.raises(() -> env.driver.session(Session.class, Env.NEO4J, env.login(0)).run("RETURN 1").consume());
            }
            try (Driver driver = env.open(env.uri, env.auth, c -> c.withMaxConnectionPoolSize(2))) {
                for (int i = 0; i < 30; i++) {
                    try (Session session = driver.session(Session.class, Env.SYSTEM, env.login(i % 2))) {
                        Env.check(session.run("SHOW CURRENT USER YIELD user").single().get(0).asString().equals(env.names.get(i % 2)),
                                "another's name");
                    }
                }
                return env.raises(() -> driver.session(Session.class, Env.NEO4J, AuthTokens.basic(env.names.get(2), "not it"))
                        .run("RETURN 1").consume());
            }
        });
        scenarios.put("auth_verify", env -> env.protocol < 5
                ? List.of(env.driver.supportsSessionAuth())
                : List.of(env.driver.supportsSessionAuth(), env.driver.verifyAuthentication(env.login(0)),
                        env.driver.verifyAuthentication(AuthTokens.basic(env.names.get(2), "not it"))));
    }

    private static void summaries(Map<String, Function<Env, Object>> scenarios) {
        scenarios.put("summary_counters", env -> env.session(Env.NEO4J, session -> {
            List<Object> seen = new ArrayList<>();
            for (String query : List.of("CREATE (a:L {k: 1})-[:R {x: 1}]->(b:L:Second)", "MATCH (a:L {k: 1}) SET a.k = 2, a:Third REMOVE a:Second",
                    "MATCH (a:L)-[r]-() DELETE r", "CREATE INDEX L FOR (n:L) ON (n.k)", "DROP INDEX L", "MATCH (n:L) DETACH DELETE n RETURN count(n)")) {
                ResultSummary summary = session.run(query.replaceAll("\\bL\\b", env.label)).consume();
                seen.add(Arrays.asList(summary.queryType(), summary.counters(), summary.database().name(), codes(summary)));
            }
            return seen;
        }));
        scenarios.put("summary_notifications", env -> env.session(Env.NEO4J, s -> codes(s.run(UNKNOWN).consume())));
        scenarios.put("notification_filters", env -> {
            // A filter of the driver goes with HELLO, so a pooler must carry it to whatever link is borrowed.
            if (env.protocol < 5) {
                return "not on this server";
            }
            NotificationConfig unrecognized = NotificationConfig.defaultConfig()
                    .disableCategories(Set.of(NotificationCategory.UNRECOGNIZED));
            List<NotificationConfig> filters = List.of(NotificationConfig.defaultConfig(), NotificationConfig.disableAllConfig(),
                    NotificationConfig.defaultConfig().enableMinimumSeverity(NotificationSeverity.WARNING), unrecognized);
            List<Object> seen = new ArrayList<>();
            for (NotificationConfig filter : filters) {
                Consumer<Config.ConfigBuilder> more = c -> c.withNotificationConfig(filter);
                try (Driver driver = env.open(env.uri, env.auth, more)) {
                    for (NotificationConfig own : filters) {
                        try (Session session = driver.session(SessionConfig.builder().withDatabase("neo4j").withNotificationConfig(own).build())) {
                            seen.add(codes(session.run(UNKNOWN).consume()));
                        }
                    }
                }
            }
            return seen;
        });
        scenarios.put("summary_plans", env -> env.session(Env.NEO4J, session -> {
            String query = "MATCH (a:" + env.label + ") WHERE a.k > 1 RETURN a.k ORDER BY a.k LIMIT 3";
            ResultSummary explained = session.run("EXPLAIN " + query).consume();
            ResultSummary profiled = session.run("PROFILE " + query).consume();
            return List.of(explained.hasPlan(), explained.hasProfile(), operators(explained.plan()), profiled.hasProfile(), operators(profiled.profile()));
        }));
        scenarios.put("server_info", env -> env.session(SessionConfig.defaultConfig(), session -> {
            ResultSummary summary = session.run("RETURN 1").consume(); // no database named: the server must tell the home database
            return List.of(summary.server().agent(), summary.server().protocolVersion(), summary.database().name(), summary.queryType(),
                    env.driver.supportsMultiDb(), env.driver.isEncrypted());
        }));
        scenarios.put("tx_metadata", env -> env.session(Env.NEO4J, session -> {
            String show = "SHOW TRANSACTIONS YIELD metaData, username, database WHERE metaData.tag = $tag RETURN metaData.list, username, database";
            TransactionConfig config = TransactionConfig.builder().withMetadata(Map.of("tag", env.tag, "list", List.of(1, 2)))
                    .withTimeout(Duration.ofSeconds(30)).build();
            List<Object> seen = new ArrayList<>();
            try (Transaction tx = session.beginTransaction(config)) {
                tx.run("RETURN 1").consume();
                seen.add(env.run(show, Map.of("tag", env.tag)));
                tx.commit();
            }
            seen.add(Env.rows(session.run(show, Map.of("tag", env.tag), config).list()));
            return seen;
        }));
    }
}
