//! One line per figure: ours, the ceiling measured just before it, how much of it is reached, and the machine's load.

use std::time::Duration;

/// Starts a table.
pub(crate) fn heading(group: &str) {
    println!("\n| {group:<52} | {:>12} | {:>12} | {:>5} | {:<48} | load |", "ours", "ceiling", "ratio", "");
    println!("|{:-<54}|{:->14}|{:->14}|{:->7}|{:-<50}|------|", "", "", "", "", "");
}

/// Prints events per second.
pub(crate) fn rates(what: &str, ours: f64, ceiling: f64, detail: &str) {
    line(what, &format!("{ours:.0}/s"), &format!("{ceiling:.0}/s"), ours / ceiling, detail);
}

/// Prints how long something takes.
pub(crate) fn times(what: &str, ours: Duration, ceiling: Duration, detail: &str) {
    let ratio = ours.as_secs_f64() / ceiling.as_secs_f64();
    line(what, &format!("{ours:.2?}"), &format!("{ceiling:.2?}"), ratio, detail);
}

/// Prints how much memory something costs.
pub(crate) fn bytes(what: &str, ours: usize, ceiling: Option<usize>, detail: &str) {
    let ratio = ceiling.map_or(f64::NAN, |ceiling| ours as f64 / ceiling as f64);
    let ceiling = ceiling.map(|ceiling| format!("{ceiling} B"));
    line(what, &format!("{ours} B"), &ceiling.unwrap_or_default(), ratio, detail);
}

fn line(what: &str, ours: &str, ceiling: &str, ratio: f64, detail: &str) {
    let ratio = if ratio.is_nan() { String::new() } else { format!("{ratio:.2}") };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    println!("| {what:<52} | {ours:>12} | {ceiling:>12} | {ratio:>5} | {detail:<48} | {load} |");
}

/// The median, and a sentence with it.
pub(crate) fn quantiles(mut times: Vec<Duration>) -> (Duration, String) {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    (at(50), format!("p50 {:.2?}, p99 {:.2?}", at(50), at(99)))
}
