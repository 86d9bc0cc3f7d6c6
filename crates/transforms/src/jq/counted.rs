//! Programs rewritten so that their own recursion is counted.

use jaq_core::load::Lexer;
use jaq_core::load::lex::{StrPart, Tok, Token};

/// A step, and then the same input.
const STEP: &str = "(if _step then . else . end) | ";

/// Names of our own that programs must not take.
const RESERVED: [&str; 4] = ["_step", "_range", "_concat", "_remove"];

/// The first of our own names that a program uses.
pub(super) fn reserved(program: &str) -> Option<&str> {
    fn find<'p>(tokens: &[Token<&'p str>]) -> Option<&'p str> {
        tokens.iter().find_map(|Token(text, token)| match token {
            Tok::Word if RESERVED.contains(text) => Some(*text),
            _ => {
                let mut found = None;
                inner(token, |tokens| found = found.or_else(|| find(tokens)));
                found
            }
        })
    }
    find(&Lexer::new(program).lex().ok()?)
}

/// A program with a counted step at the start of each of its own functions.
pub(super) struct Counted {
    pub(super) program: String,
    /// Whether a function takes others and calls itself.
    pub(super) is_deep: bool,
}

/// Puts the steps into a program; `None` where it has no functions.
///
/// A function that takes others, and calls itself, could build a chain of closures as long as it likes:
/// too long to be called, and even to be dropped, with any stack. So its calls of itself are kept from being
/// tail calls: then each is on the stack, and the stack is watched. A call of what it takes is a step too.
pub(super) fn count_recursion(program: &str) -> Option<Counted> {
    let tokens = Lexer::new(program).lex().ok()?;
    let mut rewriting = Rewriting { program, inserted: Vec::new() };
    rewriting.definitions(&tokens);
    let Rewriting { mut inserted, .. } = rewriting;
    let is_deep = inserted.iter().any(|(_, part)| *part == Part::OpenBody);
    if inserted.is_empty() {
        return None;
    }
    inserted.sort_by_key(|(place, part)| (*place, *part as u8));
    inserted.dedup();
    let mut counted = String::with_capacity(program.len() + inserted.len() * 40);
    let mut last = 0;
    for (place, part) in inserted {
        counted.push_str(&program[last..place]);
        match part {
            Part::CloseCall => counted.push(')'),
            Part::CloseBody => counted.push_str(") | ."),
            Part::Step => {
                counted.push(' ');
                counted.push_str(STEP);
            }
            Part::OpenBody => counted.push('('),
            Part::OpenCall => {
                counted.push('(');
                counted.push_str(STEP);
            }
        }
        last = place;
    }
    counted.push_str(&program[last..]);
    Some(Counted { program: counted, is_deep })
}

/// What is inserted, in the order in which parts of one place come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    CloseCall,
    CloseBody,
    Step,
    OpenBody,
    OpenCall,
}

struct Rewriting<'p> {
    program: &'p str,
    inserted: Vec<(usize, Part)>,
}

impl<'p> Rewriting<'p> {
    fn start(&self, part: &str) -> usize {
        part.as_ptr() as usize - self.program.as_ptr() as usize
    }

    fn end(&self, part: &str) -> usize {
        self.start(part) + part.len()
    }

    /// Finds `def name(args): BODY;` wherever it may stand.
    fn definitions(&mut self, tokens: &[Token<&'p str>]) {
        for (at, Token(text, token)) in tokens.iter().enumerate() {
            match token {
                Tok::Word if *text == "def" => self.definition(&tokens[at + 1..]),
                _ => inner(token, |tokens| self.definitions(tokens)),
            }
        }
    }

    fn definition(&mut self, rest: &[Token<&'p str>]) {
        let Some(Token(name, Tok::Word | Tok::Fmt)) = rest.first() else { return };
        let (args, colon): (&[Token<&str>], usize) = match rest.get(1) {
            Some(Token(block, Tok::Block(args))) if block.starts_with('(') => (args, 2),
            _ => (&[], 1),
        };
        let Some(Token(text @ ":", _)) = rest.get(colon) else { return };
        let body = self.end(text);
        self.inserted.push((body, Part::Step));
        let tokens = &rest[colon + 1..];
        let Some(length) = length_of_body(tokens) else { return };
        let (tokens, end) = (&tokens[..length], &tokens[length]);
        let taken: Vec<&str> =
            args.iter().filter(|arg| matches!(arg.1, Tok::Word)).map(|Token(arg, _)| *arg).collect();
        if taken.is_empty() || !names(tokens, name) {
            return;
        }
        self.inserted.push((body, Part::OpenBody));
        self.inserted.push((self.start(end.0), Part::CloseBody));
        self.calls(tokens, &taken, false);
    }

    /// Puts a step before each call of these functions.
    fn calls(&mut self, tokens: &[Token<&'p str>], taken: &[&str], is_object: bool) {
        let mut at = 0;
        while let Some(Token(text, token)) = tokens.get(at) {
            at += 1;
            match token {
                // What is defined here, and what it takes, are names and no calls.
                Tok::Word if *text == "def" => {
                    let has_args = matches!(tokens.get(at + 1), Some(Token(_, Tok::Block(_))));
                    at += if has_args { 2 } else { 1 };
                }
                Tok::Word if taken.contains(text) => {
                    let is_key = is_object && (at == 1 || tokens[at - 2].0 == ",");
                    let has_args =
                        matches!(tokens.get(at), Some(Token(block, Tok::Block(_))) if block.starts_with('('));
                    if !is_key && !has_args {
                        self.inserted.push((self.start(text), Part::OpenCall));
                        self.inserted.push((self.end(text), Part::CloseCall));
                    }
                }
                token => {
                    let is_object = text.starts_with('{');
                    inner(token, |tokens| self.calls(tokens, taken, is_object));
                }
            }
        }
    }
}

/// The number of tokens before the `;` that ends a body.
fn length_of_body(tokens: &[Token<&str>]) -> Option<usize> {
    let mut within = 0_usize;
    tokens.iter().position(|Token(text, token)| {
        match (token, *text) {
            (Tok::Word, "def") => within += 1,
            (Tok::Sym, ";") if within == 0 => return true,
            (Tok::Sym, ";") => within -= 1,
            _ => {}
        }
        false
    })
}

/// Whether a name stands among the tokens.
fn names(tokens: &[Token<&str>], name: &str) -> bool {
    tokens.iter().any(|Token(text, token)| {
        let mut found = matches!(token, Tok::Word | Tok::Fmt) && *text == name;
        inner(token, |tokens| found |= names(tokens, name));
        found
    })
}

/// The tokens within a token.
fn inner<'t, 'p>(token: &'t Tok<&'p str>, mut each: impl FnMut(&'t [Token<&'p str>])) {
    match token {
        Tok::Block(tokens) => each(tokens),
        Tok::Str(parts) => {
            for part in parts {
                if let StrPart::Term(token) = part {
                    each(std::slice::from_ref(token));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recursion_is_counted() {
        let cases = [
            (". | .a", None),
            ("def f: 1; f", Some("def f:S 1; f")),
            (r#""\(def f: f; f)""#, Some(r#""\(def f:S f; f)""#)),
            ("def f(g): g; f(.)", Some("def f(g):S g; f(.)")),
            ("def f($x): f($x); f(1)", Some("def f($x):S f($x); f(1)")),
            ("def f(g): g|f(g); f(.)", Some("def f(g):S( C(g)|f(C(g))) | .; f(.)")),
            ("def f(g):g|f(g);f(.)", Some("def f(g):S(C(g)|f(C(g))) | .;f(.)")),
            (
                "def f(g): def h(g): g; {g, g: g, a: .g} | f(h(g)); .",
                Some("def f(g):S( def h(g):S C(g); {g, g: C(g), a: .g} | f(h(C(g)))) | .; ."),
            ),
            ("def f(g; $x): [g] | f(g; $x); .", Some("def f(g; $x):S( [C(g)] | f(C(g); $x)) | .; .")),
        ];
        for (program, expected) in cases {
            let counted = count_recursion(program).map(|counted| {
                let text = counted.program.replace(&format!(" {STEP}"), "S");
                let text = text.replace(&format!("({STEP}"), "C(");
                assert_eq!(counted.is_deep, text.contains("S("), "{program}");
                text
            });
            assert_eq!(counted.as_deref(), expected, "{program}");
        }
    }
}
