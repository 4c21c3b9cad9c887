//! deadpool in the cases of measure.h, and in the spike.
//!
//! usage: acquire-deadpool CASE WARM_S SECONDS | acquire-deadpool spike
//!   contended: 8 tasks on 4 connections, 2 workers
//!   loop, loop1: 64 tasks on 8 connections held 100 us, with 2 workers and with one thread
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub struct Connection(#[allow(dead_code)] u64);

#[derive(Debug)]
pub struct Never;
impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("never")
    }
}
impl std::error::Error for Never {}

#[derive(Clone, Debug)]
struct Manager {
    delay: Duration,
    opened: Arc<AtomicI64>,
}

impl Manager {
    fn new(ms: u64) -> Self {
        Manager { delay: Duration::from_millis(ms), opened: Arc::new(AtomicI64::new(0)) }
    }
}

impl deadpool::managed::Manager for Manager {
    type Type = Connection;
    type Error = Never;
    async fn create(&self) -> Result<Connection, Never> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await
        }
        self.opened.fetch_add(1, Relaxed);
        Ok(Connection(0))
    }
    async fn recycle(&self, _: &mut Connection, _: &deadpool::managed::Metrics) -> deadpool::managed::RecycleResult<Never> {
        Ok(())
    }
}

type Pool = deadpool::managed::Pool<Manager>;

// ---- measuring ----

const BUCKETS: usize = 60 * 64;

struct Waits {
    buckets: Vec<u64>,
    count: u64,
}

impl Waits {
    fn new() -> Self {
        Waits { buckets: vec![0; BUCKETS], count: 0 }
    }
    fn add(&mut self, ns: u64) {
        let bucket = if ns < 64 {
            ns as usize
        } else {
            let top = 63 - ns.leading_zeros() as usize;
            (top - 5) * 64 + ((ns >> (top - 6)) & 63) as usize
        };
        self.buckets[bucket] += 1;
        self.count += 1;
    }
    fn merge(&mut self, other: &Waits) {
        for (a, b) in self.buckets.iter_mut().zip(&other.buckets) {
            *a += b
        }
        self.count += other.count;
    }
    fn quantile(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (i, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                if i < 64 {
                    return i as f64;
                }
                let shift = i / 64 - 1;
                return ((64 + (i as u64 % 64)) << shift) as f64 + (1u64 << shift) as f64 / 2.0;
            }
        }
        0.0
    }
}

fn cpu_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// A hold of microsecond grain for tokio, whose own timer has 1 ms: a timerfd in its poller.
struct Timer(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

impl Timer {
    #[allow(deprecated)]
    fn new() -> Self {
        use std::os::fd::FromRawFd;
        unsafe {
            let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC);
            assert!(fd >= 0);
            let fd = std::os::fd::OwnedFd::from_raw_fd(fd);
            Timer(tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE).unwrap())
        }
    }
    async fn sleep(&self, ns: i64) {
        use std::os::fd::AsRawFd;
        let fd = self.0.get_ref().as_raw_fd();
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let when = libc::itimerspec { it_interval: zero, it_value: libc::timespec { tv_sec: 0, tv_nsec: ns } };
        unsafe { libc::timerfd_settime(fd, 0, &when, std::ptr::null_mut()) };
        loop {
            let mut guard = self.0.readable().await.unwrap();
            let mut count = 0u64;
            if unsafe { libc::read(fd, &mut count as *mut u64 as *mut _, 8) } == 8 {
                return;
            }
            guard.clear_ready();
        }
    }
}

struct Part {
    ops: u64,
    held_ns: u64,
    waits: Waits,
}

async fn untimed(pool: Pool, stop: Arc<AtomicBool>) -> Part {
    let mut ops = 0;
    while !stop.load(Relaxed) {
        drop(pool.get().await.unwrap());
        ops += 1;
        // A task that never waits still yields every 128 turns, as tokio asks of long loops.
        tokio::task::coop::consume_budget().await;
    }
    Part { ops, held_ns: 0, waits: Waits::new() }
}

async fn timed(pool: Pool, stop: Arc<AtomicBool>, hold_ns: i64) -> Part {
    let mut part = Part { ops: 0, held_ns: 0, waits: Waits::new() };
    let timer = Timer::new();
    while !stop.load(Relaxed) {
        let before = Instant::now();
        let connection = pool.get().await.unwrap();
        let granted = Instant::now();
        timer.sleep(hold_ns).await;
        part.held_ns += granted.elapsed().as_nanos() as u64;
        drop(connection);
        part.waits.add((granted - before).as_nanos() as u64);
        part.ops += 1;
    }
    part
}

async fn run(pool: Pool, tasks: usize, seconds: f64, hold_ns: i64, prints: bool) {
    let stop = Arc::new(AtomicBool::new(false));
    let gate = Arc::new(tokio::sync::Barrier::new(tasks + 1));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let (pool, stop, gate) = (pool.clone(), stop.clone(), gate.clone());
            tokio::spawn(async move {
                gate.wait().await;
                if hold_ns > 0 {
                    timed(pool, stop, hold_ns).await
                } else {
                    untimed(pool, stop).await
                }
            })
        })
        .collect();
    gate.wait().await;
    let (cpu, begin) = (cpu_ns(), Instant::now());
    // From a thread of its own: with busy workers a timer of tokio's could be late.
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Relaxed)
    });
    let mut parts = vec![];
    for handle in handles {
        parts.push(handle.await.unwrap())
    }
    let (took, cpu) = (begin.elapsed().as_secs_f64(), cpu_ns() - cpu);
    if !prints {
        return;
    }
    let ops: u64 = parts.iter().map(|p| p.ops).sum();
    let held: u64 = parts.iter().map(|p| p.held_ns).sum();
    let most = parts.iter().map(|p| p.ops).max().unwrap();
    let least = parts.iter().map(|p| p.ops).min().unwrap();
    let mut waits = Waits::new();
    for part in &parts {
        waits.merge(&part.waits)
    }
    println!(
        "{{\"ops\": {ops}, \"seconds\": {took:.6}, \"cpu_ns\": {cpu:.0}, \"hold_ns\": {:.1}, \"fairness\": {:.4}, \
         \"wait_p50_ns\": {:.0}, \"wait_p99_ns\": {:.0}, \"wait_p999_ns\": {:.0}, \"wait_max_ns\": {:.0}}}",
        held as f64 / ops.max(1) as f64,
        most as f64 / least.max(1) as f64,
        waits.quantile(0.5),
        waits.quantile(0.99),
        waits.quantile(0.999),
        waits.quantile(1.0)
    );
}

fn pool(size: usize, manager: Manager) -> Pool {
    Pool::builder(manager).max_size(size).build().unwrap()
}

/// 50 at once on 5 connections that are open, at most 50; connecting takes 150 ms, the query 2 ms.
async fn spike() {
    let manager = Manager::new(150);
    let pool = pool(50, manager.clone());
    let mut open = vec![];
    // deadpool has no minimum: the five idle ones are opened by hand.
    let opening: Vec<_> = (0..5).map(|_| { let pool = pool.clone(); tokio::spawn(async move { pool.get().await.unwrap() }) }).collect();
    for one in opening {
        open.push(one.await.unwrap())
    }
    drop(open);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = manager.opened.load(Relaxed);
    let gate = Arc::new(tokio::sync::Barrier::new(51));
    let slowest = Arc::new(Mutex::new(0f64));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (pool, gate, slowest) = (pool.clone(), gate.clone(), slowest.clone());
            tokio::spawn(async move {
                gate.wait().await;
                let begin = Instant::now();
                let connection = pool.get().await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
                drop(connection);
                let took = begin.elapsed().as_secs_f64() * 1e3;
                let mut most = slowest.lock().unwrap();
                *most = most.max(took);
            })
        })
        .collect();
    gate.wait().await;
    let begin = Instant::now();
    for task in tasks {
        task.await.unwrap()
    }
    let total = begin.elapsed().as_secs_f64() * 1e3;
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!(
        "{{\"total_ms\": {total:.4}, \"slowest_ms\": {:.4}, \"opened\": {}}}",
        *slowest.lock().unwrap(),
        manager.opened.load(Relaxed) - before
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let case = arguments[1].as_str();
    let runtime = if case == "loop1" {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    };
    if case == "spike" {
        return runtime.block_on(spike());
    }
    let (warm, seconds): (f64, f64) = (arguments[2].parse().unwrap(), arguments[3].parse().unwrap());
    let (tasks, size, hold_ns) = if case == "contended" { (8, 4, 0) } else { (64, 8, 100_000) };
    let pool = pool(size, Manager::new(0));
    runtime.block_on(async move {
        run(pool.clone(), tasks, warm, hold_ns, false).await;
        run(pool, tasks, seconds, hold_ns, true).await
    });
}
