//! What is wrong with a file is said before anything runs.

use serde_json::{Value, json};

use super::CLASS;
use crate::fetch::testing::build_error;

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let url = "http://h.example/";
    let cases: Vec<(Value, &str)> = vec![
        (json!({}), "missing field `url` (or `urls`)"),
        (json!({"url": url, "urls": [url]}), "urls: give `url` or `urls`, not both"),
        (json!({"urls": []}), "urls: a list of URLs must not be empty"),
        (json!({"urls": [url, "page"]}), "urls[1]: `page` is not a whole URL"),
        (json!({"url": "http://h.example/{{ content.id }}"}), "url: templates need `for_each`"),
        (
            json!({"url": "http://h/{{ content.id", "for_each": true}),
            "url: `http://h/{{ content.id` is not a template",
        ),
        (json!({"url": url, "for_each": []}), "for_each: an empty list"),
        (json!({"url": url, "for_each": "company"}), "topics are given as a list: `[company]`"),
        (json!({"url": url, "keep": {"a": "."}}), "keep: `keep` needs `for_each`"),
        (json!({"url": url, "for_each": true, "keep": {"a": "["}}), "keep.a: "),
        (
            json!({"url": url, "for_each": true, "keep": {"status": "."}}),
            "keep.status: `status` is set by the stage",
        ),
        (json!({"url": url, "method": "A B"}), "method: `A B` is not a method"),
        (json!({"url": url, "headers": {"a b": "c"}}), "headers.a b: `a b` cannot be the name of a header"),
        (json!({"url": url, "headers": {"a": "c\nd"}}), "headers.a: the value holds characters"),
        (json!({"url": url, "json": {}, "body": ""}), "body: give `json` or `body`, not both"),
        (json!({"url": url, "json": {"jq": "."}, "body": null, "auth": {}}), "auth: give `basic"),
        (json!({"url": url, "json": {"jq": "]"}}), "json.jq: "),
        (json!({"url": url, "for_each": true, "json": {"a": ["{{ x"]}}), "json.a[0]: "),
        (json!({"url": url, "auth": {"bearer": "a\nb"}}), "auth.bearer: it holds characters"),
        (json!({"url": url, "rate_limit": "fast"}), "`fast` is not a rate"),
        (json!({"url": url, "next_page": "a["}), "next_page: `a[` is not a CSS selector"),
        (json!({"url": url, "follow": "a >"}), "follow: `a >` is not a CSS selector"),
        (
            json!({"url": url, "next_page": "a", "paginate": {"page_param": "p"}}),
            "give `next_page` or `paginate`",
        ),
        (json!({"url": url, "paginate": {}}), "paginate: give one of"),
        (json!({"url": url, "max_pages": 0}), "max_pages: must be at least 1"),
        (json!({"url": url, "concurrency": 0}), "concurrency: must be at least 1"),
        (json!({"url": url, "timeout": 0}), "timeout: no answer comes within no time"),
        (json!({"url": url, "max_body": "much"}), "`much` is not a size"),
        (json!({"url": url, "proxy": "nowhere"}), "proxy: not the URL of a proxy"),
        (
            json!({"url": url, "skip_unchanged": true, "conditional": false}),
            "skip_unchanged: without `conditional`",
        ),
        (
            json!({"url": url, "params": {"filter": {"a": 1}}}),
            "params.filter: a parameter is a text, a number, a boolean, null, or a list of them, not a map",
        ),
        (json!({"url": url, "params": {"f": [1, {"a": 1}]}}), "params.f[1]: a parameter is"),
        (
            json!({"url": url, "for_each": true, "params": {"f": [["{{ content.a }}"]]}}),
            "params.f[0]: a parameter is",
        ),
        (json!({"url": url, "timeuot": 5}), "timeuot"),
    ];
    for (kwargs, expected) in cases {
        let error = build_error(CLASS, kwargs.clone());
        assert!(error.contains(expected), "{kwargs}: {error}");
    }
    let error = build_error(CLASS, json!({"url": "x", "next_page": "[", "max_pages": 0}));
    assert_eq!(error.matches("; ").count(), 2, "all at once: {error}");
}
