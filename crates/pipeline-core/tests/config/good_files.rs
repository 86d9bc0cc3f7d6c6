//! Files that are right, and what is read from them.

use std::time::Duration;

use pipeline_core::config::{Loader, OnCrash, Overlap, TimeoutPolicy};
use pipeline_core::{OnError, Registry, Services};

use crate::support::{read, registry, with_keys, with_kwargs};

#[test]
fn all_keys_of_a_pipeline() {
    let file = read(
        r##"
defaults:
  timezone: Europe/Stockholm
  timeout: 1h
  retry: {max_attempts: 3, backoff: 30s, max_backoff: 10m}
  on_failure: {discord_channel_id: 123}
pipelines:
  books:
    description: Prices of the demo shop
    enabled: yes
    schedule: {cron: "*/30 9-17 * * 1-5", misfire: {catch_up: latest}}
    overlap: allow
    max_instances: 2
    retry: {max_attempts: 5, on_crash: abandon}
    timeout: none
    limit_group: {name: shop, max: 2}
    on_failure: {webhook_url: "${HOST}/alert"}
    heartbeat_url: "${EMPTY}"
    extra: {owner: "${NOT_SET} stays"}
    discord_commands: books.Commands
    chain:
      - class: http.HttpFetcher
        kwargs: {url: "${HOST:-http://127.0.0.1}/page-1.html"}
      - {class: print.PrintSink, on_error: skip, kwargs: }
  later:
    after: [books]
    chain: [{class: console.ConsoleSink, kwargs: {}}, {class: console.ConsoleSink, kwargs: null}]
"##,
    )
    .unwrap();
    let books = file.get("books").unwrap();
    assert_eq!(books.description.as_deref(), Some("Prices of the demo shop"));
    assert!(books.enabled);
    let schedule = &books.schedule.as_ref().unwrap().0;
    assert_eq!(schedule.get("timezone").unwrap().as_text(), Some("Europe/Stockholm"));
    assert_eq!(schedule.get("cron").unwrap().as_text(), Some("*/30 9-17 * * 1-5"));
    assert_eq!((books.overlap, books.max_instances.get()), (Overlap::Allow, 2));
    assert_eq!(books.retry.max_attempts.get(), 5);
    assert_eq!(books.retry.on_crash, OnCrash::Abandon);
    assert_eq!(books.retry.max_backoff.0, Duration::from_secs(600), "inherited key by key");
    assert_eq!(books.timeout, TimeoutPolicy::Never);
    assert_eq!(books.limit_group.as_ref().unwrap().name, "shop");
    assert_eq!(books.on_failure.discord_channel_id, Some(123), "inherited key by key");
    assert_eq!(books.on_failure.webhook_url.as_deref(), Some("http://shop.example/alert"));
    assert_eq!(books.heartbeat_url, None, "empty is off");
    assert_eq!(books.extra.as_ref().unwrap().get("owner").unwrap().as_text(), Some("${NOT_SET} stays"));
    assert_eq!(books.chain.len(), 2);
    assert_eq!(books.chain[0].kwargs.get("url").unwrap().as_text(), Some("http://shop.example/page-1.html"));
    assert_eq!(books.chain[1].on_error, OnError::Skip);
    let later = file.get("later").unwrap();
    assert_eq!(later.after, ["books"]);
    assert_eq!(later.timeout, TimeoutPolicy::After(Duration::from_secs(3600)));
    assert_eq!(
        (later.overlap, later.max_instances.get(), later.retry.max_attempts.get()),
        (Overlap::Skip, 3, 3)
    );
    assert_eq!(file.suggest("boks"), Some("books"));
    for pipeline in &file.pipelines {
        pipeline.build_chain(&registry(), &Services::default()).unwrap();
    }
}

#[test]
fn a_list_with_names_is_a_map_too() {
    let file = read("pipelines:\n  - name: b\n    chain: [{class: console.ConsoleSink}]\n  - {name: a, chain: [{class: console.ConsoleSink}]}\n").unwrap();
    let names: Vec<&str> = file.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(names, ["b", "a"], "in the order of the file");
}

#[test]
fn anchors_and_merge_keys() {
    let file = read(
        "x-common: &common\n  timeout: 5s\n  overlap: queue\nx-more: &more {overlap: skip, max_instances: 7}\npipelines:\n  \
         a:\n    <<: *common\n    overlap: replace\n    chain: &chain [{class: console.ConsoleSink}]\n  \
         b:\n    <<: [*common, *more]\n    chain: *chain\n",
    )
    .unwrap();
    let (a, b) = (file.get("a").unwrap(), file.get("b").unwrap());
    assert_eq!((a.overlap, a.timeout), (Overlap::Replace, TimeoutPolicy::After(Duration::from_secs(5))));
    assert_eq!((b.overlap, b.max_instances.get()), (Overlap::Queue, 7), "the earlier map wins");
}

#[test]
fn variables_become_what_their_place_asks_for() {
    let kwargs = "{url: '${HOST}', max_pages: '${PAGES}', robots: '${YES}', timeout: '${SECONDS}', ratio: '${RATIO}', \
                  format: '${NONE:-lines}', headers: {X: '${PAGES}', Y: '${YES}'}, json: {n: '${PAGES}'}}";
    let file = read(&with_kwargs(kwargs)).unwrap();
    let kwargs: crate::support::FetchKwargs =
        pipeline_core::config::decode(&file.pipelines[0].chain[0].kwargs).unwrap();
    assert_eq!((kwargs.max_pages, kwargs.robots, kwargs.ratio), (Some(12), true, Some(0.25)));
    assert_eq!(kwargs.timeout.unwrap().0, Duration::from_secs(90));
    assert_eq!((kwargs.headers["X"].as_str(), kwargs.headers["Y"].as_str()), ("12", "yes"));
    assert!(matches!(kwargs.format, crate::support::Format::Lines));
    assert_eq!(kwargs.json.unwrap(), serde_json::json!({"n": "12"}));
}

#[test]
fn texts_stay_what_they_are() {
    let kwargs = "{url: 'http:', headers: {a: 007, b: no, c: 'true', d: 1_000, e: 2026-01-01, f: '$${HOST}', g: ~x, \
                  h: 1.10, i: 0x1f, j: True, k: 5}}";
    let file = read(&with_kwargs(kwargs)).unwrap();
    let kwargs: crate::support::FetchKwargs =
        pipeline_core::config::decode(&file.pipelines[0].chain[0].kwargs).unwrap();
    let values: Vec<&str> = kwargs.headers.values().map(String::as_str).collect();
    assert_eq!(
        values,
        ["007", "no", "true", "1_000", "2026-01-01", "${HOST}", "~x", "1.10", "0x1f", "True", "5"]
    );
}

#[test]
fn booleans_as_yaml_had_them() {
    for (text, expected) in
        [("yes", true), ("Off", false), ("NO", false), ("on", true), ("true", true), ("False", false)]
    {
        let file = read(&with_keys(&format!("enabled: {text}"))).unwrap();
        assert_eq!(file.pipelines[0].enabled, expected, "{text}");
    }
}

#[test]
fn what_is_suspect_is_said() {
    let cases = [
        (
            "timeout: none",
            "p.yml:3:14: pipelines.a.timeout: without a timeout a run that hangs is never ended",
        ),
        (
            "max_instances: 4",
            "p.yml:3:5: pipelines.a.max_instances: `max_instances` has an effect with `overlap: allow` only",
        ),
        (
            "retry: {backoff: 1h}",
            "p.yml:3:12: pipelines.a.retry: `backoff` (1h) is longer than `max_backoff` (10m), which wins",
        ),
        (
            "discord_commands: x.Y",
            "p.yml:3:5: pipelines.a.discord_commands: `discord_commands` has no effect here",
        ),
    ];
    for (keys, expected) in cases {
        let file = read(&with_keys(keys)).unwrap();
        let warnings: Vec<String> = file.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [expected], "{keys}");
    }
    let file = read(&with_kwargs("{url: 'http:', max_pages: 0, auth: {bearer: abcdefg}}")).unwrap();
    let warnings: Vec<String> = file.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "p.yml:5:43: pipelines.a.chain[0].kwargs.max_pages: no page is fetched at all",
            "p.yml:5:61: pipelines.a.chain[0].kwargs.auth.bearer: a secret stands here in plain text: put it into a variable and write `${NAME}`",
        ]
    );
    let file = read("pipelines:\n  a: {enabled: false, chain: [{class: console.ConsoleSink}]}\n  b: {after: [a, a], chain: [{class: console.ConsoleSink}]}\n").unwrap();
    let warnings: Vec<String> = file.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "p.yml:3:7: pipelines.b.after: `a` is disabled, so that this pipeline never runs",
            "p.yml:3:7: pipelines.b.after: `a` is disabled, so that this pipeline never runs",
            "p.yml:3:7: pipelines.b.after: `a` stands here twice",
        ][1..]
    );
}

#[test]
fn pipelines_come_behind_those_that_they_wait_for() {
    let sink = "chain: [{class: console.ConsoleSink}]";
    let file = read(&format!(
        "pipelines:\n  d: {{after: [b, c], {sink}}}\n  c: {{after: [a], {sink}}}\n  b: {{after: [a], {sink}}}\n  a: {{{sink}}}\n"
    ))
    .unwrap();
    let order: Vec<&str> = file.in_order().iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(order, ["a", "b", "c", "d"]);
}

#[test]
fn the_canonical_text_changes_with_the_meaning_only() {
    let fingerprint = |keys: &str| read(&with_keys(keys)).unwrap().pipelines[0].fingerprint();
    let one = fingerprint("timeout: 5s\noverlap: queue");
    assert_eq!(one, fingerprint("# a remark\noverlap: 'queue'\ntimeout:   5s"));
    assert_ne!(one, fingerprint("timeout: 6s\noverlap: queue"));
    let file = read(&with_kwargs("{url: 'http:', auth: {bearer: '${API_KEY}'}}")).unwrap();
    assert!(!file.pipelines[0].canonical.contains("k3y"), "{}", file.pipelines[0].canonical);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = "\u{feff}pipelines:\r\n  a:\r\n    chain:\r\n      - class: console.ConsoleSink\r\n";
    assert_eq!(read(text).unwrap().pipelines.len(), 1);
}

#[test]
fn files_are_read_from_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipelines.yml");
    let registry: Registry = registry();
    let loader = Loader::new(&registry);
    let error = loader.read(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: cannot be read: No such file", path.display())), "{error}");
    let error = loader.read(folder.path()).unwrap_err().to_string();
    assert_eq!(error, format!("{}: cannot be read: it is a folder", folder.path().display()));
    std::fs::write(&path, with_keys("enabled: true")).unwrap();
    assert_eq!(loader.read(&path).unwrap().pipelines.len(), 1);
}
