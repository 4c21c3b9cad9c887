import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.neo4j.driver.AccessMode;
import org.neo4j.driver.Driver;
import org.neo4j.driver.QueryConfig;
import org.neo4j.driver.Result;
import org.neo4j.driver.RoutingControl;
import org.neo4j.driver.Session;
import org.neo4j.driver.SessionConfig;
import org.neo4j.driver.Transaction;
import org.neo4j.driver.async.AsyncSession;
import org.neo4j.driver.exceptions.SessionExpiredException;
import org.neo4j.driver.reactivestreams.ReactiveSession;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Transactions of every kind, results read in every way, many at once. */
final class Work {
    /** Looks for termination while it runs, on 5.x and later; would take minutes. */
    private static final String LONG = "UNWIND range(1, 300000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)";

    private Work() {}

    private static SessionConfig neo4j(java.util.function.Consumer<SessionConfig.Builder> more) {
        SessionConfig.Builder builder = SessionConfig.builder().withDatabase("neo4j");
        more.accept(builder);
        return builder.build();
    }

    private static List<Object> firsts(Result result) {
        List<Object> all = new ArrayList<>();
        result.forEachRemaining(r -> all.add(r.get(0).asObject()));
        return all;
    }

    static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Runs tasks at once and passes on the first error. */
    private static <T> List<T> atOnce(List<Callable<T>> tasks) {
        ExecutorService pool = Executors.newFixedThreadPool(tasks.size());
        try {
            List<T> results = new ArrayList<>();
            for (Future<T> future : pool.invokeAll(tasks)) {
                results.add(future.get());
            }
            return results;
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException(e);
        } finally {
            pool.shutdownNow();
        }
    }

    static void register(Map<String, Function<Env, Object>> scenarios) {
        transactions(scenarios);
        results(scenarios);
        managed(scenarios);
    }

    private static void transactions(Map<String, Function<Env, Object>> scenarios) {
        scenarios.put("tx_commit", env -> env.session(Env.NEO4J, session -> {
            Transaction tx = session.beginTransaction();
            tx.run("CREATE (:" + env.label + ")");
            List<Object> inside = firsts(tx.run("MATCH (n:" + env.label + ") RETURN count(n)"));
            Object outside = env.count();
            tx.commit();
            return List.of(inside, outside, env.count());
        }));
        scenarios.put("tx_rollback", env -> env.session(Env.NEO4J, session -> {
            Transaction tx = session.beginTransaction();
            tx.run("CREATE (:" + env.label + ")");
            tx.rollback();
            try (Transaction left = session.beginTransaction()) { // without commit
                left.run("CREATE (:" + env.label + ")");
            }
            return env.count();
        }));
        scenarios.put("tx_session_closed", env -> {
            env.session(Env.NEO4J, s -> s.beginTransaction().run("CREATE (:" + env.label + ")"));
            return env.count();
        });
        scenarios.put("tx_abandoned_stream", env -> env.session(Env.NEO4J, session -> {
            Transaction tx = session.beginTransaction();
            Object first = tx.run("UNWIND range(1, 5000) AS i CREATE (n:" + env.label + ") RETURN i").next().get(0).asLong();
            tx.commit();
            return List.of(first, env.count());
        }));
        scenarios.put("autocommit", env -> env.session(Env.NEO4J, session -> {
            session.run("CREATE (:" + env.label + ")"); // never looked at
            return firsts(session.run("MATCH (n:" + env.label + ") RETURN count(n)"));
        }));
        scenarios.put("autocommit_in_transactions", env -> env.session(Env.NEO4J, session -> List.of(
                session.run("UNWIND range(1, 100) AS i CALL { WITH i CREATE (:" + env.label + " {i: i}) } IN TRANSACTIONS OF 10 ROWS")
                        .consume().counters().nodesCreated(), env.count())));
        scenarios.put("session_reuse", env -> env.session(Env.NEO4J, session -> {
            long total = 0;
            for (int i = 0; i < 200; i++) {
                total += session.run("RETURN $i", Map.of("i", i)).single().get(0).asLong();
            }
            return total;
        }));
        scenarios.put("session_many", env -> {
            long total = 0; // this driver sends a RESET after each
            for (int i = 0; i < 100; i++) {
                int n = i;
                total += env.session(Env.NEO4J, s -> s.run("RETURN $i", Map.of("i", n)).single().get(0).asLong());
            }
            return total;
        });
        scenarios.put("bookmarks", env -> env.session(Env.NEO4J, session -> {
            List<Object> seen = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                session.executeWrite(tx -> tx.run("CREATE (:" + env.label + ")").consume());
                var marks = session.lastBookmarks();
                seen.add(marks.size());
                seen.add(env.session(neo4j(c -> c.withBookmarks(marks).withDefaultAccessMode(AccessMode.READ)),
                        reader -> firsts(reader.run("MATCH (n:" + env.label + ") RETURN count(n)"))));
            }
            return seen;
        }));
        scenarios.put("schemes", env -> {
            List<Object> seen = new ArrayList<>();
            for (String scheme : List.of("bolt", "neo4j")) {
                try (Driver driver = env.open(env.withScheme(scheme), env.auth, c -> {})) {
                    driver.verifyConnectivity();
                    for (AccessMode mode : AccessMode.values()) {
                        for (String database : List.of("neo4j", "", "system")) {
                            SessionConfig.Builder config = SessionConfig.builder().withDefaultAccessMode(mode);
                            if (!database.isEmpty()) {
                                config.withDatabase(database);
                            }
                            try (Session session = driver.session(config.build())) {
                                Result result = session.run(database.equals("system") ? "SHOW DEFAULT DATABASE YIELD name" : "RETURN 'x'");
                                seen.add(List.of(scheme, mode, database, firsts(result), result.consume().database().name()));
                            }
                        }
                    }
                }
            }
            return seen;
        });
        scenarios.put("liveness_check", env -> {
            long total = 0;
            try (Driver driver = env.open(env.uri, env.auth, c -> c.withConnectionLivenessCheckTimeout(0, TimeUnit.SECONDS))) {
                for (int i = 0; i < 20; i++) {
                    try (Session session = driver.session(Env.NEO4J)) {
                        total += session.run("RETURN $i", Map.of("i", i)).single().get(0).asLong();
                    }
                }
            }
            return total;
        });
        scenarios.put("cancel_running", env -> {
            if (env.serverMajor < 5) {
                return "not on this server";
            }
            List<Object> seen = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                // A driver closed under a running query (an interrupted thread would wait for its end).
                boolean explicit = i % 2 == 1;
                Driver own = env.open(env.uri, env.auth, c -> {});
                CompletableFuture<String> work = CompletableFuture.supplyAsync(() -> {
                    Session session = own.session(Env.NEO4J);
                    return String.valueOf(explicit ? session.beginTransaction().run(LONG).list() : session.run(LONG).list());
                });
                sleep(300);
                own.close();
                try {
                    seen.add(work.get(30, TimeUnit.SECONDS));
                } catch (ExecutionException | InterruptedException | java.util.concurrent.TimeoutException e) {
                    seen.add(e.getClass().getSimpleName());
                }
                seen.add(env.run("RETURN 1"));
            }
            return seen;
        });
    }

    private static void managed(Map<String, Function<Env, Object>> scenarios) {
        scenarios.put("managed", env -> env.session(Env.NEO4J, session -> {
            Object written = session.executeWrite(tx -> tx.run("CREATE (n:" + env.label + " {i: 7}) RETURN n.i").single().get(0).asLong());
            Object read = session.executeRead(tx -> firsts(tx.run("MATCH (n:" + env.label + ") RETURN n.i")));
            var eager = env.driver.executableQuery("MATCH (n:" + env.label + ") RETURN n.i AS i")
                    .withConfig(QueryConfig.builder().withDatabase("neo4j").withRouting(RoutingControl.READ).build()).execute();
            return List.of(written, read, eager.keys(), Env.rows(eager.records()));
        }));
        scenarios.put("managed_retry", env -> env.session(Env.NEO4J, session -> {
            int[] tries = {0};
            Object value = session.executeWrite(tx -> {
                tx.run("CREATE (:" + env.label + " {try: $n})", Map.of("n", ++tries[0])).consume();
                if (tries[0] == 1) {
                    throw new SessionExpiredException("made by the test");
                }
                return tries[0];
            });
            return List.of(value, env.run("MATCH (n:" + env.label + ") RETURN n.try"));
        }));
        scenarios.put("managed_deadlock", env -> env.session(Env.NEO4J, older -> env.session(Env.NEO4J, session -> {
            env.run("CREATE (:" + env.label + " {k: 'a', n: 0}), (:" + env.label + " {k: 'b', n: 0})");
            String lock = "MATCH (n:" + env.label + " {k: $k}) SET n.n = n.n + 1";
            Transaction other = older.beginTransaction(); // older than the managed one, so the managed one is the victim
            other.run(lock, Map.of("k", "b")).consume();
            int[] tries = {0};
            List<CompletableFuture<Void>> waiting = new ArrayList<>();
            session.executeWrite(tx -> {
                tries[0]++;
                tx.run(lock, Map.of("k", "a")).consume();
                if (waiting.isEmpty()) {
                    waiting.add(CompletableFuture.runAsync(() -> {
                        other.run(lock, Map.of("k", "a")).consume();
                        other.commit();
                    }));
                    sleep(300);
                }
                return tx.run(lock, Map.of("k", "b")).consume();
            });
            waiting.get(0).join();
            return List.of(tries[0], env.run("MATCH (n:" + env.label + ") RETURN n.k, n.n ORDER BY n.k"));
        })));
        scenarios.put("managed_user_error", env -> env.session(Env.NEO4J, session -> List.of(
                env.raises(() -> session.executeWrite(tx -> {
                    tx.run("CREATE (:" + env.label + ")").consume();
                    throw new IllegalArgumentException("not retryable");
                })), env.count(), firsts(session.run("RETURN 1")))));
        scenarios.put("parallel", env -> {
            List<Callable<Integer>> tasks = new ArrayList<>();
            for (int t = 0; t < 20; t++) {
                int task = t;
                tasks.add(() -> env.session(Env.NEO4J, session -> {
                    for (int i = 0; i < 20; i++) {
                        int id = task * 20 + i;
                        session.executeWrite(tx -> tx.run("CREATE (:" + env.label + " {id: $id})", Map.of("id", id)).consume());
                    }
                    return task;
                }));
            }
            return List.of(atOnce(tasks), env.run("MATCH (n:" + env.label + ") RETURN count(n), count(DISTINCT n.id), sum(n.id)"));
        });
        scenarios.put("async_basic", env -> {
            AsyncSession session = env.driver.session(AsyncSession.class, Env.NEO4J);
            List<Object> seen = new ArrayList<>();
            try {
                seen.add(session.executeWriteAsync(tx -> tx.runAsync("UNWIND range(1, 2500) AS i CREATE (n:" + env.label + ") RETURN i")
                        .thenCompose(cursor -> cursor.listAsync(r -> r.get(0).asLong()))).toCompletableFuture().join().size());
                seen.add(session.runAsync("MATCH (n:" + env.label + ") RETURN count(n)")
                        .thenCompose(cursor -> cursor.singleAsync()).toCompletableFuture().join().get(0).asLong());
            } finally {
                session.closeAsync().toCompletableFuture().join();
            }
            return seen;
        });
    }

    private static void results(Map<String, Function<Env, Object>> scenarios) {
        scenarios.put("result_50000", env -> env.session(Env.NEO4J, session -> {
            Result result = session.run("UNWIND range(1, 50000) AS i RETURN i, toString(i) AS s");
            long count = 0;
            long total = 0;
            long length = 0;
            while (result.hasNext()) {
                var row = result.next();
                count++;
                total += row.get(0).asLong();
                length += row.get(1).asString().length();
            }
            return List.of(count, total, length);
        }));
        scenarios.put("result_closed_early", env -> {
            List<Object> seen = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                seen.add(env.session(Env.NEO4J, session -> {
                    Result result = session.run("UNWIND range(1, 100000) AS i RETURN i");
                    List<Object> rows = new ArrayList<>();
                    for (int n = 0; n < 10; n++) {
                        rows.add(result.next().get(0).asLong());
                    }
                    return rows;
                }));
                seen.add(env.run("RETURN 'next'"));
            }
            return seen;
        });
        scenarios.put("result_small_fetch", env -> env.session(neo4j(c -> c.withFetchSize(7)), session -> List.of(
                firsts(session.run("UNWIND range(1, 100) AS i RETURN i")), firsts(session.run("UNWIND range(1, 14) AS i RETURN i")),
                firsts(session.run("UNWIND [] AS i RETURN i")))));
        scenarios.put("result_two_open", env -> env.session(neo4j(c -> c.withFetchSize(5)), session -> {
            List<Object> seen = new ArrayList<>();
            try (Transaction tx = session.beginTransaction()) {
                Result a = tx.run("UNWIND range(1, 40) AS i RETURN i");
                Result b = tx.run("UNWIND range(101, 130) AS i RETURN i");
                while (a.hasNext()) {
                    seen.add(a.next().get(0).asLong());
                    if (b.hasNext()) {
                        seen.add(b.next().get(0).asLong());
                    }
                }
                tx.commit();
            }
            return seen;
        }));
        scenarios.put("result_error_midway", env -> env.session(Env.NEO4J, session -> {
            List<Object> seen = new ArrayList<>();
            Object error = env.raises(() -> session.run("UNWIND [4, 2, 1, 0] AS x RETURN 4 / x")
                    .forEachRemaining(r -> seen.add(r.get(0).asLong())));
            return List.of(seen, error, firsts(session.run("RETURN 1")));
        }));
        scenarios.put("result_reactive", env -> {
            // The reactive session pulls only as many rows as are asked for, and discards the rest.
            ReactiveSession session = env.driver.session(ReactiveSession.class, neo4j(c -> c.withFetchSize(10)));
            List<Object> rows = new ArrayList<>();
            rows.addAll(Mono.fromDirect(session.run("UNWIND range(1, 35) AS i RETURN i"))
                    .flatMapMany(result -> Flux.from(result.records())).map(r -> r.get(0).asLong()).collectList().block());
            rows.addAll(Mono.fromDirect(session.run("UNWIND range(1, 100000) AS i RETURN i"))
                    .flatMapMany(result -> Flux.from(result.records())).map(r -> r.get(0).asLong()).take(3).collectList().block());
            Mono.fromDirect(session.close()).block();
            return rows;
        });
    }
}
