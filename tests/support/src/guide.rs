//! Guides in Markdown as tests: what a reader would type is typed, and what is shown must come out.
//!
//! A fenced block whose info string names a file (```` ```yaml pipelines.yml ````) is written to that file. In a
//! `console` block lines that begin with `$ ` are commands, and what follows is what they say on both outputs; `…`
//! stands for anything. Times with fractions of a second, spans of time, ids and the widths of columns are not compared.

use std::path::Path;

use regex::Regex;

use crate::process::Program;

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The language: the first word of the info string.
    pub language: String,
    /// The file that it is the content of: the second word, or nothing.
    pub file: String,
    /// Its text, each line with its end.
    pub text: String,
    /// The heading above it.
    pub section: String,
    /// The line of the document at which it begins.
    pub line: usize,
}

/// The fenced blocks of a document, in order.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let (mut found, mut section, mut open) = (Vec::new(), String::new(), None::<(String, Block)>);
    for (text, number) in markdown.lines().zip(1..) {
        match &mut open {
            Some((fence, block)) => {
                if text.trim_end() == fence {
                    found.extend(open.take().map(|(_, block)| block));
                } else {
                    block.text.push_str(text);
                    block.text.push('\n');
                }
            }
            None if text.starts_with("```") => {
                let info = text.trim_start_matches('`');
                let mut words = info.split_whitespace().map(str::to_owned);
                let block = Block {
                    language: words.next().unwrap_or_default(),
                    file: words.next().unwrap_or_default(),
                    text: String::new(),
                    section: section.clone(),
                    line: number,
                };
                open = Some((text[..text.len() - info.len()].to_owned(), block));
            }
            None if text.starts_with('#') => section = text.trim_start_matches('#').trim().to_owned(),
            None => {}
        }
    }
    found
}

/// A command and what it is to say.
struct Step<'a> {
    line: usize,
    command: &'a str,
    expected: String,
}

/// Does what these blocks say, in a fresh folder, with the programs beside `program` and these variables. Blocks with a
/// command of one of the programs in `absent` are left out: they are the matter of another test.
///
/// # Panics
/// Where something else is said than is shown.
pub fn follow(blocks: &[Block], program: &str, variables: &[(&str, &str)], absent: &[&str]) {
    let mut script = String::from("exec 2>&1\nstatus=0\n");
    let mut steps = Vec::new();
    for block in blocks {
        if !block.file.is_empty() {
            // Nothing in the text is special between these marks.
            script.push_str(&format!("cat > '{}' <<'END-OF-FILE'\n{}END-OF-FILE\n", block.file, block.text));
        } else if block.language == "console" {
            let of_block = steps_of(block);
            let is_absent = |step: &Step<'_>| absent.iter().any(|name| step.command.contains(name));
            if of_block.iter().any(is_absent) {
                continue;
            }
            for step in of_block {
                let command = step.command;
                script.push_str(&format!("printf '\\001'\n(exit $status)\n{command}\nstatus=$?\n"));
                steps.push(step);
            }
        }
    }
    let folder = Path::new(program).parent().unwrap_or(Path::new("."));
    let path = std::env::var("PATH").unwrap_or_default();
    let shell = Program::new("/bin/sh")
        .file(".guide.sh", &script)
        .variable("PATH", format!("{}:{path}", folder.display()))
        .variable("TZ", "UTC");
    let shell = variables.iter().fold(shell, |shell, (name, value)| shell.variable(name, *value));
    let said = shell.run(&[".guide.sh"]).stdout;
    for (step, said) in steps.iter().zip(said.split('\u{1}').skip(1)) {
        let (expected, said) = (step.expected.trim_end(), said.trim_end());
        assert!(
            agrees(expected, said),
            "line {}: $ {}\nshown:\n{expected}\nsaid:\n{said}",
            step.line,
            step.command
        );
    }
    assert_eq!(said.matches('\u{1}').count(), steps.len(), "the shell stopped:\n{said}");
}

fn steps_of(block: &Block) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (text, number) in block.text.lines().zip(block.line + 1..) {
        match (text.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { line: number, command, expected: String::new() }),
            (None, Some(step)) => {
                step.expected.push_str(text);
                step.expected.push('\n');
            }
            (None, None) => panic!("line {number}: an output without a command: {text}"),
        }
    }
    steps
}

/// Whether what was said is what is shown.
fn agrees(shown: &str, said: &str) -> bool {
    let (shown, said) = (without_accidents(shown), without_accidents(said));
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| said.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The text with one word for all times, spans of time and ids, and no columns of blanks after them.
fn without_accidents(text: &str) -> String {
    const ACCIDENTS: [(&str, &str); 5] = [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "<time>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
        (r"\b(\d+s)?\d+(\.\d+)?m?s\b", "<span>"),
        (r"(<time>|<span>|<id>) +", "$1 "),
        // How wide a column is depends on what stands in it.
        (r"(\S) {2,}", "$1  "),
    ];
    ACCIDENTS.iter().fold(text.to_owned(), |text, (pattern, word)| {
        let pattern = Regex::new(pattern).expect("the pattern is right");
        pattern.replace_all(&text, *word).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_may_leave_things_out() {
        for (shown, said, expected) in [
            ("a", "a", true),
            ("a", "a b", false),
            ("…", "", true),
            ("a … c", "a b c", true),
            ("a … c", "a b", false),
            ("a\n…\nz", "a\nb\nc\nz", true),
            ("… b", "a b c", false),
            ("took 0.03s", "took 1.25s", true),
            ("took 22ms, ok", "took 1s5ms, ok", true),
            ("at 2026-11-24T18:27:30.173841Z", "at 2026-11-25T00:00:00.5Z", true),
            ("TOOK  WHY\n22ms  x", "TOOK   WHY\n111ms  x", true),
            ("  a", "a", false),
            ("at 2026-11-24T18:27:30Z", "at 2026-11-25T00:00:00Z", false),
        ] {
            assert_eq!(agrees(shown, said), expected, "{shown:?} {said:?}");
        }
    }

    #[test]
    fn blocks_have_names_and_places() {
        let found = blocks("# A\n## B\n```yaml a.yml\nx: 1\n```\ntext\n````\n```\n````\n");
        let block = |language: &str, file: &str, text: &str, line| Block {
            language: language.into(),
            file: file.into(),
            text: text.into(),
            section: "B".into(),
            line,
        };
        assert_eq!(found, [block("yaml", "a.yml", "x: 1\n", 3), block("", "", "```\n", 7)]);
    }

    fn block(language: &str, file: &str, text: &str) -> Block {
        let (section, line) = (String::new(), 1);
        Block { language: language.into(), file: file.into(), text: text.into(), section, line }
    }

    #[test]
    fn commands_are_typed_in_one_shell() {
        let console = "$ A=1\n$ cat in.txt\n$5 \"…\"\n$ echo $A; false\n1\n$ echo $?\n1\n";
        let absent = block("console", "", "$ other --help\nnever\n");
        follow(
            &[block("text", "in.txt", "$5 \"`'\"\n"), absent, block("console", "", console)],
            "/bin/sh",
            &[],
            &["other"],
        );
    }

    #[test]
    #[should_panic(expected = "line 2: $ echo a\nshown:\nb\nsaid:\na")]
    fn a_wrong_output_is_told() {
        follow(&[block("console", "", "$ echo a\nb\n")], "/bin/sh", &[], &[]);
    }
}
