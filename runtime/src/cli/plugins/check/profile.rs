//! What a call costs over the size of its input.

use std::time::Duration;

use serde_json::{Value, json};

use super::Check;
use super::battery::{ANSWER, Bench, no_outcome};
use super::hostile::Letter;
use crate::cli::plugins::test::word;
use crate::cli::table::Table;
use crate::cli::terminal::Paint;
use crate::config::{CallLimits, format_duration, format_size};
use crate::runtime::{HttpReply, Tried};

/// Bytes of text in the input.
const SIZES: [usize; 4] = [0, 1 << 10, 64 << 10, 1 << 20];

/// A text larger than this is beyond what providers take, so a call for it may cost more than is granted by default.
const USUAL_MAX: usize = 64 << 10;

/// Sixteen times the input may cost so many times as much before that is called faster than its input.
const GROWTH_MAX: u64 = 64;

/// One size and its cost.
#[derive(Clone, Debug)]
pub(in crate::cli::plugins) struct Line {
    body_bytes: usize,
    fuel: u64,
    cpu: Duration,
    memory_bytes: u64,
    wall: Duration,
    means: String,
    /// Why it gave no outcome, if it gave none: then its cost says nothing.
    failed: Option<String>,
}

impl Line {
    pub(super) fn json(&self) -> Value {
        json!({
            "body_bytes": self.body_bytes, "fuel": self.fuel, "cpu_us": micros(self.cpu), "memory_bytes": self.memory_bytes,
            "wall_us": micros(self.wall), "means": self.means,
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// CPU time that fuel is worth on this machine.
pub(super) fn cpu(fuel: u64, fuel_per_ms: u64) -> Duration {
    Duration::from_micros(fuel.saturating_mul(1_000) / fuel_per_ms.max(1))
}

/// Sends texts of several sizes. The error says why it could not.
pub(super) async fn measure(bench: &Bench<'_>) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for body_bytes in SIZES.into_iter().take_while(|_| bench.pace.goes_on()) {
        // Words, not one long one: what is split and escaped costs what it does in life.
        let text: String = "db-3 is at \"91\" %\n".chars().cycle().take(body_bytes).collect();
        let reply = HttpReply { status: 200, headers: Vec::new(), body: "{}".into(), truncated: false };
        let tried = bench.send(Letter::of("profile", text), Ok(reply)).await;
        let Tried { end, fuel, memory_bytes, duration, .. } = tried.map_err(|error| error.to_string())?;
        let cpu = cpu(fuel, bench.workpiece.fuel_per_ms());
        let (means, failed) = (word(&end), no_outcome(&end));
        lines.push(Line { body_bytes, fuel, cpu, memory_bytes, wall: duration, means, failed });
    }
    if lines.len() < SIZES.len() {
        bench.pace.leave_out(format!("{} of {} sizes of the profile", SIZES.len() - lines.len(), SIZES.len()));
    }
    Ok(lines)
}

/// Holds what calls cost against what a channel is granted by default. None where there are none.
pub(super) fn judge(lines: &[Line], limits: CallLimits, fuel_per_ms: u64) -> Option<Check> {
    const NAME: &str = "profile";
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return None };
    if let Some((size, reason)) = lines.iter().find_map(|line| Some((line.body_bytes, line.failed.as_ref()?))) {
        let says = format!("a text of {} gives no outcome: {reason}", format_size(size as u64));
        return Some(Check::fail(NAME, says, ANSWER));
    }
    let granted_cpu = limits.fuel.map_or(limits.cpu_time, |fuel| cpu(fuel, fuel_per_ms));
    let over = |line: &&Line| line.cpu > granted_cpu || line.memory_bytes > limits.memory;
    let of_size = |bytes: usize| lines.iter().find(|line| line.body_bytes == bytes);
    if let Some(line) = lines.iter().find(over) {
        let (says, mend) = (exceeded(line, granted_cpu, limits), raised(line, granted_cpu, limits));
        let judged = if line.body_bytes <= USUAL_MAX { Check::fail } else { Check::warn };
        return Some(judged(NAME, says, mend));
    }
    if let (Some(usual), Some(largest)) = (of_size(USUAL_MAX), of_size(1 << 20))
        && largest.fuel > usual.fuel.saturating_mul(GROWTH_MAX)
    {
        let times = largest.fuel / usual.fuel.max(1);
        let says = format!("16 times the text costs {times} times the fuel: the cost grows faster than its input");
        return Some(Check::warn(NAME, says, "look for a loop over the text within a loop over the text"));
    }
    let memory = lines.iter().map(|line| line.memory_bytes).max().unwrap_or_default();
    Some(Check::pass(
        NAME,
        format!(
            "{} to {} of CPU time (granted: {}), at most {} of memory (granted: {})",
            in_ms(first.cpu),
            in_ms(last.cpu),
            format_duration(granted_cpu),
            format_size(memory),
            format_size(limits.memory)
        ),
    ))
}

fn exceeded(line: &Line, granted: Duration, limits: CallLimits) -> String {
    format!(
        "a text of {} takes {} of CPU time (granted: {}) and {} of memory (granted: {})",
        format_size(line.body_bytes as u64),
        in_ms(line.cpu),
        format_duration(granted),
        format_size(line.memory_bytes),
        format_size(limits.memory)
    )
}

/// The lines that would grant it, with half as much again to spare.
fn raised(line: &Line, granted: Duration, limits: CallLimits) -> String {
    let mut text = "make it cheaper, or let the operator grant more:\n[plugins.defaults]".to_owned();
    if line.cpu > granted {
        let ms = u64::try_from(line.cpu.as_millis()).unwrap_or(u64::MAX).saturating_mul(3) / 2 + 1;
        text.push_str(&format!("\ncpu_time = \"{}ms\"", ms.next_multiple_of(50)));
    }
    if line.memory_bytes > limits.memory {
        let mib = (line.memory_bytes >> 20).saturating_mul(3) / 2 + 1;
        text.push_str(&format!("\nmemory = \"{}MiB\"", mib.next_multiple_of(16)));
    }
    text
}

fn in_ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1_000.0)
}

/// The lines for people.
pub(super) fn table(lines: &[Line], paint: Paint) -> String {
    let mut table = Table::new(["TEXT", "CPU", "FUEL", "MEMORY", "WALL", "MEANS"]);
    for line in lines {
        table.row([
            format_size(line.body_bytes as u64).into(),
            in_ms(line.cpu).into(),
            line.fuel.to_string().into(),
            format_size(line.memory_bytes).into(),
            in_ms(line.wall).into(),
            line.means.as_str().into(),
        ]);
    }
    table.render(paint, 2)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn line(body_bytes: usize, cpu_ms: u64, memory_bytes: u64) -> Line {
        let cpu = Duration::from_millis(cpu_ms);
        Line { body_bytes, fuel: cpu_ms * 1_000, cpu, memory_bytes, wall: cpu, means: "sent".to_owned(), failed: None }
    }

    #[test]
    fn a_call_beyond_what_is_granted_names_the_lines_that_grant_it() {
        let limits = CallLimits::default();
        let judge = |lines: &[Line]| judge(lines, limits, 1_000).expect("there are lines");
        let check = judge(&[line(0, 250, 80 << 20), line(1 << 20, 900, 80 << 20)]);
        assert_eq!(check.verdict, Verdict::Fail);
        insta::assert_snapshot!(check.mend.expect("a mend"), @r#"
        make it cheaper, or let the operator grant more:
        [plugins.defaults]
        cpu_time = "400ms"
        memory = "128MiB"
        "#);
        let check = judge(&[line(0, 1, 1 << 20), line(1 << 20, 900, 1 << 20)]);
        assert_eq!(check.verdict, Verdict::Warn, "only for a text that no provider takes");
        assert_eq!(judge(&[line(0, 1, 1 << 20), line(1 << 20, 90, 1 << 20)]).verdict, Verdict::Pass);
    }

    #[test]
    fn a_cost_that_grows_faster_than_its_input_is_told() {
        let lines = [line(0, 1, 0), line(64 << 10, 1, 0), line(1 << 20, 100, 0)];
        let check = judge(&lines, CallLimits::default(), 1_000).expect("there are lines");
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.says.contains("100 times the fuel"), "{}", check.says);
    }

    #[test]
    fn calls_without_an_outcome_have_no_cost_to_be_judged() {
        let failed = Line { failed: Some("fault (trap): unreachable".to_owned()), ..line(1 << 10, 1, 0) };
        let check = judge(&[line(0, 1, 0), failed], CallLimits::default(), 1_000).expect("there are lines");
        assert_eq!(check.verdict, Verdict::Fail);
        assert_eq!(check.says, "a text of 1KiB gives no outcome: fault (trap): unreachable");
    }
}
