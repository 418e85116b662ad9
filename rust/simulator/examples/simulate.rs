//! Plays one world: `cargo run -p penstock-simulator --example simulate -- stormy SEED RUNS`.

use std::process::ExitCode;
use std::time::Instant;

use penstock_simulator::{Workload, simulate};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).and_then(|text| text.parse::<u64>().ok());
    let (Some(seed), Some(runs)) = (number(1), number(2)) else {
        eprintln!("usage: simulate stormy|winding|steady SEED RUNS");
        return ExitCode::from(2);
    };
    let workload = match arguments[0].as_str() {
        "stormy" => Workload::stormy(seed, runs),
        "winding" => Workload::winding(seed, runs),
        "steady" => Workload::steady(seed, runs),
        other => {
            eprintln!("there is no world {other}: choose stormy, winding or steady");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    match simulate(&workload) {
        Ok(report) => {
            let rate = report.events as f64 / began.elapsed().as_secs_f64();
            println!("{report:#?}\n{rate:.0} events/s");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{violation}");
            ExitCode::FAILURE
        }
    }
}
