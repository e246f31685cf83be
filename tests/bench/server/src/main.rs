//! Loads servers of SignalR: `compare` all of them, count `instructions`, or one of `echo`, `broadcast`, `farm` and `idle`
//! against `--url`.

use std::process::ExitCode;

use signalr_bench::broadcast::{self, Broadcast};
use signalr_bench::dialect::Language;
use signalr_bench::echo::{self, Echo};
use signalr_bench::farm::{self, Audience, Farm};
use signalr_bench::idle::{self, Idle, Transport};
use signalr_bench::options::Options;
use signalr_bench::spell::{Limit, Outcome, Plan};
use signalr_bench::{Failure, compare, instructions, process};

const USAGE: &str = "\
signalr-bench compare      --ours COMMAND [--reference COMMAND] [--socketioxide COMMAND] [--floor COMMAND] [--only TEXT,..]
                           [--rounds 5] [--seconds 1] [--warm-up 2] [--nap 0] [--core N] [--connections 8000] [--settle 3] [--check]
                           [--redis HOST:PORT]   in a farm: both get that and a --prefix
signalr-bench instructions --ours COMMAND [--only TEXT,..] [--into FOLDER]
signalr-bench echo         --url URL [--connections 100] [--inflight 1] [--bytes 100] [--protocol json|messagepack|socketio|raw]
signalr-bench broadcast    --url URL [--members 1000] [--burst 1] [--bytes 100] [--protocol json|messagepack|raw]
signalr-bench farm         --url URL --redis HOST:PORT --prefix NAME [--audience all|groups|users] [--members 1000] [--burst 1] [--bytes 100]
                           all three: [--seconds 2] [--warm 0.5] [--calls N] [--nap 0]
signalr-bench idle         --url URL [--connections 8000] [--transport websockets|sse|longpolling] [--settle 3]";

fn main() -> ExitCode {
    let mut options = Options::new(std::env::args().skip(1).collect());
    match run(&mut options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &mut Options) -> Result<ExitCode, Failure> {
    let command = options.command();
    let mut options = std::mem::replace(options, Options::new(Vec::new()));
    match command.as_deref() {
        Some("compare") => {
            let check = options.flag("--check");
            let reached = compare::run(options)?;
            return Ok(if check && !reached {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
        Some("instructions") => instructions::run(options)?,
        Some("echo") => echo(options)?,
        Some("broadcast") => broadcast(options)?,
        Some("farm") => farm(options)?,
        Some("idle") => idle(options)?,
        _ => return Err(USAGE.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn url(options: &mut Options) -> Result<std::net::SocketAddr, Failure> {
    process::address(
        &options
            .text("--url")?
            .ok_or("--url says where the server is")?,
    )
}

fn plan(options: &mut Options, address: std::net::SocketAddr) -> Result<Plan, Failure> {
    let limit = match options.value("--calls", 0)? {
        0 => Limit::Time {
            warm: options.seconds("--warm", 0.5)?,
            counted: options.seconds("--seconds", 2.0)?,
        },
        calls => Limit::Calls(calls),
    };
    Ok(Plan {
        limit,
        nap: options.seconds("--nap", 0.0)?,
        server: process::listener(address).ok(),
    })
}

fn show(what: &str, outcome: &Outcome) {
    println!(
        "{:.0} {what} a second, {:.2} microseconds of the server for each, the load generator idle for {:.0} % of the time",
        outcome.rate(),
        outcome.server_micros().unwrap_or(f64::NAN),
        outcome.idle_share() * 100.0
    );
}

fn echo(mut options: Options) -> Result<(), Failure> {
    let address = url(&mut options)?;
    let echo = Echo {
        connections: options.value("--connections", 100)?,
        in_flight: options.value("--inflight", 1)?,
        bytes: options.value("--bytes", 100)?,
        language: Language::named(&options.value("--protocol", "json".to_owned())?)?,
    };
    let plan = plan(&mut options, address)?;
    options.finish()?;
    show("calls", &echo::run(address, echo, plan)?);
    Ok(())
}

fn broadcast(mut options: Options) -> Result<(), Failure> {
    let address = url(&mut options)?;
    let broadcast = Broadcast {
        members: options.value("--members", 1000)?,
        burst: options.value("--burst", 1)?,
        bytes: options.value("--bytes", 100)?,
        language: Language::named(&options.value("--protocol", "json".to_owned())?)?,
    };
    let plan = plan(&mut options, address)?;
    options.finish()?;
    show("deliveries", &broadcast::run(address, broadcast, plan)?);
    Ok(())
}

fn farm(mut options: Options) -> Result<(), Failure> {
    let address = url(&mut options)?;
    let redis = options.text("--redis")?.ok_or("--redis says where it is")?;
    let prefix = options.value("--prefix", String::new())?;
    let farm = Farm {
        members: options.value("--members", 1000)?,
        audience: Audience::named(&options.value("--audience", "all".to_owned())?)?,
        burst: options.value("--burst", 1)?,
        bytes: options.value("--bytes", 100)?,
        prefix: prefix.leak(),
    };
    let plan = plan(&mut options, address)?;
    options.finish()?;
    let outcome = farm::run(address, redis.parse()?, farm, plan)?;
    show("deliveries", &outcome);
    Ok(())
}

fn idle(mut options: Options) -> Result<(), Failure> {
    let address = url(&mut options)?;
    let idle = Idle {
        connections: options.value("--connections", 8000)?,
        transport: Transport::named(&options.value("--transport", "websockets".to_owned())?)?,
        settle: options.seconds("--settle", 3.0)?,
    };
    options.finish()?;
    let bytes = idle::run(address, process::listener(address)?, idle)?;
    println!("{bytes:.0} bytes for each idle connection");
    Ok(())
}
