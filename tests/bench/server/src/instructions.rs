//! Instructions for each call or delivery, counted by callgrind: what the server did for many calls less what it did for few,
//! so that its beginning and end do not count.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::broadcast::{self, Broadcast};
use crate::contest::Load;
use crate::dialect::Language;
use crate::echo::{self, Echo};
use crate::options::Options;
use crate::process::Server;
use crate::spell::{Limit, Plan, as_f64};
use crate::table::{markdown, thousands};

/// The length of a call's text.
const BYTES: usize = 100;

/// Something of which the instructions are counted.
struct Count {
    load: Load,
    few: usize,
    many: usize,
    /// What one call leads to.
    each: usize,
}

fn echo(connections: usize, in_flight: usize, language: Language) -> Count {
    Count {
        load: Load::Echo(Echo {
            connections,
            in_flight,
            bytes: BYTES,
            language,
        }),
        few: 1600,
        many: 4800,
        each: 1,
    }
}

fn broadcast(burst: usize, language: Language) -> Count {
    let members = 100;
    Count {
        load: Load::Broadcast(Broadcast {
            members,
            burst,
            bytes: BYTES,
            language,
        }),
        few: 16,
        many: 48,
        each: members,
    }
}

/// Counts what the options ask for and prints it.
///
/// # Errors
/// When the options make no sense, valgrind is missing or the server does not play along.
pub fn run(mut options: Options) -> Result<(), Failure> {
    let server = options
        .words("--ours")?
        .ok_or("--ours says how the server is started")?;
    let into = PathBuf::from(options.text("--into")?.unwrap_or_else(|| ".".to_owned()));
    let only = options.text("--only")?.unwrap_or_default();
    options.finish()?;
    fs::create_dir_all(&into)?;
    let mut rows = Vec::new();
    for count in [
        echo(1, 1, Language::Json),
        echo(1, 1, Language::MessagePack),
        echo(100, 1, Language::Json),
        echo(100, 16, Language::Json),
        echo(1, 64, Language::Json),
        echo(1, 64, Language::MessagePack),
        broadcast(1, Language::Json),
        broadcast(8, Language::Json),
    ] {
        let name = count.load.name();
        if !only.split(',').any(|text| name.contains(text)) {
            continue;
        }
        let few = instructions(&server, &into, count.load, count.few)?;
        let many = instructions(&server, &into, count.load, count.many)?;
        let each = (many - few) / as_f64((count.many - count.few) * count.each);
        eprintln!("{name} done");
        rows.push(vec![name, thousands(each)]);
    }
    let head = ["load", "instructions for each"].map(str::to_owned);
    println!("{}", markdown(&head, &rows));
    Ok(())
}

fn instructions(server: &[String], into: &Path, load: Load, calls: usize) -> Result<f64, Failure> {
    let file = into.join(format!(
        "{}-{calls}.callgrind",
        load.name().replace(' ', "-")
    ));
    let out = format!("--callgrind-out-file={}", file.display());
    let mut command = ["valgrind", "-q", "--tool=callgrind", &out]
        .map(str::to_owned)
        .to_vec();
    command.extend_from_slice(server);
    let server = Server::start(&command, Some(0))?;
    let plan = Plan {
        limit: Limit::Calls(calls),
        // The server is so slow that waking somebody is nothing.
        nap: Duration::from_millis(20),
        server: None,
    };
    match load {
        Load::Echo(load) => echo::run(server.address(), load, plan).map(drop)?,
        Load::Broadcast(load) => broadcast::run(server.address(), load, plan).map(drop)?,
        Load::Farm(_) | Load::Idle(_) => {
            return Err("nothing is counted there".into());
        }
    }
    // The counts are written when it ends.
    drop(server);
    total(&fs::read_to_string(&file)?)
}

/// The sum in the output of callgrind.
fn total(output: &str) -> Result<f64, Failure> {
    let sum = output
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let sum = sum.or_else(|| {
        output
            .lines()
            .find_map(|line| line.strip_prefix("summary: "))
    });
    Ok(sum.ok_or("callgrind has counted nothing")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        assert!(total("fn=(1)\n1 2\n\ntotals: 120\n").is_ok_and(|sum| (sum - 120.0).abs() < 0.5));
        assert!(total("").is_err());
    }
}
