//! "Did you mean": the nearest of the known names.

/// The known name that is nearest to `name`, where it is near enough to be a slip.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let score = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let whole = strsim::jaro_winkler(&wanted, &candidate);
        // `HtmlParser` means `html.HtmlParser`, and `http.HtmlParser` does too.
        let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
        let tail = if last(&wanted) == last(&candidate) { 0.95 } else { 0.0 };
        whole.max(tail)
    };
    known
        .into_iter()
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood() {
        let known = ["http.HttpFetcher", "html.HtmlParser", "file.FileFetcher", "diff.DiffParser"];
        let cases = [
            ("http.HttpFecher", Some("http.HttpFetcher")),
            ("HtmlParser", Some("html.HtmlParser")),
            ("http.HtmlParser", Some("html.HtmlParser")),
            ("xyz", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
