//! The numbers of the engine in Prometheus' text format.

use std::fmt::Write;

use engine::metrics::{DURATION_BUCKETS, Histogram, LATENESS_BUCKETS, Numbers, PipelineNumbers};
use engine::{Stage, Status};
use jobstore::QueueCounts;

/// Writes all numbers.
pub(crate) fn render(numbers: &Numbers, counts: Option<QueueCounts>, status: Status) -> String {
    let mut text = Exposition::default();
    process(&mut text, numbers, status);
    if let Some(counts) = counts {
        queue(&mut text, counts);
    }
    pipelines(&mut text, numbers);
    stages(&mut text, numbers);
    text.0
}

fn process(text: &mut Exposition, numbers: &Numbers, status: Status) {
    let gauge = "gauge";
    let counter = "counter";
    text.family("scraper_build_info", gauge, "The version of the program.");
    text.value("scraper_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let up = f64::from(u8::from(status.stage == Stage::Running && !status.store_away));
    text.single("scraper_ready", gauge, "Whether the scheduler starts what is due.", up);
    let away = f64::from(u8::from(status.store_away));
    text.single("scraper_store_away", gauge, "Whether the job store cannot be reached.", away);
    let quiet = status.quiet_for.as_secs_f64();
    text.single("scraper_loop_quiet_seconds", gauge, "Time since the loop last went round.", quiet);
    text.single("scraper_slots", gauge, "Runs that may be made at a time.", numbers.slots as f64);
    text.single("scraper_slots_used", gauge, "Runs that are being made.", numbers.slots_used as f64);
    if let Some(age) = numbers.lease_age {
        text.single("scraper_lease_age_seconds", gauge, "Time since the leases were last renewed.", age);
    }
    text.single("scraper_turns_total", counter, "Turns of the loop.", numbers.turns as f64);
    text.family("scraper_turn_duration_seconds", "histogram", "How long turns of the loop took.");
    text.histogram("scraper_turn_duration_seconds", &[], &DURATION_BUCKETS, &numbers.turn_duration);
    text.single(
        "scraper_rescued_runs_total",
        counter,
        "Runs whose holder was gone, found by this process.",
        numbers.rescued as f64,
    );
    text.single(
        "scraper_lost_leases_total",
        counter,
        "Attempts whose run another scheduler had taken over.",
        numbers.leases_lost as f64,
    );
    text.single(
        "scraper_store_outages_total",
        counter,
        "How often the store went away.",
        numbers.outages as f64,
    );
}

fn queue(text: &mut Exposition, counts: QueueCounts) {
    text.family("scraper_queue_runs", "gauge", "Runs of the namespace, on all schedulers.");
    for (state, count) in [("ready", counts.ready), ("waiting", counts.waiting), ("running", counts.running)]
    {
        text.value("scraper_queue_runs", &[("state", state)], count as f64);
    }
    text.family("scraper_outbox_messages", "gauge", "Messages in the outbox.");
    for (state, count) in [("waiting", counts.messages_waiting), ("dead", counts.messages_dead)] {
        text.value("scraper_outbox_messages", &[("state", state)], count as f64);
    }
}

fn pipelines(text: &mut Exposition, numbers: &Numbers) {
    let mut each = |name: &str, kind: &str, help: &str, value: &dyn Fn(&PipelineNumbers) -> Option<f64>| {
        text.family(name, kind, help);
        for (pipeline, numbers) in &numbers.pipelines {
            if let Some(value) = value(numbers) {
                text.value(name, &[("pipeline", pipeline)], value);
            }
        }
    };
    each("scraper_fires_total", "counter", "Fires recorded as runs.", &|p| Some(p.fires as f64));
    each("scraper_retries_total", "counter", "Attempts that another one followed.", &|p| {
        Some(p.retries as f64)
    });
    each("scraper_running_attempts", "gauge", "Attempts in progress.", &|p| Some(p.running as f64));
    each(
        "scraper_last_success_timestamp_seconds",
        "gauge",
        "When a run of the pipeline last succeeded.",
        &|p| p.last_success.map(|at| at.timestamp_millis() as f64 / 1_000.0),
    );
    text.family("scraper_runs_total", "counter", "Runs by outcome; missed and skipped fires included.");
    for (pipeline, numbers) in &numbers.pipelines {
        for (outcome, count) in &numbers.outcomes {
            text.value("scraper_runs_total", &[("pipeline", pipeline), ("outcome", outcome)], *count as f64);
        }
    }
    type Pick = fn(&PipelineNumbers) -> &Histogram;
    let histograms: [(&str, &str, &[f64; 12], Pick); 2] = [
        (
            "scraper_run_lateness_seconds",
            "How late runs started after they were due; those that catch up are left out.",
            &LATENESS_BUCKETS,
            |numbers| &numbers.lateness,
        ),
        (
            "scraper_run_duration_seconds",
            "How long the last attempts of runs took.",
            &DURATION_BUCKETS,
            |numbers| &numbers.duration,
        ),
    ];
    for (name, help, bounds, pick) in histograms {
        text.family(name, "histogram", help);
        for (pipeline, numbers) in &numbers.pipelines {
            text.histogram(name, &[("pipeline", pipeline)], bounds, pick(numbers));
        }
    }
}

fn stages(text: &mut Exposition, numbers: &Numbers) {
    type Pick = fn(&engine::metrics::StageNumbers) -> u64;
    let families: [(&str, &str, Pick); 3] = [
        ("scraper_stage_items_in_total", "Items that stages took.", |stage| stage.items_in),
        ("scraper_stage_items_out_total", "Items that stages gave.", |stage| stage.items_out),
        ("scraper_stage_errors_total", "Items that failed in stages.", |stage| stage.errors),
    ];
    for (name, help, pick) in families {
        text.family(name, "counter", help);
        for (pipeline, numbers) in &numbers.pipelines {
            for (stage, counts) in &numbers.stages {
                text.value(name, &[("pipeline", pipeline), ("stage", stage)], pick(counts) as f64);
            }
        }
    }
}

#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            self.push(format_args!("{open}{label}=\"{}\"", escaped(text)));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.push(format_args!(" {value}\n"));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], bounds: &[f64; 12], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let mut sum = 0;
        let ends = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (count, end) in histogram.counts.iter().zip(ends) {
            sum += count;
            let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", end.as_str())]).collect();
            self.value(&bucket, &labels, sum as f64);
        }
        self.value(&format!("{name}_sum"), labels, histogram.sum);
        self.value(&format!("{name}_count"), labels, sum as f64);
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _written = self.0.write_fmt(text);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_are_written_as_prometheus_reads_them() {
        let mut numbers = Numbers { slots: 16, ..Numbers::default() };
        let pipeline = numbers.pipelines.entry("a \"b\"".into()).or_default();
        pipeline.fires = 3;
        pipeline.outcomes.insert("succeeded", 2);
        pipeline.lateness.counts[0] = 1;
        pipeline.lateness.counts[12] = 1;
        pipeline.lateness.sum = 400.5;
        let status = Status { stage: Stage::Running, store_away: false, quiet_for: Duration::ZERO };
        let text = render(&numbers, Some(QueueCounts { ready: 7, ..QueueCounts::default() }), status);
        for line in [
            "# TYPE scraper_slots gauge",
            "scraper_slots 16",
            "scraper_queue_runs{state=\"ready\"} 7",
            "scraper_fires_total{pipeline=\"a \\\"b\\\"\"} 3",
            "scraper_runs_total{pipeline=\"a \\\"b\\\"\",outcome=\"succeeded\"} 2",
            "scraper_run_lateness_seconds_bucket{pipeline=\"a \\\"b\\\"\",le=\"0.001\"} 1",
            "scraper_run_lateness_seconds_bucket{pipeline=\"a \\\"b\\\"\",le=\"+Inf\"} 2",
            "scraper_run_lateness_seconds_sum{pipeline=\"a \\\"b\\\"\"} 400.5",
            "scraper_run_lateness_seconds_count{pipeline=\"a \\\"b\\\"\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
