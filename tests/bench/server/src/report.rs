//! The table, the goals, and what else one must know to believe them.

use crate::compare::{Record, Records};
use crate::contest::{Case, Goal, Rival};
use crate::spell::Outcome;
use crate::table::{markdown, median, thousands};

/// Prints everything, and gives whether every goal was reached.
#[must_use]
pub fn print(cases: &[Case], records: &Records) -> bool {
    let mut head = vec!["load".to_owned()];
    head.extend(Rival::ALL.map(|rival| rival.name().to_owned()));
    head.push("ours, wanted".to_owned());
    let mut all_met = true;
    let rows = cases.iter().enumerate().map(|(index, case)| {
        let mut row = vec![case.load.name()];
        row.extend(Rival::ALL.map(|rival| cell(records.get(&(index, rival)))));
        let judged: Vec<String> = case
            .goals
            .iter()
            .map(|goal| {
                let (text, met) = judge(*goal, index, records);
                all_met &= met;
                text
            })
            .collect();
        row.push(judged.join("; "));
        row
    });
    let rows: Vec<_> = rows.collect();
    println!("{}", markdown(&head, &rows));
    println!(
        "Calls or deliveries in a second and, in brackets, the microseconds for which the server ran for each; bytes of resident \
         memory for each idle connection. Medians; a ratio is the median of the rounds' ratios, in brackets the one of running times."
    );
    print_conditions(records);
    for ((index, rival), record) in records {
        if let (Record::Unable(reason), Some(case)) = (record, cases.get(*index)) {
            println!("{} by {}: {reason}", case.load.name(), rival.name());
        }
    }
    all_met
}

fn spells(record: Option<&Record>) -> &[Outcome] {
    match record {
        Some(Record::Spells(spells)) => spells,
        _ => &[],
    }
}

fn cell(record: Option<&Record>) -> String {
    let figure = match record {
        Some(Record::Spells(spells)) => {
            let rates: Vec<f64> = spells.iter().map(Outcome::rate).collect();
            let micros: Vec<f64> = spells.iter().filter_map(Outcome::server_micros).collect();
            median(&rates).map(|rate| {
                let micros = median(&micros).unwrap_or(f64::NAN);
                format!("{} ({micros:.2})", thousands(rate))
            })
        }
        Some(Record::Bytes(bytes)) => median(bytes).map(thousands),
        Some(Record::Unable(_)) | None => None,
    };
    figure.unwrap_or_else(|| "–".to_owned())
}

/// What became of a goal, in words, and whether it was reached.
fn judge(goal: Goal, case: usize, records: &Records) -> (String, bool) {
    let ours = records.get(&(case, Rival::Ours));
    match goal {
        Goal::AtLeast(times, rival) => {
            let (ours, theirs) = (spells(ours), spells(records.get(&(case, rival))));
            let rates = ratios(ours, theirs, |spell| Some(spell.rate()));
            // Less time is better, so that this one is upside down.
            let running = ratios(theirs, ours, Outcome::server_micros);
            let running = median(&running).unwrap_or(f64::NAN);
            let name = format!(" x {}", rival.name());
            let text = |ratio: f64| format!("{ratio:.2} ({running:.2}){name}");
            verdict(median(&rates), text, &format!("≥ {times}"), |ratio| {
                ratio >= times
            })
        }
        Goal::AtMost(times, rival) => {
            let theirs = bytes(records.get(&(case, rival)));
            let ratio = bytes(ours).zip(theirs).map(|(ours, theirs)| ours / theirs);
            let name = format!(" x {}", rival.name());
            let text = |ratio: f64| format!("{ratio:.2}{name}");
            verdict(ratio, text, &format!("≤ {times}"), |ratio| ratio <= times)
        }
        Goal::Bytes(limit) => {
            let text = |bytes: f64| format!("{} bytes", thousands(bytes));
            verdict(
                bytes(ours),
                text,
                &format!("≤ {}", thousands(limit)),
                |bytes| bytes <= limit,
            )
        }
    }
}

fn verdict(
    figure: Option<f64>,
    text: impl FnOnce(f64) -> String,
    wanted: &str,
    reached: impl FnOnce(f64) -> bool,
) -> (String, bool) {
    let Some(figure) = figure else {
        return (format!("not measured, {wanted} wanted"), false);
    };
    let met = reached(figure);
    let word = if met { "reached" } else { "MISSED" };
    (format!("{}, {wanted}: {word}", text(figure)), met)
}

fn bytes(record: Option<&Record>) -> Option<f64> {
    match record {
        Some(Record::Bytes(bytes)) => median(bytes),
        _ => None,
    }
}

/// Round by round, as neighbours in time met the same machine.
fn ratios(
    these: &[Outcome],
    those: &[Outcome],
    figure: impl Fn(&Outcome) -> Option<f64>,
) -> Vec<f64> {
    let pairs = these.iter().zip(those);
    pairs
        .filter_map(|(this, that)| Some(figure(this)? / figure(that)?))
        .collect()
}

/// Whether the servers were what limited the figures, and had their core for themselves.
fn print_conditions(records: &Records) {
    let ours_and_theirs = records
        .iter()
        .filter(|((_, rival), _)| *rival != Rival::Floor);
    let measured: Vec<&Outcome> = ours_and_theirs
        .flat_map(|(_, record)| spells(Some(record)))
        .collect();
    let idle: Vec<f64> = measured
        .iter()
        .map(|spell| spell.idle_share() * 100.0)
        .collect();
    let running = measured.iter().filter_map(|spell| {
        Some(spell.server?.as_secs_f64() / spell.elapsed.as_secs_f64() * 100.0)
    });
    let running: Vec<f64> = running.collect();
    if let (Some(idle), Some(running)) = (median(&idle), median(&running)) {
        println!(
            "The load generator had nothing to do for {idle:.0} % of the time, and the servers ran for {running:.0} % of it (medians)."
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spell(count: usize, micros: u64) -> Outcome {
        Outcome {
            count,
            elapsed: Duration::from_secs(1),
            idle: Duration::ZERO,
            server: Some(Duration::from_micros(micros)),
        }
    }

    fn records(ours: Record, theirs: Record) -> Records {
        Records::from([((0, Rival::Ours), ours), ((0, Rival::AspNet), theirs)])
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let ours = Record::Spells(vec![spell(200, 400), spell(90, 180), spell(300, 600)]);
        let theirs = Record::Spells(vec![spell(100, 600), spell(30, 180), spell(100, 600)]);
        let (text, met) = judge(Goal::AtLeast(2.5, Rival::AspNet), 0, &records(ours, theirs));
        assert_eq!(text, "3.00 (3.00) x ASP.NET Core, ≥ 2.5: reached");
        assert!(met);
    }

    #[test]
    fn less_memory_is_better_and_what_was_not_measured_is_not_reached() {
        let goal = Goal::AtMost(0.5, Rival::AspNet);
        let both = records(Record::Bytes(vec![30.0]), Record::Bytes(vec![50.0]));
        assert!(!judge(goal, 0, &both).1);
        assert!(
            !judge(
                goal,
                0,
                &records(Record::Unable(String::new()), Record::Bytes(vec![1.0]))
            )
            .1
        );
        assert!(judge(Goal::Bytes(30.0), 0, &both).1);
    }
}
