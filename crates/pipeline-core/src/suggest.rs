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
        // Two letters in the wrong order, or one too many: in a short name they count for much.
        let slip = strsim::osa_distance(&wanted, &candidate) == 1 && wanted.chars().count() > 2;
        whole.max(tail).max(if slip { 0.9 } else { 0.0 })
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
    fn short_names_have_slips_too() {
        let known = ["url", "key", "at"];
        for (name, expected) in
            [("ulr", Some("url")), ("urls", Some("url")), ("kye", Some("key")), ("an", None)]
        {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }

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
