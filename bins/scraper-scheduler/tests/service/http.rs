//! `/healthz`, `/readyz`, `/metrics`.

use crate::world::{free_port, get, program, shell, until};

#[test]
fn it_tells_how_it_is() {
    let port = free_port();
    let program = program(&[shell("fast", "interval: 1s", "echo {}", "")])
        .variable("SCHEDULER_HTTP_ADDR", format!("127.0.0.1:{port}"));
    let running = program.start(&[]);
    until("it is ready", || get(port, "/readyz").filter(|(status, _)| *status == 200));
    assert_eq!(get(port, "/healthz").unwrap().0, 200);
    assert_eq!(get(port, "/elsewhere").unwrap().0, 404);
    let succeeded = "scraper_runs_total{pipeline=\"fast\",outcome=\"succeeded\"} ";
    let text = until("a run has succeeded", || {
        let (_, text) = get(port, "/metrics")?;
        text.contains(succeeded).then_some(text)
    });
    for part in [
        "# TYPE scraper_fires_total counter",
        "scraper_fires_total{pipeline=\"fast\"} ",
        "scraper_run_lateness_seconds_bucket{pipeline=\"fast\",le=\"+Inf\"} ",
        "scraper_run_duration_seconds_count{pipeline=\"fast\"} ",
        "scraper_slots 16\n",
        "scraper_queue_runs{state=\"ready\"} ",
        "scraper_stage_items_out_total{pipeline=\"fast\",stage=\"1 exec.CommandFetcher\"} ",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    program.run(&["health"]).expect(0);
    running.signal("TERM");
    running.finish().expect(0);
    program.run(&["health"]).expect(1);
}
