import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.util.concurrent.CountDownLatch;

/** A burst on HikariCP: 50 threads at once, at most 50 connections, minimum idle 5. Usage: Spike CONNECT_MS QUERY_MS. */
public class Spike {
    static final int CALLERS = 50;
    static final int IDLE = 5;

    public static void main(String[] arguments) throws Exception {
        long connectMs = Long.parseLong(arguments[0]);
        long queryMs = Long.parseLong(arguments[1]);
        StubConn.Source source = new StubConn.Source(connectMs);
        HikariConfig config = new HikariConfig();
        config.setDataSource(source);
        config.setMaximumPoolSize(CALLERS);
        config.setMinimumIdle(IDLE);
        config.setConnectionTimeout(30000);
        try (HikariDataSource pool = new HikariDataSource(config)) {
            while (pool.getHikariPoolMXBean().getIdleConnections() < IDLE) {
                Thread.sleep(10);
            }
            // What isn't the pool's warms up: classes, the compiler.
            for (int i = 0; i < 2000; i++) {
                pool.getConnection().close();
            }
            Thread.sleep(300);
            int before = source.opened.get();
            double[] tookMs = new double[CALLERS];
            CountDownLatch ready = new CountDownLatch(CALLERS);
            CountDownLatch go = new CountDownLatch(1);
            CountDownLatch done = new CountDownLatch(CALLERS);
            for (int i = 0; i < CALLERS; i++) {
                final int id = i;
                Thread caller = new Thread(() -> {
                    try {
                        ready.countDown();
                        go.await();
                        long begin = System.nanoTime();
                        try (Connection connection = pool.getConnection()) {
                            Thread.sleep(queryMs);
                        }
                        tookMs[id] = (System.nanoTime() - begin) / 1e6;
                    } catch (Exception e) {
                        e.printStackTrace();
                        System.exit(1);
                    }
                    done.countDown();
                });
                caller.setDaemon(true);
                caller.start();
            }
            ready.await();
            Thread.sleep(50);
            long begin = System.nanoTime();
            go.countDown();
            done.await();
            double totalMs = (System.nanoTime() - begin) / 1e6;
            Thread.sleep(1000);
            double slowestMs = 0;
            for (double took : tookMs) {
                slowestMs = Math.max(slowestMs, took);
            }
            System.out.printf("{\"total_ms\": %.4f, \"slowest_ms\": %.4f, \"opened\": %d}%n", totalMs, slowestMs,
                    source.opened.get() - before);
        }
        System.exit(0);
    }
}
