//! `explain CRON`

use schedule::{Cron, Dst, Gap, Overlap, Schedule};

use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// What to explain.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The expression: minute hour day-of-month month day-of-week, in quotes
    #[arg(value_name = "CRON", num_args = 1..)]
    cron: Vec<String>,
    /// How many next fires to show
    #[arg(long, default_value_t = 5, value_name = "N")]
    count: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    // An expression without quotes comes as five words.
    let cron = Cron::parse(&args.cron.join(" ")).map_err(Failure::usage)?;
    let schedule = Schedule::cron(cron, settings.timezone);
    let explanation = schedule::explain(&schedule, settings.clock().now(), args.count);
    if args.json {
        return output::json(&explanation);
    }
    output::line(format!("{} ({})", explanation.description, explanation.timezone))?;
    if let Some(dst) = explanation.dst {
        output::line(format!("When clocks change: {}", describe(dst)))?;
    }
    output::line("Next fires:")?;
    for fire in &explanation.fires {
        output::line(format!("  {}", fire.local))?;
    }
    for warning in &explanation.warnings {
        output::line(format!("Warning: {}", warning.message))?;
    }
    for reading in &explanation.other_readings {
        output::line(format!("Note: {} reads it as: {}", reading.scheduler, reading.meaning))?;
    }
    Ok(())
}

fn describe(dst: Dst) -> String {
    let gap = match dst.gap {
        Gap::RunAfter => "a time that is left out fires right after the gap",
        Gap::Skip => "a time that is left out does not fire",
    };
    let overlap = match dst.overlap {
        Overlap::First => "one that occurs twice fires the first time",
        Overlap::Second => "one that occurs twice fires the second time",
        Overlap::Both => "one that occurs twice fires both times",
    };
    format!("{gap}, {overlap}")
}
