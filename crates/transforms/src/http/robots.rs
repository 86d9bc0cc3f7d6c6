//! `robots.txt` by RFC 9309.

use url::Url;

/// What is read of a `robots.txt`; the RFC asks for at least this much.
pub(crate) const MAX_SIZE: usize = 500 << 10;

/// The rules of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Robots {
    /// Nothing is forbidden: there is no file.
    AllowAll,
    /// Everything is forbidden, for this reason: whether there is a file is not known.
    DisallowAll(String),
    /// What the file says.
    Rules(Vec<Group>),
}

/// Rules for some user agents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    /// Product tokens in lower case; `*` is everybody.
    agents: Vec<String>,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    allow: bool,
    pattern: String,
}

impl Robots {
    /// Reads a file: whatever bytes they are, what looks like a rule is one.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let cut = bytes.len() > MAX_SIZE;
        let mut bytes = &bytes[..bytes.len().min(MAX_SIZE)];
        if cut {
            // Half a rule may say the opposite of the whole.
            let end = bytes.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(0);
            bytes = &bytes[..end];
        }
        let text = String::from_utf8_lossy(bytes);
        let mut groups: Vec<Group> = Vec::new();
        // Successive lines that name user agents share the rules that follow.
        let mut naming = false;
        for line in text.trim_start_matches('\u{feff}').split(['\n', '\r']) {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            match key.as_str() {
                "user-agent" => {
                    if !naming {
                        groups.push(Group::default());
                    }
                    naming = true;
                    if let Some(group) = groups.last_mut() {
                        group.agents.push(token_of_line(value));
                    }
                }
                "allow" | "disallow" => {
                    naming = false;
                    // A rule before any user agent belongs to nobody, and an empty path matches nothing.
                    if let Some(group) = groups.last_mut().filter(|_| !value.is_empty()) {
                        group.rules.push(Rule { allow: key == "allow", pattern: normalise(value) });
                    }
                }
                // Sitemaps and the like stand anywhere and belong to no group.
                _ => {}
            }
        }
        Self::Rules(groups)
    }

    /// Whether a client with this product token may fetch a URL.
    pub(crate) fn allows(&self, token: &str, url: &Url) -> bool {
        let groups = match self {
            Self::AllowAll => return true,
            Self::DisallowAll(_) => return url.path() == "/robots.txt",
            Self::Rules(groups) => groups,
        };
        let mut path = url.path().to_owned();
        if path == "/robots.txt" {
            return true;
        }
        if let Some(query) = url.query() {
            path.push('?');
            path.push_str(query);
        }
        let path = normalise(&path);
        let token = token.to_ascii_lowercase();
        let named = |group: &&Group| group.agents.contains(&token);
        let general = |group: &&Group| group.agents.iter().any(|agent| agent == "*");
        // All groups of the token are one; the general ones count only where it has none.
        let mut mine: Vec<&Group> = groups.iter().filter(named).collect();
        if mine.is_empty() {
            mine = groups.iter().filter(general).collect();
        }
        let rules = mine.iter().flat_map(|group| &group.rules);
        let matching = rules.filter(|rule| matches(&rule.pattern, &path));
        // The longest rule wins; of two equally long ones, the one that allows.
        matching.max_by_key(|rule| (rule.pattern.len(), rule.allow)).is_none_or(|rule| rule.allow)
    }
}

/// The product token of a `User-Agent` header: its first word, or the name behind `compatible;`.
pub(crate) fn product_token(user_agent: &str) -> String {
    let named = user_agent.split_once("compatible;").map(|(_, rest)| token_of_line(rest.trim_start()));
    named.filter(|token| !token.is_empty()).unwrap_or_else(|| token_of_line(user_agent))
}

/// The token at the start of a line; what follows (a version, a comment) does not count.
fn token_of_line(value: &str) -> String {
    if value.starts_with('*') {
        return "*".to_owned();
    }
    let token = value.chars().take_while(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_'));
    token.collect::<String>().to_ascii_lowercase()
}

/// One spelling for paths that mean the same: characters that need no encoding stand plain, all others
/// encoded with capital digits.
fn normalise(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut result = String::with_capacity(path.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let encoded = (byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .filter(|_| bytes[at + 1..at + 3].iter().all(u8::is_ascii_hexdigit));
        match encoded {
            Some(plain) if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => {
                result.push(char::from(plain));
                at += 3;
            }
            Some(kept) => {
                result.push_str(&format!("%{kept:02X}"));
                at += 3;
            }
            None if byte.is_ascii() => {
                result.push(char::from(byte));
                at += 1;
            }
            None => {
                result.push_str(&format!("%{byte:02X}"));
                at += 1;
            }
        }
    }
    result
}

/// Whether a pattern with `*` and a final `$` matches the start of a path. It takes time in proportion to the
/// product of their lengths at worst, whatever the pattern.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, anchored) = match pattern.strip_suffix('$') {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    let mut parts = pattern.split('*');
    // The first part has no star before it.
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let last = if anchored { parts.pop() } else { None };
    if anchored && last.is_none() {
        return rest.is_empty();
    }
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    last.is_none_or(|last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(robots: &str, token: &str, path: &str, allowed: bool) {
        let url: Url = format!("http://host.example{path}").parse().unwrap();
        let found = Robots::parse(robots.as_bytes()).allows(token, &url);
        assert_eq!(found, allowed, "{robots:?} for {token}: {path}");
    }

    /// Cases on which the RFC's examples and the parsers of the big crawlers agree.
    #[test]
    fn groups_are_found_as_crawlers_find_them() {
        let all = "user-agent: FooBot\ndisallow: /\n";
        let upper = "USER-AGENT: FOOBOT\nALLOW: /x/\nDISALLOW: /\n";
        let two = "allow: /foo/bar/\n\nuser-agent: FooBot\ndisallow: /\nallow: /x/\nuser-agent: BarBot\n\
                   disallow: /\nallow: /y/\n\n\nallow: /w/\nuser-agent: BazBot\n\nuser-agent: FooBot\n\
                   allow: /z/\ndisallow: /\n";
        let shared = "user-agent: a\nuser-agent: b\ndisallow: /x\nuser-agent: c\ndisallow: /y\n";
        let general = "user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /\n";
        let sitemap = "user-agent: a\nsitemap: http://host.example/s.xml\nuser-agent: b\ndisallow: /x\n";
        let cases = [
            ("", "foobot", "/x", true),
            (all, "foobot", "/x", false),
            (all, "FOOBOT", "/x", false),
            (all, "barbot", "/x", true),
            (all, "foo", "/x", true),
            (upper, "foobot", "/x/y", true),
            (upper, "foobot", "/a", false),
            ("user-agent: FooBot/1.2 (comment)\ndisallow: /", "foobot", "/x", false),
            ("user-agent: FooBot 1.2\ndisallow: /", "foobot", "/x", false),
            ("user-agent:FooBot\ndisallow:/", "foobot", "/x", false),
            ("  user-agent  :  FooBot  \r\n  disallow : / \r", "foobot", "/x", false),
            ("disallow: /\nuser-agent: other\ndisallow: /x", "foobot", "/x", true),
            (two, "foobot", "/x/b", true),
            (two, "foobot", "/z/d", true),
            (two, "foobot", "/y/c", false),
            (two, "barbot", "/y/c", true),
            (two, "barbot", "/w/a", true),
            (two, "barbot", "/z/d", false),
            (two, "bazbot", "/z/d", true),
            (two, "quxbot", "/foo/bar/", true),
            (shared, "a", "/x", false),
            (shared, "b", "/x", false),
            (shared, "c", "/x", true),
            (general, "foobot", "/x", false),
            (general, "barbot", "/x", true),
            (sitemap, "a", "/x", false),
            ("user-agent: *\ndisallow: /x", "anybody", "/x", false),
            ("user-agent: * baz\ndisallow: /x", "anybody", "/x", false),
            ("user-agent: *\ndisallow:\n", "anybody", "/x", true),
            ("user-agent: *\ndisallow # no colon: /x\n", "anybody", "/x", true),
            ("user-agent: *\ndisallow: /x # a comment\n", "anybody", "/x", false),
            ("\u{feff}user-agent: *\ndisallow: /x\n", "anybody", "/x", false),
            ("<html>an error page: with colons</html>", "anybody", "/x", true),
        ];
        for (robots, token, path, allowed) in cases {
            check(robots, token, path, allowed);
        }
    }

    #[test]
    fn rules_match_as_the_rfc_says() {
        let rule = |pattern: &str| format!("user-agent: *\ndisallow: {pattern}\n");
        let cases = [
            ("/", "/anything", true),
            ("/fish", "/fish", true),
            ("/fish", "/fish.html", true),
            ("/fish", "/fish/salmon.html", true),
            ("/fish", "/fish.php?id=anything", true),
            ("/fish", "/Fish.asp", false),
            ("/fish", "/catfish", false),
            ("/fish*", "/fishheads/yummy.html", true),
            ("/fish*", "/?id=fish", false),
            ("/fish/", "/fish/", true),
            ("/fish/", "/fish", false),
            ("/*.php", "/folder/filename.php?parameters", true),
            ("/*.php", "/", false),
            ("/*.php", "/windows.PHP", false),
            ("/*.php$", "/folder/filename.php", true),
            ("/*.php$", "/filename.php?parameters", false),
            ("/*.php$", "/filename.php/", false),
            ("/fish*.php", "/fishheads/catfish.php?x", true),
            ("/fish*.php", "/Fish.PHP", false),
            ("/a$", "/a", true),
            ("/a$", "/ab", false),
            ("/$", "/", true),
            ("/$", "/a", false),
            ("/a*$", "/abc", true),
            ("/a*b*c$", "/a-b-b-c", true),
            ("/a*b*c$", "/a-c-b", false),
            ("/a$b", "/a$b", true),
            ("/a$b", "/a", false),
            ("*", "/x", true),
            ("*/x", "/a/x", true),
            ("x", "/x", false),
            ("/a?b=*&c", "/a?b=1&c", true),
            ("/foo/bar?baz=http://foo.bar", "/foo/bar?baz=http://foo.bar", true),
            ("/foo/bar/ツ", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/%E3%83%84", "/foo/bar/ツ", true),
            ("/foo/bar/%e3%83%84", "/foo/bar/ツ", true),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz", true),
            ("/foo/bar/baz", "/foo/bar/%62%61%7a", true),
            ("/a%2Fb", "/a/b", false),
            ("/a%3cd.html", "/a%3Cd.html", true),
            ("/100%", "/100%", true),
        ];
        for (pattern, path, matched) in cases {
            check(&rule(pattern), "anybody", path, !matched);
        }
    }

    #[test]
    fn the_longest_rule_wins_and_a_tie_allows() {
        let cases = [
            ("disallow: /\nallow: /p", "/page", true),
            ("allow: /p\ndisallow: /", "/page", true),
            ("allow: /folder\ndisallow: /folder", "/folder/page", true),
            ("disallow: /folder\nallow: /folder", "/folder/page", true),
            ("allow: /page\ndisallow: /*.htm", "/page.htm", false),
            ("allow: /page\ndisallow: /*.ph", "/page.php5", true),
            ("allow: /$\ndisallow: /", "/", true),
            ("allow: /$\ndisallow: /", "/page.htm", false),
            ("allow: /x/page.html\ndisallow: /x/", "/x/page.html", true),
            ("allow: /x/page.\ndisallow: /*.html", "/x/page.html", true),
            ("disallow: /x/page.html\nallow: /x/", "/x/page.html", false),
            ("disallow: /\n", "/robots.txt", true),
        ];
        for (rules, path, allowed) in cases {
            check(&format!("user-agent: *\n{rules}\n"), "anybody", path, allowed);
        }
    }

    #[test]
    fn without_a_file_all_or_nothing_is_allowed() {
        let url: Url = "http://host.example/x".parse().unwrap();
        assert!(Robots::AllowAll.allows("a", &url));
        assert!(!Robots::DisallowAll("unreachable".into()).allows("a", &url));
    }

    #[test]
    fn what_is_beyond_the_limit_does_not_count() {
        let mut text = "user-agent: *\ndisallow: /early\n".to_owned();
        text.push_str(&"#".repeat(MAX_SIZE - text.len() - 12));
        text.push_str("\nallow: /early/but-cut-here");
        check(&text, "anybody", "/early/x", false);
        text.push_str("\ndisallow: /late\n");
        check(&text, "anybody", "/late", true);
        check(&text, "anybody", "/early/b", false);
    }

    #[test]
    fn a_user_agent_has_a_token() {
        let cases = [
            ("scraper-scheduler/0.1.0", "scraper-scheduler"),
            ("MyBot", "mybot"),
            ("My_Bot/2 (+http://x)", "my_bot"),
            ("Mozilla/5.0 (compatible; MyBot/1.0; +http://x)", "mybot"),
            ("Mozilla/5.0 (X11; Linux x86_64)", "mozilla"),
            ("", ""),
        ];
        for (user_agent, expected) in cases {
            assert_eq!(product_token(user_agent), expected, "{user_agent}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), path in "/[ -~é]*") {
            let Ok(url) = format!("http://host.example{path}").parse() else { return Ok(()) };
            Robots::parse(&bytes).allows("bot", &url);
        }

        /// The pattern matcher agrees with a regular expression.
        #[test]
        fn patterns_mean_what_a_regex_means(pattern in "/[ab*]{0,8}\\$?", path in "/[ab]{0,10}") {
            let (body, end) = pattern.strip_suffix('$').map_or((&*pattern, ""), |body| (body, "$"));
            let regex = body.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
            let expected = regex::Regex::new(&format!("^{regex}{end}")).unwrap().is_match(&path);
            proptest::prop_assert_eq!(matches(&pattern, &path), expected);
        }
    }
}
