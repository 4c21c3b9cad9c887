import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.lang.management.ManagementFactory;
import java.sql.Connection;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;

/** HikariCP in the cases of measure.h. Usage: Acquire CASE WARM_S SECONDS. */
public class Acquire {
    /** 64 steps for each power of two. */
    static final class Waits {
        final long[] buckets = new long[60 * 64];
        long count;

        void add(long ns) {
            int bucket = (int) Math.max(ns, 0);
            if (ns >= 64) {
                int top = 63 - Long.numberOfLeadingZeros(ns);
                bucket = (top - 5) * 64 + (int) ((ns >> (top - 6)) & 63);
            }
            buckets[bucket]++;
            count++;
        }

        void merge(Waits other) {
            for (int i = 0; i < buckets.length; i++) {
                buckets[i] += other.buckets[i];
            }
            count += other.count;
        }

        double quantile(double quantile) {
            long rank = (long) Math.ceil(quantile * count);
            long seen = 0;
            for (int i = 0; i < buckets.length; i++) {
                seen += buckets[i];
                if (seen >= rank && buckets[i] > 0) {
                    return i < 64 ? i : ((64L + i % 64) << (i / 64 - 1)) + (1L << (i / 64 - 1)) / 2.0;
                }
            }
            return 0;
        }
    }

    static volatile boolean stop;

    static final class Worker extends Thread {
        final HikariDataSource pool;
        final boolean timed;
        final long holdNs;
        final CountDownLatch ready;
        final CountDownLatch go;
        final Waits waits = new Waits();
        long ops;
        long heldNs;

        Worker(HikariDataSource pool, boolean timed, long holdNs, CountDownLatch ready, CountDownLatch go) {
            this.pool = pool;
            this.timed = timed;
            this.holdNs = holdNs;
            this.ready = ready;
            this.go = go;
            setDaemon(true);
        }

        @Override
        public void run() {
            try {
                ready.countDown();
                go.await();
                if (timed) {
                    runTimed();
                } else {
                    long done = 0;
                    while (!stop) {
                        pool.getConnection().close();
                        done++;
                    }
                    ops = done;
                }
            } catch (Exception e) {
                e.printStackTrace();
                System.exit(1);
            }
        }

        void runTimed() throws Exception {
            while (!stop) {
                long before = System.nanoTime();
                Connection connection = pool.getConnection();
                long granted = System.nanoTime();
                if (holdNs > 0) {
                    LockSupport.parkNanos(holdNs);
                    heldNs += System.nanoTime() - granted;
                }
                connection.close();
                waits.add(granted - before);
                ops++;
            }
        }
    }

    static void run(HikariDataSource pool, int threads, double seconds, long holdNs, boolean prints) throws Exception {
        stop = false;
        CountDownLatch ready = new CountDownLatch(threads);
        CountDownLatch go = new CountDownLatch(1);
        Worker[] workers = new Worker[threads];
        for (int i = 0; i < threads; i++) {
            workers[i] = new Worker(pool, holdNs > 0, holdNs, ready, go);
            workers[i].start();
        }
        ready.await();
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long cpu = system.getProcessCpuTime();
        long begin = System.nanoTime();
        go.countDown();
        Thread.sleep((long) (seconds * 1000));
        stop = true;
        for (Worker worker : workers) {
            worker.join();
        }
        double took = (System.nanoTime() - begin) / 1e9;
        cpu = system.getProcessCpuTime() - cpu;
        if (prints) {
            print(workers, took, cpu);
        }
    }

    static void print(Worker[] workers, double seconds, long cpu) {
        long ops = 0;
        long held = 0;
        long least = Long.MAX_VALUE;
        long most = 0;
        Waits waits = new Waits();
        for (Worker worker : workers) {
            ops += worker.ops;
            held += worker.heldNs;
            least = Math.min(least, worker.ops);
            most = Math.max(most, worker.ops);
            waits.merge(worker.waits);
        }
        System.out.printf("{\"ops\": %d, \"seconds\": %.6f, \"cpu_ns\": %d, \"hold_ns\": %.1f, \"fairness\": %.4f, "
                + "\"wait_p50_ns\": %.0f, \"wait_p99_ns\": %.0f, \"wait_p999_ns\": %.0f, \"wait_max_ns\": %.0f}%n",
                ops, seconds, cpu, (double) held / Math.max(ops, 1), (double) most / Math.max(least, 1),
                waits.quantile(.5), waits.quantile(.99), waits.quantile(.999), waits.quantile(1));
    }

    static HikariDataSource open(int links) throws Exception {
        HikariConfig config = new HikariConfig();
        config.setDataSource(new StubConn.Source(0));
        config.setMaximumPoolSize(links);
        config.setMinimumIdle(links);
        config.setConnectionTimeout(30000);
        HikariDataSource pool = new HikariDataSource(config);
        while (pool.getHikariPoolMXBean().getTotalConnections() < links) {
            Thread.sleep(10);
        }
        return pool;
    }

    public static void main(String[] arguments) throws Exception {
        boolean waiting = arguments[0].equals("waiting");
        boolean contended = arguments[0].equals("contended");
        int threads = waiting ? 64 : contended ? 8 : 1;
        int links = waiting ? 8 : contended ? 4 : 10;
        long holdNs = waiting ? 100_000 : 0;
        HikariDataSource pool = open(links);
        run(pool, threads, Double.parseDouble(arguments[1]), holdNs, false);
        run(pool, threads, Double.parseDouble(arguments[2]), holdNs, true);
        System.exit(0);
    }
}
