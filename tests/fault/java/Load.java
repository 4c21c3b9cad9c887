import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Level;
import org.neo4j.driver.AuthTokens;
import org.neo4j.driver.Config;
import org.neo4j.driver.Driver;
import org.neo4j.driver.GraphDatabase;
import org.neo4j.driver.Logging;
import org.neo4j.driver.Session;
import org.neo4j.driver.SessionConfig;

/**
 * Writes unique ids in managed transactions with the Java driver, as many at once as there are workers.
 *
 * <p>usage: Load URI USER PASSWORD LABEL FIRST COUNT WORKERS RETRY_SECONDS
 *
 * <p>Prints {"ok": [ids], "failed": [[id, type, text]]}; see tests/driver/go/load for why nodes hold the
 * number of the attempt.
 */
public final class Load {
    private Load() {}

    public static void main(String[] a) throws InterruptedException {
        String label = a[3];
        int first = Integer.parseInt(a[4]);
        int count = Integer.parseInt(a[5]);
        int workers = Integer.parseInt(a[6]);
        Config config = Config.builder().withMaxConnectionPoolSize(workers)
                .withMaxTransactionRetryTime(Long.parseLong(a[7]), TimeUnit.SECONDS)
                .withConnectionAcquisitionTimeout(300, TimeUnit.SECONDS).withLogging(Logging.console(Level.OFF)).build();
        AtomicInteger next = new AtomicInteger(first);
        ConcurrentLinkedQueue<String> ok = new ConcurrentLinkedQueue<>();
        ConcurrentLinkedQueue<String> failed = new ConcurrentLinkedQueue<>();
        try (Driver driver = GraphDatabase.driver(a[0], AuthTokens.basic(a[1], a[2]), config)) {
            ExecutorService pool = Executors.newFixedThreadPool(workers);
            for (int w = 0; w < workers; w++) {
                pool.submit(() -> {
                    for (int id = next.getAndIncrement(); id < first + count; id = next.getAndIncrement()) {
                        int number = id;
                        int[] attempt = {0};
                        try (Session session = driver.session(SessionConfig.forDatabase("neo4j"))) {
                            session.executeWrite(tx -> tx.run("CREATE (:" + label + " {id: $id, attempt: $attempt})",
                                    Map.of("id", number, "attempt", ++attempt[0])).consume());
                            ok.add(Integer.toString(number));
                        } catch (Throwable caught) {
                            String text = String.valueOf(caught.getMessage()).replaceAll("[^ -!#-\\[\\]-~]", " ");
                            failed.add("[" + number + ",\"" + caught.getClass().getSimpleName() + "\",\"" + text + "\"]");
                        }
                    }
                });
            }
            pool.shutdown();
            pool.awaitTermination(1, TimeUnit.HOURS);
        }
        System.out.print("{\"ok\":" + List.copyOf(ok) + ",\"failed\":" + List.copyOf(failed) + "}");
    }
}
