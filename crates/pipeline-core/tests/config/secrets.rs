//! No secret of a file gets out.

use pipeline_core::{REDACTED, Redactor};

use crate::support::{read_with, with_kwargs};

#[test]
fn secrets_are_learned() {
    let cases = [
        ("{url: 'http://h/${API_KEY}'}", "k3y-of-gold"),
        ("{url: 'http://h/', auth: {bearer: plain-bearer}}", "plain-bearer"),
        ("{url: 'http://h/', auth: {basic: {username: me, password: plain-password}}}", "plain-password"),
        ("{url: 'http://me:url-password@h/'}", "url-password"),
        ("{url: 'http://h/', headers: {Authorization: Bearer header-token}}", "header-token"),
        ("{url: 'http://h/', headers: {cookie: sid=cookie-value}}", "sid=cookie-value"),
        ("{url: 'http://h/', headers: {X-Auth-Token: token-value}}", "token-value"),
    ];
    for (kwargs, secret) in cases {
        let redactor = Redactor::new();
        read_with(&with_kwargs(kwargs), &redactor).unwrap();
        let text = format!("it is {secret}, really");
        assert!(!redactor.redact(&text).contains(secret), "{kwargs}");
    }
}

#[test]
fn what_is_no_secret_stays_readable() {
    let kwargs = "{url: 'http://h/', headers: {Accept: text/html, Referer: 'https://shop.example/'}}";
    let redactor = Redactor::new();
    let file = read_with(&with_kwargs(kwargs), &redactor).unwrap();
    assert!(file.warnings.is_empty(), "{:?}", file.warnings);
    let text = "https://shop.example/ is no text/html";
    assert_eq!(redactor.redact(text), text);
}

#[test]
fn problems_do_not_quote_secrets() {
    let cases = [
        "{url: '${API_KEY}'}",
        "{url: 'http:', max_pages: '${API_KEY}'}",
        "{url: 'http:', format: '${API_KEY}'}",
        "{url: 'http:', timeout: '${API_KEY}'}",
        "{url: k3y-of-gold, auth: {bearer: k3y-of-gold}}",
        "{url: 'http:', auth: {bearer: k3y-of-gold}, '${API_KEY}': 1, k3y-of-gold: 1}",
    ];
    for kwargs in cases {
        let error = read_with(&with_kwargs(kwargs), &Redactor::new()).expect_err(kwargs).to_string();
        assert!(!error.contains("k3y-of-gold"), "{error}");
        assert!(error.contains(REDACTED), "{error}");
    }
}
