//! Plays worlds: one of them, or very many. `make simulate` calls it.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use penstock_simulator::{Report, Violation, WORLDS, Workload, crash_everywhere, simulate};

const USAGE: &str = "usage: simulate [--world NAME] [--seeds N] [--from SEED] [--threads N]   every seed from SEED \
                     on, twice\n       simulate WORLD SEED [RUNS [POINT]]                               \
                     one world, with its report";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--planted"] {
        return planted();
    }
    let wanted = if arguments.first().is_some_and(|it| !it.starts_with("--")) {
        one(&arguments)
    } else {
        Sweep::from(&arguments).map(|sweep| sweep.play())
    };
    wanted.unwrap_or_else(|| {
        eprintln!("{USAGE}\nworlds: {}", WORLDS.join(", "));
        ExitCode::from(2)
    })
}

/// Plays one world and shows what came of it.
fn one(arguments: &[String]) -> Option<ExitCode> {
    let seed = arguments.get(1)?.parse().ok()?;
    let mut workload = Workload::named(&arguments[0], seed)?;
    if let Some(runs) = arguments.get(2) {
        workload.runs = runs.parse().ok()?;
    }
    workload.down_at = arguments.get(3).and_then(|point| point.parse().ok());
    let began = Instant::now();
    Some(match simulate(&workload) {
        Ok(report) => {
            let rate = report.events as f64 / began.elapsed().as_secs_f64();
            println!("{report:#?}\n{rate:.0} events/s");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{violation}");
            ExitCode::FAILURE
        }
    })
}

/// Looks for the bugs planted in the engine, and shows which invariant each broke first.
#[cfg(feature = "planted")]
fn planted() -> ExitCode {
    use penstock_simulator::planted::hunt;

    std::panic::set_hook(Box::new(|_| {}));
    println!("| bug | breaks | seeds | found as |\n| --- | --- | ---: | --- |");
    let hunted = hunt(|it| {
        let found = it.found.as_ref().map_or("nothing", |violation| violation.what.as_str());
        let found: String = found.chars().take(60).collect();
        println!("| {:?} | I{} | {} | {found} |", it.bug, it.invariant, it.seeds);
    });
    let at_large = hunted.iter().filter(|it| it.found.is_none()).count();
    if at_large == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "planted"))]
fn planted() -> ExitCode {
    eprintln!("no bugs are planted in this build: make simulate PLANTED=1");
    ExitCode::from(2)
}

/// Many seeds of one world, or of every one in turn.
struct Sweep {
    world: Option<String>,
    seeds: u64,
    from: u64,
    threads: u64,
}

impl Sweep {
    fn from(arguments: &[String]) -> Option<Self> {
        let mut sweep = Self { world: None, seeds: 10_000, from: 0, threads: 2 };
        for pair in arguments.chunks(2) {
            let [option, value] = pair else { return None };
            match option.as_str() {
                "--world" => {
                    Workload::named(value, 0)?;
                    sweep.world = Some(value.clone());
                }
                "--seeds" => sweep.seeds = value.parse().ok()?,
                "--from" => sweep.from = value.parse().ok()?,
                "--threads" => sweep.threads = value.parse().ok().filter(|&it| it > 0)?,
                _ => return None,
            }
        }
        Some(sweep)
    }

    fn play(&self) -> ExitCode {
        // A panic of the engine is a violation, which names its seed.
        std::panic::set_hook(Box::new(|_| {}));
        let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let (sums, failures) = (Mutex::new(Report::default()), Mutex::new(Vec::new()));
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        if nth >= self.seeds {
                            break;
                        }
                        match twice(&self.workload(nth)) {
                            Ok(report) => lock(&sums).merge(&report),
                            Err(violation) => {
                                lock(&failures).push(violation);
                                over.store(true, Ordering::Relaxed);
                            }
                        }
                        if nth % 100 == 99 {
                            let rate = (nth + 1) as f64 / began.elapsed().as_secs_f64();
                            eprint!("\r{} of {} seeds, {rate:.0} a second ", nth + 1, self.seeds);
                        }
                    }
                });
            }
        });
        eprintln!();
        let mut failures = lock(&failures);
        failures.sort_by_key(|violation| violation.seed);
        let played = next.load(Ordering::Relaxed).min(self.seeds);
        println!("{played} seeds, each played twice, in {:.0} s", began.elapsed().as_secs_f64());
        println!("{}", lock(&sums).summary());
        failures.iter().for_each(|violation| eprintln!("{violation}"));
        if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn workload(&self, nth: u64) -> Workload {
        let seed = self.from + nth;
        let named = self.world.as_deref().and_then(|world| Workload::named(world, seed));
        named.unwrap_or_else(|| Workload::of_seed(seed))
    }
}

/// Plays a world twice, which must give the same.
fn twice(workload: &Workload) -> Result<Report, Violation> {
    let play = if workload.name == "crashing" { crash_everywhere } else { simulate };
    let report = play(workload)?;
    if play(workload)? == report {
        Ok(report)
    } else {
        Err(Violation::of(workload, "it plays differently the second time".into()))
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
