//! Web addresses, as far as a file can be checked for them.

/// Whether a text is an address that can be asked.
pub(super) fn check_http_url(url: &str) -> Result<(), String> {
    let lower = url.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match host {
        Some(host) if !host.is_empty() && !url.contains(char::is_whitespace) => Ok(()),
        _ => Err(format!("`{url}` is no web address: it begins with `https://` or `http://` and a host")),
    }
}

#[cfg(test)]
mod tests {
    use super::check_http_url;

    #[test]
    fn addresses_have_a_scheme_and_a_host() {
        for url in ["https://example.org", "http://127.0.0.1:8000/x?y#z", "HTTPS://h"] {
            assert_eq!(check_http_url(url), Ok(()), "{url}");
        }
        for url in ["example.org", "ftp://example.org", "https://", "http:///x", "http://a b/", "x"] {
            assert!(check_http_url(url).is_err(), "{url}");
        }
    }
}
